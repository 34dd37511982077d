"""Measuring the restorer on films kept out of training."""
