"""Is the number good? Rules yield flags, the judge makes the verdict: docs/verdict.md."""
