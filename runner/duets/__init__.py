"""Two sides timed in turns on one device: commits, environments or settings."""
