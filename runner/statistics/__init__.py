"""What samples say: pure functions of arrays, in milliseconds and run order."""
