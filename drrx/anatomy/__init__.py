"""Which voxel of a chest CT belongs to what, by thresholds and shapes only: no weights, no downloads."""
