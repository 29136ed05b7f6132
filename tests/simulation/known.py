"""Tests that show a known bug of the product, until it is mended: then they pass, and must leave this list."""

from __future__ import annotations

BUGS: dict[str, str] = {}
SEEDS: dict[int, str] = {}
"""Histories that come upon one of them."""
