"""A finished run: check every file of it, and make any of its images again."""
