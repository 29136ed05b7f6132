"""Work on what comes next while the caller is busy with what came before: two threads, in order, bounded.

Decompressing and hashing release the interpreter's lock, so it pays for entries of some 100 KB on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

THREADS = 2
IN_FLIGHT = 4
"""Most pieces of work that were begun and not taken yet: bounds the memory."""


class Piece(NamedTuple):
    """Some work; `ahead` when it is worth a thread, else it is done at its turn."""

    work: Callable[[], bytes]
    ahead: bool


def in_order(pieces: Iterable[Piece | None]) -> Generator[bytes | None, None, None]:
    """What each piece gives, in their order. An error comes at its piece's turn.

    For None it gives None, and takes no further piece before it is asked again: so a caller may use meanwhile
    what the pieces are made from.
    """
    begun: deque[Callable[[], bytes]] = deque()
    with ThreadPoolExecutor(THREADS, "archive") as pool:
        try:
            for piece in pieces:
                if piece is not None:
                    begun.append(pool.submit(piece.work).result if piece.ahead else piece.work)
                while begun and (piece is None or len(begun) >= IN_FLIGHT):
                    yield begun.popleft()()
                if piece is None:
                    yield None
            while begun:
                yield begun.popleft()()
        finally:
            pool.shutdown(cancel_futures=True)
