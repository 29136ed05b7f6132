"""Where folders are, as people write them."""

from __future__ import annotations

from pathlib import Path


def at_home(path: Path) -> Path:
    """With `~` replaced; as it is when nobody has that name."""
    try:
        return path.expanduser()
    except RuntimeError:
        return path
