"""Simulated lung nodules: numbers, shape, place, patch."""
