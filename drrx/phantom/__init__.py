"""Anatomical thorax CTs drawn from a seed."""
