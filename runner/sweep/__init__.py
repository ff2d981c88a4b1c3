"""One sweep: planned as a whole, run point by point, closed whatever happens."""
