"""The description of a trial, its rules and titles; standard library only."""
