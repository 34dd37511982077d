"""Training of the restorer's networks."""
