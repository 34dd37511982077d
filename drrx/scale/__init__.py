"""How the workflow does with many cases: time and memory of its graph, its overhead, images per hour."""
