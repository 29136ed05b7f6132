"""Runs other programs for the demo: fixed arguments, a deadline, and a failure that says which program and why."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from reconciler.errors import Reason, Terminal

SECONDS = 60.0
"""Deadline of one program; the longest of them builds a wheel in under one."""

_FROM = {"git": "git", "ssh-keygen": "openssh-client"}


def run(argv: tuple[str, ...], cwd: Path, environment: Mapping[str, str] | None = None) -> str:
    """Run a program; returns its output without the last newline.

    Raises:
        Terminal: `InternalError`, with the program's last words.
    """
    try:
        done = subprocess.run(
            argv,
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _failed(argv, str(error)) from None
    if done.returncode != 0:
        words = (done.stderr or done.stdout).decode(errors="replace").strip()
        raise _failed(argv, "\n".join(words.splitlines()[-5:]))
    return done.stdout.decode(errors="replace").rstrip("\n")


def expect_programs() -> None:
    """Everything that the demo calls is there.

    Raises:
        Terminal: `InvalidSettings`, naming what is missing and how to get it.
    """
    missing = [program for program in _FROM if shutil.which(program) is None]
    if missing:
        packages = " ".join(_FROM[program] for program in missing)
        message = f"the demo needs {' and '.join(missing)}, not found in PATH"
        raise Terminal(Reason.INVALID_SETTINGS, message, f"on Debian: apt-get install {packages}")
    if importlib.util.find_spec("hatchling") is None:
        message = f"the demo builds this project as CI would, and {sys.executable} has no hatchling"
        raise Terminal(Reason.INVALID_SETTINGS, message, "in the source: `make setup`, or pip install '.[demo]'")


def _failed(argv: tuple[str, ...], words: str) -> Terminal:
    name = " ".join((Path(argv[0]).name, *argv[1:3]))
    return Terminal(Reason.INTERNAL_ERROR, f"{name}: {words}", "`reconciler demo down`, then `reconciler demo up`")
