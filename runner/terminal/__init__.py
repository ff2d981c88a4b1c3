"""Terminal output: progress while a sweep runs, the table and the advice at its end."""
