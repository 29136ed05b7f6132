"""Styles and scripts. Each is served under a name that holds its hash, so that it may be kept for ever."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "static"

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file."""

    name: str
    """With its hash: `app.0123456789ab.css`."""
    type: str
    body: bytes


def load(folder: Path = FOLDER) -> Mapping[str, Asset]:
    """Every file that is served, by its plain name."""
    return {file.name: _asset(file) for file in sorted(folder.iterdir()) if file.suffix in _TYPES}


def _asset(file: Path) -> Asset:
    body = file.read_bytes()
    digest = hashlib.sha256(body).hexdigest()[:12]
    return Asset(f"{file.stem}.{digest}{file.suffix}", _TYPES[file.suffix], body)
