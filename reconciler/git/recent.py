"""The most recently used objects of the repository, in memory: what a name stands for never changes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

_Name = TypeVar("_Name", bound=Hashable)
_Content = TypeVar("_Content")


class Recent(Generic[_Name, _Content]):
    """A bounded memory, safe to use from several threads.

    Args:
        most: How many contents are kept; the one used longest ago goes first.
    """

    def __init__(self, most: int) -> None:
        self._most = most
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
            self._kept[name] = content
            self._kept.move_to_end(name)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
