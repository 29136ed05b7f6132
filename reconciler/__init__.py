"""Promotion by pull request: drives what runs towards the artifact that Git declares, and proves it."""

__version__ = "0.1.0"
