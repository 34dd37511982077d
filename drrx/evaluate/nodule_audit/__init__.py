"""Inserted nodules: asked against achieved, and beside real ones."""
