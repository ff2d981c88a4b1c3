"""What the user sees: progress while a sweep runs, the table and the advice at its end."""
