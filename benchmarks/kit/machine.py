"""What the figures were measured on, in one line."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import datetime
from pathlib import Path


def told(place: str, quick: bool) -> str:
    """The machine, the place and the day."""
    git = subprocess.run(["git", "--version"], capture_output=True, text=True, check=False).stdout.split()[-1:]
    sizes = ", small sizes (--quick)" if quick else ""
    parts = (
        f"{os.cpu_count()} cores",
        _system(),
        f"Python {platform.python_version()}",
        f"git {''.join(git)}",
        f"on {place}",
        f"{datetime.now().date()}{sizes}",
    )
    return ", ".join(parts)


def _system() -> str:
    release = Path("/etc/os-release")
    if release.exists():
        for line in release.read_text().splitlines():
            if line.startswith("PRETTY_NAME="):
                return line.partition("=")[2].strip('"')
    return platform.system()
