"""Timing: devices that keep time, the methods that use them, and the loop around both."""
