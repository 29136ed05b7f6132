"""Who may act on a target: `.reconciler/fence/<token>/`, without a lock that outlives its holder.

A lock can't fence: whoever is stopped while holding it keeps everybody else out, and a check before an
effect says nothing once the process sleeps in between. So a token's right is a folder, and every
effect on what is shared is a rename out of that folder or into it. Who comes with a larger token makes
a folder of that name, then removes the smaller ones, and only then looks at the target: the renames
of a former holder, however long it slept before them, find their folder gone and fail.

The largest name is the fence. Folders appear in one step, survive a crash, and no bit of a number can
be flipped in them unnoticed. Two holders of the *same* token are kept apart by a lock on its folder.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from reconciler.disk import Disk, Folder, lock
from reconciler.errors import PolicyDenied, Reason, Transient
from reconciler.targets.layout import PRIVATE_MODE

_TOKEN = re.compile(r"[1-9][0-9]{0,18}")


def largest(names: Iterable[str]) -> int:
    """The largest token seen, by the names in the fence's folder; 0 for none.

    Raises:
        Transient: `TargetUnavailable`: a name is no token, so which was the largest can't be told.
    """
    return max(map(_token, names), default=0)


def check(names: Iterable[str], token: int) -> None:
    """Refuse a token that is smaller than one seen.

    Raises:
        PolicyDenied: `FencedOff`.
    """
    seen = largest(names)
    if token < seen:
        raise PolicyDenied(
            Reason.FENCED_OFF,
            f"the target has seen the token {seen}; ours, {token}, is older",
            "another instance took over: this one does nothing more; stop it if it should not run",
        )


class Turn:
    """The right to act, from `take_turn`. `work` is ours alone and empty at the start."""

    def __init__(self, disk: Disk, fence: Folder, token: int, work: Folder) -> None:
        self._disk = disk
        self._fence = fence
        self._token = token
        self.work = work

    def check(self) -> None:
        """Raises PolicyDenied `FencedOff` when somebody with a larger token came meanwhile."""
        check(self._fence.names(), self._token)

    def discard(self, step: str, folder: Folder, name: str) -> None:
        """Take something off the target: it is gone from its place in one step, and removed later."""
        self._disk.move(step, folder, name, self.work, f"gone-{len(self.work.names())}-{name[:64]}")

    def clean(self, step: str) -> None:
        """Remove what was discarded."""
        self._disk.empty(step, self.work)


@contextmanager
def take_turn(disk: Disk, fence: Folder, token: int) -> Iterator[Turn]:
    """Raise the fence to a token and act under it.

    Raises:
        PolicyDenied: `FencedOff`, at the start, or in the middle when a larger token came.
        Transient: `TargetUnavailable`: the same token is at work here.
    """
    check(fence.names(), token)
    name = str(token)
    if fence.lstat(name) is None:
        disk.make_folder("target:fence", fence, name, PRIVATE_MODE)
        # A crash from here on leaves a raised fence: smaller tokens are refused, nothing else changed.
        disk.sync("target:fence:settle", fence)
    with fence.folder(name) as work:
        turn = Turn(disk, fence, token, work)
        try:
            _enter(disk, fence, turn, token)
            yield turn
        except (OSError, Transient):
            turn.check()  # what failed may have failed because we were fenced off: then that is the reason
            raise


def _enter(disk: Disk, fence: Folder, turn: Turn, token: int) -> None:
    """Make sure that only we act: our folder first, then the look for larger ones, then the smaller ones go.

    Of two that come at once, either the smaller one sees the larger folder here, or the larger one's
    listing, which is later than its own folder, sees the smaller one and removes it.
    """
    if not lock(turn.work) or os.fstat(turn.work.fd).st_nlink == 0:
        raise Transient(
            Reason.TARGET_UNAVAILABLE,
            f"somebody else works on this target with the same token {token}",
            "wait for it; if two instances share one token, give each its own store or state directory",
        )
    turn.check()
    for name in fence.names():
        if _token(name) < token:
            _retire(disk, fence, name)
    # Leftovers of an earlier attempt of ours.
    disk.empty("target:clear", turn.work)


def _retire(disk: Disk, fence: Folder, name: str) -> None:
    """Remove a former holder's folder, again and again while it still puts things into it."""
    gone = False
    while not gone:
        try:
            with fence.folder(name) as former:
                disk.empty("target:fence:retire", former)
        except FileNotFoundError:
            return
        gone = disk.remove_folder("target:fence:retire", fence, name)


def _token(name: str) -> int:
    if not _TOKEN.fullmatch(name):
        raise Transient(
            Reason.TARGET_UNAVAILABLE,
            f"the fence holds {ascii(name)[:80]}, which is no token: the largest one can't be told",
            "remove this entry from .reconciler/fence once no other instance works on the target",
        )
    return int(name)
