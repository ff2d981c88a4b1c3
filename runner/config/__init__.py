"""From conf/ and the command line to checked trials, and what is wrong where that fails."""
