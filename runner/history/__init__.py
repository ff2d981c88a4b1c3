"""Comparing results: which trials belong together, and how their environments differ."""
