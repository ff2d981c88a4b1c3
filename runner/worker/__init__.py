"""A fresh process for each trial, and the work done in it."""
