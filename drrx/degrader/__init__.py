"""The opposite of the restorer: low-quality copies of good radiographs."""
