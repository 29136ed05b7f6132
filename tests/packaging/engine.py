"""A Docker engine of the tests' own: it listens at a socket in a folder, and touches no network of this machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from reconciler.machine.clock import SystemClock
from tests.packaging import debian
from tools.setup import install_packages

_NEEDED = {"dockerd": "docker.io", "docker": "docker.io"}
"""Programs, and Debian's packages for them."""
_ALONE = ("--iptables=false", "--ip6tables=false", "--bridge=none")
_SECONDS = 60
_INSIDE = """
mkdir "$0"
if test "$1" = memory; then mount -t tmpfs -o mode=0711 tmpfs "$0"; fi
shift
exec dockerd "$@"
"""
"""In a mount namespace of its own, so that nothing which the engine mounts outlives it."""
_ENOUGH = 6 * 2**20
"""KiB of memory beside which an image of half a GiB is little: its thousands of files come and go quickly there."""


class Missing(Exception):
    """Why no engine runs here, in words for a skipped test."""


@dataclass(frozen=True)
class Engine:
    """What `docker` talks to."""

    socket: Path

    def __call__(self, *arguments: str, seconds: float = 60, cwd: Path | None = None) -> str:
        """One command, with what it printed; fails the test where it failed."""
        done = self.tried(*arguments, seconds=seconds, cwd=cwd)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout.strip()

    def tried(self, *arguments: str, seconds: float = 60, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """One command, however it ends."""
        # The builder that is in the engine: the newer one is a plug-in, which Debian's package does not bring.
        own = {**os.environ, "DOCKER_HOST": f"unix://{self.socket}", "DOCKER_BUILDKIT": "0"}
        argv = ("docker", *arguments)
        return subprocess.run(argv, capture_output=True, text=True, timeout=seconds, cwd=cwd, env=own)

    def take(self, image: str, files: Path) -> None:
        """Make an image of a file system that is in a tar.

        Raises:
            Missing: The kernel or its limits let no container run.
        """
        self("import", str(files), image)
        tried = self.tried("run", "--rm", "--network", "none", image, "true")
        if tried.returncode != 0:
            raise Missing(f"no container can run here: {tried.stderr.strip()[-500:]}")


def ready() -> None:
    """Have everything that the image's test needs; installed where that is for us to do.

    Raises:
        Missing: It is not all there.
    """
    if os.geteuid() != 0:
        raise Missing("only root can run a Docker engine")
    try:
        packages = debian.absent() | {package for program, package in _NEEDED.items() if shutil.which(program) is None}
    except OSError as error:
        raise Missing(f"this machine has no Debian to make a base image of: {error}") from None
    if packages and not (install_packages(sorted(packages)) and all(map(shutil.which, _NEEDED))):
        raise Missing(f"{', '.join(sorted(packages))} not installed, and apt-get could not")


@contextmanager
def engine() -> Iterator[Engine]:
    """A real one, for as long as the block lasts.

    Raises:
        Missing: None can run here.
    """
    folder = Path(tempfile.mkdtemp(prefix="docker-"))  # short: sockets are in it
    log = folder / "log"
    with log.open("wb") as stream:
        places = {"--host": f"unix://{folder}/sock", "--pidfile": f"{folder}/pid"}
        places |= {"--data-root": f"{folder}/data", "--exec-root": f"{folder}/exec"}
        options = (*(f"{flag}={place}" for flag, place in places.items()), *_ALONE)
        argv = ("unshare", "--mount", "sh", "-ec", _INSIDE, f"{folder}/data", _place(), *options)
        process = subprocess.Popen(argv, stdout=stream, stderr=stream)
        try:
            running = Engine(folder / "sock")
            _wait_for(running, process, log)
            yield running
        finally:
            process.terminate()
            process.wait(60)
            shutil.rmtree(folder, ignore_errors=True)


def _place() -> str:
    found = re.search(r"^MemAvailable:\s+(\d+) kB$", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return "memory" if found and int(found[1]) > _ENOUGH else "disk"


def _wait_for(running: Engine, process: subprocess.Popen[bytes], log: Path) -> None:
    clock = SystemClock()
    deadline = clock.monotonic() + _SECONDS
    while running.tried("version").returncode != 0:
        if process.poll() is not None or clock.monotonic() > deadline:
            lines = [line for line in log.read_text(errors="replace").splitlines() if "level=info" not in line]
            raise Missing(f"dockerd does not come up, which wants cgroups and mounts: {' | '.join(lines[-3:])}")
        threading.Event().wait(0.1)
