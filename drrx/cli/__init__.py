"""The command line: read, one call, write. The one place that catches ``DrrxError``."""
