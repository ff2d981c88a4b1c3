"""A fresh process for each trial, and what is done in it."""
