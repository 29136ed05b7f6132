"""A source's stream whose every fault comes out as a `ReconcilerError`, whatever the adapter raises."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import Self

from reconciler.errors import Reason, ReconcilerError, Transient
from reconciler.ports import ArtifactStream

Fetch = Callable[[int], AbstractContextManager[ArtifactStream]]
"""Opens the stream from an offset."""


class Guarded:
    """One stream, from opening to closing. `offset` is where its first chunk belongs."""

    def __init__(self, fetch: Fetch, offset: int) -> None:
        self._fetch = fetch
        self._asked = offset
        self.offset = 0

    def __enter__(self) -> Self:
        with _source(OSError):  # beside a source that opens at once, this runs the caller's code: the rest is its own
            self._context = self._fetch(self._asked)
        with _source():
            self._stream = self._context.__enter__()
        try:
            self.offset = self._agreed()
        except BaseException as error:
            self.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with _source():  # its word on whether to swallow the error is not asked for
            self._context.__exit__(kind, error, trace)

    def _agreed(self) -> int:
        with _source():
            offset = self._stream.offset
        if offset not in (0, self._asked):
            raise source_fault(f"the source goes on from byte {offset} instead of {self._asked}")
        return offset

    def __iter__(self) -> Iterator[bytes]:
        with _source():
            chunks = iter(self._stream)
        while True:
            with _source():
                chunk = next(chunks, None)
            if chunk is None:
                return
            yield chunk


@contextmanager
def _source(kinds: type[Exception] = Exception) -> Iterator[None]:
    """Around calls into an adapter only: a plug-in may raise anything."""
    try:
        yield
    except ReconcilerError:
        raise
    except kinds as error:
        # A stranger's text, `strerror` too, may hold an address with a token in it: only its kind is shown.
        number = error.errno if isinstance(error, OSError) else None
        said = os.strerror(number) if isinstance(number, int) else type(error).__name__
        raise source_fault(f"the source failed: {said}") from None


def source_fault(message: str, hint: str = "check the source that the declaration names") -> Transient:
    """The source is to blame, and may do better later."""
    return Transient(Reason.SOURCE_UNAVAILABLE, message, hint)
