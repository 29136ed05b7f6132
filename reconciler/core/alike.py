"""One value in place of many equal ones: ten thousand statuses say nearly the same, and all are kept in memory.

Most gates' words, and the artifact where many environments have one in common, are equal from one environment to the
next. They are frozen, so whoever holds one can't tell whether others hold it too.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace
from typing import TypeVar

from reconciler.model import Status

KEPT = 4_096
"""Values that are known at most; when there are more, all are forgotten, and those in use become known anew."""

_Value = TypeVar("_Value", bound=Hashable)


class Alike:
    """Knows values that were seen lately. Safe to use from several threads: losing one only costs memory."""

    def __init__(self) -> None:
        self._known: dict[Hashable, Hashable] = {}

    def status(self, status: Status) -> Status:
        """An equal status, whose parts are shared with others."""
        gates = tuple(self._one(word) for word in status.gates)
        return replace(status, gates=gates, declared=self._one(status.declared), live=self._one(status.live))

    def _one(self, value: _Value) -> _Value:
        if len(self._known) >= KEPT:
            self._known.clear()
        found = self._known.setdefault(value, value)
        return found if type(found) is type(value) else value  # equal values of different types stay apart
