"""Measurements of whole operations against a floor, in the same run; never a test with a stopwatch."""
