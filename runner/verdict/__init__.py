"""Is the number good? Rules give flags, the judge makes the verdict: docs/verdict.md."""
