"""What one trial is, what it can't be, and what it is called; the standard library only."""
