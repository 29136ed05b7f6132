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

import re
from collections.abc import Collection, Container, Iterable, Iterator
from contextlib import contextmanager, suppress

from reconciler.errors import PolicyDenied, Reason, Transient
from reconciler.machine import locks
from reconciler.machine.disk import Disk, Folder
from reconciler.model import Drift, DriftKind
from reconciler.targets.layout import ACCEPTED, DISPLACED, ENVIRONMENT, FENCE, OWN, PRIVATE_MODE, RECORD_MODE, SERVICE
from reconciler.targets.manifest import printable

KEPT_ASIDE = 3
"""Things in the way of `current` that are kept: the disk must not fill with them."""

_TOKEN = re.compile(r"[1-9][0-9]{0,17}")
"""Below 10^18: a store counts to 2^63, and somebody who takes over needs a larger token than any seen."""


def largest_readable(names: Iterable[str]) -> int:
    """The largest token that can be told by the names in the fence's folder; 0 for none. For showing only."""
    return max((int(name) for name in names if _TOKEN.fullmatch(name)), default=0)


def drift(names: Collection[str], folders: Container[str], *, expected: bool) -> tuple[Drift, ...]:
    """In which ways the fence is not as we leave it. Nobody acts on a target whose fence has a name that is no token.

    Args:
        names: What is in the fence's folder.
        folders: Those of them that are real folders.
        expected: Whether somebody acted on this target before, so that there must be a token.
    """
    path = f"{OWN}/{FENCE}"
    found = []
    for name in sorted(names):
        if not _TOKEN.fullmatch(name):
            found.append(Drift(f"{path}/{printable(name)}", DriftKind.FOREIGN, "a token's folder", "no token"))
        elif name not in folders:
            found.append(Drift(f"{path}/{name}", DriftKind.KIND, "a folder", "something else"))
    if expected and not found and not largest_readable(names):
        found.append(Drift(path, DriftKind.MISSING, "the folder of a token", "nothing"))
    return tuple(found)


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

    def __init__(self, disk: Disk, own: Folder, fence: Folder, token: int, work: Folder) -> None:
        self.work = work
        self._disk = disk
        self._own = own
        self._fence = fence
        self._token = token
        self._discarded = 0
        self._prepared = False

    def check(self) -> None:
        """Raises PolicyDenied `FencedOff` when somebody with a larger token came meanwhile."""
        check(self._fence.names(), self._token)

    def prepare_accept(self, data: bytes) -> None:
        """Write the record of the accepted declaration where only we look. The caller makes it durable."""
        self._disk.write_file("target:accept:write", self.work, ACCEPTED, RECORD_MODE, (data,))
        self._prepared = True

    def accept(self, data: bytes) -> None:
        """Replace the record of the accepted declaration; by the one that was prepared, when one was.

        Then the caller makes its name durable, too.
        """
        if self._prepared:
            self._make_room("target:accept", ACCEPTED)
            self._disk.move("target:accept:rename", self.work, ACCEPTED, self._own, ACCEPTED)
        else:
            self._put("target:accept", ACCEPTED, data)

    def remember(self, data: bytes) -> None:
        """Replace the record of how what is live runs."""
        self._put("target:remember", SERVICE, data)

    def deliver(self, data: bytes | None) -> None:
        """Replace the file of config and secrets; None: remove it."""
        if data is not None:
            self._put("target:deliver", ENVIRONMENT, data)
        elif self._own.lstat(ENVIRONMENT) is not None:
            self.discard("target:deliver:remove", self._own, ENVIRONMENT)
            self._disk.sync("target:deliver:settle", self._own)
            self.clean("target:clear")

    def discard(self, step: str, folder: Folder, name: str) -> None:
        """Take something off the target: gone from its place in one step, removed by `clean`."""
        self._discarded += 1
        self._disk.move(step, folder, name, self.work, f"gone-{self._discarded}")

    def clean(self, step: str) -> None:
        """Remove what was discarded."""
        if self._discarded:
            self._disk.empty(step, self.work)

    def displace(self, folder: Folder, name: str) -> None:
        """Put aside what is not ours and stands in the way; the oldest such things make room.

        A crash in between leaves it in the working folder, from where the next turn puts it aside.
        """
        with self._own.folder(DISPLACED):
            pass  # nothing leaves its place before there is one to put it
        self._disk.move("target:displace", folder, name, self.work, DISPLACED)
        self.rescue(self.work)

    def _put(self, step: str, name: str, data: bytes) -> None:
        self._make_room(step, name)
        self._disk.put_record(step, self.work, self._own, name, data)

    def _make_room(self, step: str, name: str) -> None:
        if self._own.is_folder(name):  # no file can be renamed over it
            self.discard(f"{step}:clear", self._own, name)

    def tidy(self) -> None:
        """After a failure: what was prepared goes at once, for nothing may come back to remove it.

        An artifact that can't ever be unpacked is not tried again, and a full disk needs its room back. When
        this fails as well, the next turn clears it.
        """
        with suppress(OSError):
            self.rescue(self.work)
            self._disk.empty("target:clear", self.work)

    def rescue(self, work: Folder) -> None:
        """Bring to safety what an interrupted `displace` left in a working folder."""
        if work.lstat(DISPLACED) is None:
            return
        with self._own.folder(DISPLACED) as aside:
            kept = sorted(int(name) for name in aside.names() if name.isdecimal())
            for number in kept[: max(0, len(kept) + 1 - KEPT_ASIDE)]:
                self.discard("target:displace:forget", aside, str(number))
            number = max(kept, default=0) + 1
            self._disk.move("target:displace:keep", work, DISPLACED, aside, str(number))
            self._disk.sync("target:displace:settle", aside)


@contextmanager
def take_turn(disk: Disk, own: Folder, token: int) -> Iterator[Turn]:
    """Raise the fence to a token and act under it.

    Args:
        disk: For the effects.
        own: The target's folder of records, with all that it should hold.
        token: From 1 on.

    Raises:
        PolicyDenied: `FencedOff`, at the start, or in the middle when a larger token came.
        Transient: `TargetUnavailable`: the same token is at work here, or there is no larger one left.
    """
    name = str(token)
    if not _TOKEN.fullmatch(name):
        raise Transient(
            Reason.TARGET_UNAVAILABLE,
            f"the token {name[:40]} is out of range: a fence holds those below 10^18",
            "see which entry of .reconciler/fence is this large: no instance came to it by counting",
        )
    with own.folder(FENCE) as fence:
        check(fence.names(), token)
        try:
            if fence.lstat(name) is None:
                disk.make_folder("target:fence", fence, name, PRIVATE_MODE)
                # A crash from here on leaves a raised fence: smaller tokens are refused, nothing else changed.
                disk.sync("target:fence:settle", fence)
            with fence.folder(name) as work, _alone(work, token):
                yield from _act(disk, Turn(disk, own, fence, token, work), fence, token)
        except Exception:
            # Whatever failed may have failed because a larger token came: then that is the reason, and our
            # folder, which we may have made behind the other's back, goes.
            if token < largest(fence.names()):
                disk.remove_folder("target:fence:retire", fence, name)
            check(fence.names(), token)
            raise


@contextmanager
def _alone(work: Folder, token: int) -> Iterator[None]:
    with locks.taken(work.fd) as ours:
        if not ours:
            raise Transient(
                Reason.TARGET_UNAVAILABLE,
                f"somebody else works on this target with the same token {token}",
                "wait for it; if two instances share one token, give each its own store or state directory",
            )
        yield


def _act(disk: Disk, turn: Turn, fence: Folder, token: int) -> Iterator[Turn]:
    try:
        _enter(disk, fence, turn, token)
        yield turn
    except Exception:
        turn.tidy()
        raise


def _enter(disk: Disk, fence: Folder, turn: Turn, token: int) -> None:
    """Make sure that only we act: our folder first, then the look for larger ones, then the smaller ones go.

    Of two that come at once, either the smaller one sees the larger folder here, or the larger one's
    listing, which is later than its own folder, sees the smaller one and removes it.
    """
    names = fence.names()
    check(names, token)
    for name in names:
        if _token(name) < token:
            _retire(disk, fence, turn, name)
    turn.rescue(turn.work)
    disk.empty("target:clear", turn.work)


def _retire(disk: Disk, fence: Folder, turn: Turn, name: str) -> None:
    """Remove a former holder's folder, again and again while it still puts things into it."""
    gone = False
    while not gone:
        try:
            with fence.folder(name) as former:
                turn.rescue(former)
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
