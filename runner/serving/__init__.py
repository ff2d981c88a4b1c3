"""Queries that arrive on a schedule, wait in a queue, and are answered by instances."""
