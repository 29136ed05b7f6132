"""Where things lie in the checkout."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
"""The pages, as they are written."""
BUILD = ROOT / "build" / "docs"
"""What the site is built from, and in `site` the site; not kept."""
