"""One sweep: planned as a whole, run trial by trial, closed whatever happens."""
