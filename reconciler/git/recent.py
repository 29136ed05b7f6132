"""The most recently used objects of the repository, in memory: what a name stands for never changes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

_Name = TypeVar("_Name", bound=Hashable)
_Content = TypeVar("_Content")


def _one(_: object) -> int:
    return 1


class Recent(Generic[_Name, _Content]):
    """A bounded memory, safe to use from several threads.

    Args:
        most: The weight of all that is kept, at most; what was used longest ago goes first.
        weigh: The weight of one content; each counts as 1 when left out.
    """

    def __init__(self, most: int, weigh: Callable[[_Content], int] = _one) -> None:
        self._most = most
        self._weigh = weigh
        self._weight = 0
        self._kept: OrderedDict[_Name, _Content] = OrderedDict()
        self._lock = threading.Lock()

    def __contains__(self, name: _Name) -> bool:
        return name in self._kept

    def get(self, name: _Name) -> _Content | None:
        """The content, if it is still known."""
        with self._lock:
            if name not in self._kept:
                return None
            self._kept.move_to_end(name)
            return self._kept[name]

    def put(self, name: _Name, content: _Content) -> None:
        """Remember a content."""
        with self._lock:
            if name in self._kept:
                self._weight -= self._weigh(self._kept.pop(name))
            self._kept[name] = content
            self._weight += self._weigh(content)
            while self._weight > self._most:
                _, gone = self._kept.popitem(last=False)
                self._weight -= self._weigh(gone)
