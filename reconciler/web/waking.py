"""How often deliveries wake, and which were seen before. Used in the listener's loop alone, so without locks."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Set

from reconciler.web.deliveries import Wake


class Waker:
    """Wakes at once, then rests; what comes while it rests is told together when it is over, and never lost."""

    def __init__(self, wake: Callable[[frozenset[Wake]], None], rest: float) -> None:
        """Prepare.

        Args:
            wake: Told what may have changed; must return at once.
            rest: Seconds between two calls at least.
        """
        self._wake = wake
        self._rest = rest
        self._pending: set[Wake] = set()
        self._resting = False

    def wake(self, wakes: Set[Wake]) -> None:
        """Wake with these, now or as soon as may be."""
        self._pending |= wakes
        if self._pending and not self._resting:
            self._tell()

    def _tell(self) -> None:
        told, self._pending = frozenset(self._pending), set()
        self._resting = True
        asyncio.get_running_loop().call_later(self._rest, self._rested)
        self._wake(told)

    def _rested(self) -> None:
        self._resting = False
        if self._pending:
            self._tell()


class Seen:
    """The signatures of what was delivered before, as far as memory goes.

    By signature, as anybody on the way could give the same body another delivery id. What was forgotten and comes
    again wakes once more, which costs a look and nothing else.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._signatures: OrderedDict[bytes, None] = OrderedDict()

    def __contains__(self, signature: bytes) -> bool:
        return signature in self._signatures

    def add(self, signature: bytes) -> None:
        """Remember one; the oldest is forgotten when there are too many."""
        self._signatures[signature] = None
        if len(self._signatures) > self._most:
            self._signatures.popitem(last=False)
