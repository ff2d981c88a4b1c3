"""MLflow, where people look: a projection of the records, made after the timing."""
