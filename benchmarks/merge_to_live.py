"""Merge to live: from the moment the push returned until `current` points at the new release, durably.

Ours is the whole product: the running daemon with watching, signed-merge approval, custody, manifest and audit.
The floor is the best durable shell script for the job (`floor.sh`), started the moment the push returns: git
fetch, git show, openssl dgst, unzip, sync -f, mv -T; no approval, no record, nothing verified but the digest.
Both sides run in turn on the same disk, so that a drift of the machine meets both. Medians are printed.
"""

from __future__ import annotations

import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.archives import zip_of
from tests.factories import sha256
from tests.site import Site

ROUNDS = 7
FLOOR = Path(__file__).with_name("floor.sh")


def one_megabyte(run: int) -> bytes:
    """One file that does not compress."""
    return zip_of({"blob": random.Random(run).randbytes(1_000_000)})


def thousand_files(run: int) -> bytes:
    """A thousand files of some 200 bytes."""
    return zip_of({f"d{n % 20}/{n}.txt": b"%d of %d\n" % (n, run) * 20 for n in range(1000)})


def main() -> None:
    """Print the table."""
    missing = [tool for tool in ("git", "openssl", "unzip", "sync") if shutil.which(tool) is None]
    if missing:
        sys.exit(f"the floor needs {', '.join(missing)}")
    print(f"merge to live, medians of {ROUNDS}, seconds\n{'artifact':<16}{'floor':>8}{'ours':>8}{'ratio':>8}")
    for make in (one_megabyte, thousand_files):
        floor, ours = measure(make)
        print(f"{make.__name__:<16}{floor:>8.3f}{ours:>8.3f}{ours / floor:>8.2f}")


def measure(make: Callable[[int], bytes]) -> tuple[float, float]:
    """Medians of both sides, floor first; run in turn after one round that is not counted."""
    with tempfile.TemporaryDirectory() as folder:
        site = Site(Path(folder) / "site")
        site.configure(repository={"url": str(site.git.origin), "poll_seconds": 3600})
        artifacts = {run: make(run) for run in range(1, 2 * ROUNDS + 3)}
        for run, data in artifacts.items():
            site.publish(run, data)
        times: dict[str, list[float]] = {"floor": [], "ours": []}
        subprocess.run(["git", "clone", "-q", "--bare", site.git.url, f"{folder}/mirror"], check=True)
        with site.daemon():
            for index, (run, data) in enumerate(artifacts.items()):
                spent = _floor(site, Path(folder), run, data) if index % 2 else _ours(site, run, data)
                if index > 1:
                    times["floor" if index % 2 else "ours"].append(spent)
        return statistics.median(times["floor"]), statistics.median(times["ours"])


def _ours(site: Site, run: int, data: bytes) -> float:
    site.declare("prod", run, sha=sha256(data))
    start = time.perf_counter()
    link = site.live / "prod" / "current"
    while not (link.is_symlink() and link.readlink().name.startswith(f"{run}-")):
        if time.perf_counter() - start > 60:
            sys.exit((site.folder / "daemon.log").read_text()[-2000:])
        time.sleep(0.001)
    spent = time.perf_counter() - start
    time.sleep(0.5)  # let the record be written, so that it is not counted against the next round
    return spent


def _floor(site: Site, folder: Path, run: int, data: bytes) -> float:
    """The same on an environment that only the script looks at."""
    text = site.declaration("floor", run, sha=sha256(data), path=str(folder / "floor"))
    site.merge({"floor/floor.yaml": text})
    start = time.perf_counter()
    argv = ["sh", str(FLOOR), f"{folder}/mirror", "floor/floor.yaml", str(site.runs), f"{folder}/floor"]
    subprocess.run(argv, check=True)
    return time.perf_counter() - start
