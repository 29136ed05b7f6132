"""Makes `.venv` with exactly what the lock file names, and the project in it; called by `make setup`.

Needs nothing but Python 3.11 and its standard library. What the system lacks beside it is installed when
that is allowed (root on a Debian), and named with the one command to type when it is not.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
LOCK = ROOT / "requirements-dev.lock"
OLDEST = (3, 11)

PROGRAMS = {
    "git": "git",
    "ssh-keygen": "openssh-client",
    "gpg": "gpg",
    "gpg-agent": "gpg-agent",
    "gpgv": "gpgv",
    "zstd": "zstd",
}
"""Programs that the project or its tests call, and Debian's packages for them."""
WISHED = {"/lib/systemd/systemd": "systemd", "/usr/bin/chromium": "chromium"}
"""Tests use these where they are there, else stand-ins or nothing: installed where that is for us to do."""


def main() -> int:
    """Set up everything, or with the argument `tests` what only tests wish for; returns the exit code."""
    if sys.argv[1:] == ["tests"]:
        return wish()
    if sys.version_info < OLDEST:
        return complain(f"Python {sys.version.split()[0]} is too old", "make setup PYTHON=python3.11")
    if missing := missing_packages():
        install_packages(missing)
    missing = missing_packages()
    if missing:
        packages = " ".join(missing)
        return complain(
            f"this machine lacks {packages}",
            f"sudo apt-get install -y --no-install-recommends {packages}",
        )
    try:
        make_venv()
        install()
    except subprocess.CalledProcessError as error:
        return complain(f"{' '.join(map(str, error.cmd[:4]))} … ended with {error.returncode}", "see its words above")
    return 0


def wish() -> int:
    """Install what tests can do without, if that is for us to do; they say what they leave out."""
    wished = [package for program, package in WISHED.items() if not Path(program).exists()]
    if wished and not install_packages(wished):
        say(f"going on without {' '.join(wished)}: some tests use a stand-in, or are skipped and say so")
    return 0


def missing_packages() -> list[str]:
    """Debian's packages that would bring what is not there."""
    importlib.invalidate_caches()
    missing = [package for program, package in PROGRAMS.items() if shutil.which(program) is None]
    if importlib.util.find_spec("ensurepip") is None:
        missing.append("python3-venv")
    return missing


def install_packages(packages: list[str]) -> bool:
    """Install them, if that is for us to do; returns whether it was tried and went well."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return False
    say(f"installing {' '.join(packages)}")
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    # Somebody else may be installing right now, on a machine that has just come up.
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300", *packages]
    for command in (["apt-get", "update", "-qq"], install):
        if subprocess.run(command, env=quiet, stdin=subprocess.DEVNULL, check=False).returncode != 0:
            return False
    return True


def make_venv() -> None:
    """An environment with pip; one that works already is kept."""
    if works():
        return
    say(f"making {VENV.name} with Python {sys.version.split()[0]}")
    # A process of its own: ensurepip may have come just now, and this one has looked before.
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)], check=True)


def works() -> bool:
    """Whether the environment is there, with a Python that is new enough, and pip."""
    python = VENV / "bin" / "python"
    probe = f"import pip, sys; sys.exit(sys.version_info < {OLDEST})"
    try:
        return subprocess.run([str(python), "-c", probe], stderr=subprocess.DEVNULL, check=False).returncode == 0
    except OSError:
        return False


def install() -> None:
    """What the lock names, each file checked against its hash; then the project itself, as it stands here."""
    pip = [str(VENV / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--quiet"]
    say(f"installing what {LOCK.name} names: this takes a minute or two")
    subprocess.run([*pip, "--require-hashes", "--no-deps", "-r", str(LOCK)], check=True)
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "--editable", str(ROOT)], check=True)


def say(text: str) -> None:
    """Progress."""
    print(f"setup: {text}", file=sys.stderr, flush=True)


def complain(what: str, command: str) -> int:
    """What is in the way, and what to type."""
    print(f"setup: {what}\nsetup: type: {command}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
