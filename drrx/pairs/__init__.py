"""Pairs of a good radiograph and its low-quality copy: films, the tone window, the ways a film is degraded."""
