"""What is timed: networks from their sources, on inputs, as something that can be called."""
