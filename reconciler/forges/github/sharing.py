"""One answer for all who ask the same within a few seconds: one pull request may change fifty environments.

Each of them is judged for itself, and at about the same time. Without this each would ask GitHub all of it anew.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Lock

from reconciler.model import CommitId, ForgeFacts
from reconciler.ports import Clock

SHARED_SECONDS = 5.0
"""For which an answer counts, from the moment at which it was asked for: so old may rights and reviews be."""
NOTHING_SECONDS = 1.0
"""The same for a commit that no request brought: GitHub may know of the merge a moment after git does, and it is one
request to ask."""

_Key = tuple[CommitId, frozenset[str]]


@dataclass(frozen=True, slots=True)
class _Asked:
    since: float
    answer: Future[ForgeFacts]

    def counts(self, now: float) -> bool:
        """Whether it may be given to somebody else; a failure only to who waited for it already."""
        if not self.answer.done():
            return now - self.since < SHARED_SECONDS
        if self.answer.exception() is not None:
            return False
        return now - self.since < (SHARED_SECONDS if self.answer.result().requests else NOTHING_SECONDS)


class Shared:
    """Asks once. Safe to use from several threads.

    Args:
        ask: Finds out.
        clock: For the age of an answer.
    """

    def __init__(self, ask: Callable[[CommitId, Set[str]], ForgeFacts], clock: Clock) -> None:
        self._ask = ask
        self._clock = clock
        self._asked: dict[_Key, _Asked] = {}
        """Oldest first; none much older than an answer counts."""
        self._lock = Lock()

    def of(self, commit: CommitId, teams: Set[str]) -> ForgeFacts:
        """The facts about a commit.

        Raises:
            ReconcilerError: As the question does.
        """
        key, mine = (commit, frozenset(teams)), None
        with self._lock:
            now = self._clock.monotonic()
            self._forget_old(now)
            found = self._asked.get(key)
            if found is None or not found.counts(now):
                found = mine = _Asked(now, Future())
                self._asked.pop(key, None)  # so that the new one stands last
                self._asked[key] = mine
        if mine is not None:
            self._find_out(key, mine)
        return found.answer.result()

    def forget(self) -> None:
        """Whoever asks from now on gets an answer that was asked for after this."""
        with self._lock:
            self._asked = {}

    def _find_out(self, key: _Key, mine: _Asked) -> None:
        commit, teams = key
        try:
            mine.answer.set_result(self._ask(commit, teams))
        except BaseException as error:
            mine.answer.set_exception(error)
            raise

    def _forget_old(self, now: float) -> None:
        for key, asked in list(self._asked.items()):
            if now - asked.since < SHARED_SECONDS:
                break
            del self._asked[key]
