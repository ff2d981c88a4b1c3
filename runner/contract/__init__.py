"""What others may rely on: closed sets of words, exit codes, and the errors with theirs."""
