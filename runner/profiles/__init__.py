"""Where the time of a pass goes, by operator and kernel, and how two sides differ in it."""
