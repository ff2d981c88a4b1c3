"""Statistics of samples: pure functions of arrays, in milliseconds and run order."""
