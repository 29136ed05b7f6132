"""Signatures of several commits, checked at once: a tool takes ten milliseconds to start, whoever waits for it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

from reconciler.forges.signed_merge.signatures import NotSigned, Signed
from reconciler.model import Commit, CommitId

AT_ONCE = 3
"""Checks that run beside each other for one merge: mostly the merge itself and one commit that it brings."""


class Checks:
    """Those of one merge, from entering to leaving; what was begun and not asked for is waited for. For one thread.

    Each commit is checked once at most, whoever asks.

    Args:
        check: Who signed a commit. Called from several threads.
        known: The same for one that needs no check; None: it does.
    """

    def __init__(self, check: Callable[[Commit], Signed | NotSigned], known: Callable[[Commit], Signed | None]) -> None:
        self._check = check
        self._known = known
        self._begun: dict[CommitId, Future[Signed | NotSigned]] = {}

    def __enter__(self) -> Self:
        self._pool = ThreadPoolExecutor(AT_ONCE, "signatures")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def begin(self, commit: Commit) -> None:
        """Check it while the caller goes on; a fault is told to who asks for the answer."""
        if commit.id not in self._begun and self._known(commit) is None:
            self._begun[commit.id] = self._pool.submit(self._check, commit)

    def of(self, commit: Commit) -> Signed | NotSigned:
        """Who signed a commit.

        Raises:
            Transient: `ForgeUnavailable`, when a tool is missing or does not end.
        """
        begun = self._begun.get(commit.id)
        return begun.result() if begun else self._check(commit)
