"""A site with very many environments, made in seconds: files written at once, accepted as a baseline.

Everything is as in `tests.site`: a real origin, signed merges, runs in a folder, and the real program. Only the
history is short: the first commit brings every environment and is what the operator accepts as it is
(`repository.baseline`), so that no thousand merges must be signed before anything can be measured.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from random import Random

from benchmarks.kit.sides import tell
from reconciler.model import CommitId
from tests.archives import zip_of
from tests.factories import sha256
from tests.site import Site

Daemon = subprocess.Popen[bytes]

SHARED_RUN = 1
"""The run that every environment of the baseline declares."""
_STEP_SECONDS = 0.05
_TOLD_EVERY_SECONDS = 10.0


def small_artifact(run: int) -> bytes:
    """Some 10 KB in eight files, different in each run."""
    return zip_of({f"app/{part}.bin": _noise(run * 8 + part, 1_200) for part in range(8)})


def _noise(seed: int, size: int) -> bytes:
    """Bytes that hardly compress, the same for each seed; quick to make."""
    return Random(seed).randbytes(size)


class Fleet(Site):
    """Environments `e00000`, `e00001`, …, all declared to run the same small artifact."""

    def __init__(self, folder: Path, count: int) -> None:
        super().__init__(folder)
        repository = self.settings["repository"]
        assert isinstance(repository, dict)
        del repository["poll_seconds"]  # tests are in a hurry; what is measured is the default
        self.names = [f"e{number:05}" for number in range(count)]
        self._shared = self.publish(SHARED_RUN, small_artifact(SHARED_RUN))
        self.accept({self.file(name): self.shared(name) for name in self.names})

    def shared(self, name: str) -> str:
        """An environment file that declares the run that all have in common."""
        return self.declared(name, SHARED_RUN, self._shared)

    def accept(self, files: Mapping[str, str]) -> None:
        """Put files on the branch as they are, and let the operator accept that commit as the baseline."""
        if files:
            self._write(files)
            self.git.commit(self.engineer, "Begin with many").push()
        repository = self.settings["repository"]
        assert isinstance(repository, dict)
        self.configure(repository=repository | {"baseline": str(self.git.tip)})

    def paced(self, **repository: object) -> None:
        """Change settings of the repository, such as `poll_seconds`."""
        known = self.settings["repository"]
        assert isinstance(known, dict)
        self.configure(repository=known | repository)

    def declared(self, name: str, run: int, data: bytes, source: str = "") -> str:
        """An environment file, as `declaration` writes it, without a YAML library's time."""
        line = f"  source: {source}\n" if source else ""
        return (
            f"version: 1\nartifact:\n{line}  name: app\n  run_id: {run}\n  sha256: {str(sha256(data))!r}\n"
            f"target:\n  type: directory\n  path: {self.live / name}\n  keep: 3\n"
        )

    def merge_many(self, files: Mapping[str, str]) -> CommitId:
        """One reviewed merge that changes all of these files; returns when the push returned."""
        self._branches += 1
        self.git.switch(self.git.main).branch(f"change-{self._branches}")
        self._write(files)
        self.git.commit(self.engineer, "Change many", sign=True)
        self.git.merge(f"change-{self._branches}", signer=self.reviewer)
        return self.git.push().tip

    @staticmethod
    def file(name: str) -> str:
        """Where an environment is declared."""
        return f"environments/{name}.yaml"

    def is_live(self, name: str, run: int) -> bool:
        """Whether `current` leads to a release of this run."""
        return leads_to(self.live / name / "current", run)

    def log(self) -> str:
        """The end of the daemon's log, for an error."""
        return (self.folder / "daemon.log").read_text()[-2_000:]

    def _write(self, files: Mapping[str, str]) -> None:
        for path, text in files.items():
            place = self.git.work / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        self.git.git("add", "--all", "--force")


def leads_to(link: Path, run: int) -> bool:
    """Whether a `current` leads to a release of this run."""
    return link.is_symlink() and link.readlink().name.startswith(f"{run}-")


def wait_live(daemon: Daemon, wanted: Iterable[tuple[Path, int]], within: float, trouble: Callable[[], str]) -> None:
    """Until each of these links leads to a release of its run.

    Raises:
        TimeoutError: It takes longer, or the daemon ended; with what `trouble` tells.
    """
    missing = list(wanted)
    start = told = time.monotonic()
    while missing := [(link, run) for link, run in missing if not leads_to(link, run)]:
        now = time.monotonic()
        if now - start > within or daemon.poll() is not None:
            raise TimeoutError(f"{len(missing)} are not live after {now - start:.0f} s\n{trouble()}")
        if now - told > _TOLD_EVERY_SECONDS:
            tell(f"{len(missing)} to go")
            told = now
        time.sleep(_STEP_SECONDS)
