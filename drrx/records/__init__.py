"""Records that cross floors: frozen, JSON in and out, refusing what is invalid."""
