"""Timing: devices with clocks, the methods that use them, and the measuring loop."""
