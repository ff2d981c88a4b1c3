"""The machine: its devices, what others take of it, what it is; without torch where it can be."""
