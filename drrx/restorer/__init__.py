"""Restoration of radiographs with the delivered or a trained network."""
