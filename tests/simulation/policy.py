"""What the writer of a policy file means. The oracle reads this; the product reads `data`."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from tests.factories import NOON
from tests.simulation.git import Bar

PATH = "policy.yaml"


@dataclass(frozen=True)
class Window:
    """A freeze, in seconds of the wall clock from when the world began."""

    start: int
    end: int
    names: tuple[str, ...] = ("*",)

    def text(self) -> str:
        times = f"from: {_moment(self.start)}, to: {_moment(self.end)}"
        return f"{{reason: closed, {times}, environments: [{_quoted(self.names)}]}}"

    def closed(self, name: str, at: float) -> bool:
        return self.start <= at < self.end and covers(self.names, name)


@dataclass(frozen=True)
class Floor:
    """What no change of some environments' files goes below."""

    bar: Bar
    names: tuple[str, ...] = ("*",)

    def text(self) -> str:
        return f"{self.bar.text()[:-1]}, environments: [{_quoted(self.names)}]}}"


@dataclass(frozen=True)
class Policy:
    """A whole policy file."""

    freeze: tuple[Window, ...] = ()
    runs: tuple[int, ...] = ()
    """Revoked by their number."""
    digests: tuple[str, ...] = ()
    """Revoked by content."""
    floors: tuple[Floor, ...] = ()
    comment: str = ""

    @property
    def data(self) -> bytes:
        revoked = [f"{{run_id: {run}, reason: bad}}" for run in self.runs]
        revoked += [f"{{sha256: '{digest}', reason: bad}}" for digest in self.digests]
        lines = ["version: 1", *_listed("approval", [floor.text() for floor in self.floors])]
        lines += [*_listed("freeze", [window.text() for window in self.freeze]), *_listed("revoked", revoked)]
        return "\n".join([*lines, *([f"# {self.comment}"] if self.comment else []), ""]).encode()

    def revokes(self, run: int, digest: str) -> bool:
        return run in self.runs or digest in self.digests

    def closed(self, name: str, at: float) -> bool:
        return any(window.closed(name, at) for window in self.freeze)

    def meaning(self) -> dict[str, object]:
        """The fields that say something."""
        return {"freeze": self.freeze, "revoked": (self.runs, self.digests), "floors": self.floors}


def covers(names: Iterable[str], name: str) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in names)


def _listed(key: str, items: list[str]) -> list[str]:
    return [f"{key}: [{', '.join(items)}]"] if items else []


def _quoted(names: tuple[str, ...]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _moment(seconds: int) -> str:
    return f"{NOON + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S}"
