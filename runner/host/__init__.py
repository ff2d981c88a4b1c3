"""The machine: its devices, contention and description; without torch where possible."""
