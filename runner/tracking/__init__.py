"""MLflow: a projection of the records, made after the timing."""
