"""The doors: everything that reads or writes a file."""
