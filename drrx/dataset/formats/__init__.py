"""The data set in the formats of others, one module each."""
