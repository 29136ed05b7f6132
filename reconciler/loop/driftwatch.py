"""The instant signal for drift: a change where an environment lives wakes it, long before its time has come.

It only wakes: what changed is found out by the pass, and what is missed here by the slow cycle. So where the system
can't watch so much, watching ends with one word about it, and everything still heals. Network file systems are not
watched: they tell nobody of what others do, and one that hangs would hold the whole process.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from watchfiles._rust_notify import RustNotify  # documented there as the backend to use directly

from reconciler.model import EnvironmentName
from reconciler.ports import Clock

STEP_MS = 200
"""Milliseconds between two looks at what was signalled: 0.4 ms of CPU a second when idle, a tenth of what 20 cost."""
DEBOUNCE_MS = 1_000
"""Milliseconds for which changes are gathered at most."""
SETTLE_SECONDS = 2.0
"""Seconds between two changes of what is watched: a commit of many is taken up in a few steps."""
MOST_FOLDERS = 50_000
"""Folders watched at most, over all environments. Origin: each takes about 1 KiB of the kernel's memory."""
REMOTE = ("nfs", "cifs", "smb", "9p", "ceph", "fuse", "afs", "gluster", "lustre", "gpfs", "ocfs", "gfs")
"""How the types of such file systems begin, as the kernel names them."""

Touched = Callable[[Iterable[EnvironmentName]], object]


class DriftWatch:
    """Watches the folders of live releases. `follow` is safe from any thread; `run` needs one of its own.

    Args:
        most: Environments up to which any is watched.
        clock: For pauses.
        tell: Told once why something is not watched.
    """

    def __init__(self, most: int, clock: Clock, tell: Callable[[str], object]) -> None:
        self._most = most
        self._clock = clock
        self._tell = tell
        self._lock = threading.Lock()
        self._live: dict[EnvironmentName, str] = {}
        """The release that each environment's folders are of."""
        self._folders: dict[EnvironmentName, tuple[str, ...]] = {}
        self._count = 0
        self._fresh: set[EnvironmentName] = set()
        """Not watched yet as they are now."""
        self._news = threading.Event()
        self._told: set[str] = set()
        self._over = False

    @property
    def folders(self) -> int:
        """How many are to be watched."""
        return self._count

    def follow(self, environment: EnvironmentName, current: Path | None) -> None:
        """Watch what is live now; None: there is nothing. Called behind a pass, which has just looked there.

        Args:
            environment: Whose it is.
            current: The link to the live release.
        """
        if self._over or self._is_too_much(environment):
            return
        try:
            live = os.path.realpath(current, strict=True) if current else ""
        except OSError:
            live = ""
        if self._live.get(environment, "") == live:
            return
        folders = _folders(current, live) if current and live and not _is_remote(live) else ()
        with self._lock:
            self._count += len(folders) - len(self._folders.pop(environment, ()))
            self._live.pop(environment, None)
            if folders:
                self._live[environment], self._folders[environment] = live, folders
                self._fresh.add(environment)
        self._news.set()

    def run(self, touched: Touched, stopping: threading.Event) -> None:
        """Watch until told to stop.

        Args:
            touched: Told whose folders changed; and who is watched from now on, as it may have changed just before.
            stopping: Set when this is to end.
        """
        watcher: RustNotify | None = None
        while not stopping.is_set() and not self._over:
            self._news.clear()
            owners, fresh = self._taken()
            last, watcher = watcher, self._opened(owners) if owners else None
            if last is not None:  # open until the next one is, so that nothing is missed in between
                self._pass_on(last.watch(1, 1, 1, None), owners, touched)
                last.close()
            touched(fresh)
            until = _Until(stopping, self._news, self._clock.monotonic() + SETTLE_SECONDS, self._clock)
            if watcher is None:
                until.wait()
            else:
                while self._pass_on(watcher.watch(DEBOUNCE_MS, STEP_MS, 0, until), owners, touched):
                    pass
        if watcher is not None:
            watcher.close()

    def _is_too_much(self, environment: EnvironmentName) -> bool:
        """Above the bound nothing is watched at all: half of the environments would only be a riddle."""
        if environment in self._folders or len(self._folders) < self._most:
            return False
        self._give_up(
            f"more than {self._most} environments (watched_targets): drift is looked for in the slow cycle alone"
        )
        return True

    def _taken(self) -> tuple[dict[str, EnvironmentName], frozenset[EnvironmentName]]:
        """Whose folders are to be watched, and who is new."""
        with self._lock:
            fresh, self._fresh = frozenset(self._fresh), set()
            owners: dict[str, EnvironmentName] = {}
            for name, folders in self._folders.items():
                if len(owners) + len(folders) <= MOST_FOLDERS:
                    owners |= dict.fromkeys(folders, name)
        if len(owners) < self._count:
            self._say(f"more than {MOST_FOLDERS} folders: in some, drift is looked for in the slow cycle alone")
        return owners, fresh

    def _opened(self, owners: Mapping[str, EnvironmentName]) -> RustNotify | None:
        for _ in range(3):  # a folder may go while the list is made
            try:
                there = [folder for folder in owners if os.path.isdir(folder)]  # noqa: PTH112 - thousands of them
                return RustNotify(there, False, False, 0, False, True) if there else None
            except FileNotFoundError:
                continue
            except (OSError, RuntimeError) as error:
                self._give_up(
                    f"the system can't watch {len(owners)} folders ({error}): drift is looked for in the slow cycle "
                    "alone; raise fs.inotify.max_user_watches or max_user_instances"
                )
                return None
        return None

    def _give_up(self, why: str) -> None:
        self._over = True
        with self._lock:
            self._live, self._folders, self._count = {}, {}, 0
        self._news.set()
        self._say(why)

    def _say(self, why: str) -> None:
        if why not in self._told:
            self._told.add(why)
            self._tell(why)

    @staticmethod
    def _pass_on(found: set[tuple[int, str]] | str, owners: Mapping[str, EnvironmentName], touched: Touched) -> bool:
        """Tell whose folders changed; returns whether to go on watching."""
        if isinstance(found, str):
            return found == "timeout"
        names = (owners.get(path) or owners.get(os.path.dirname(path)) for _, path in found)  # noqa: PTH120
        touched({name for name in names if name is not None})
        return True


class _Until:
    """Told to stop; or there is something new to watch, and the last change of it is not too near."""

    def __init__(self, stopping: threading.Event, news: threading.Event, earliest: float, clock: Clock) -> None:
        self._stopping = stopping
        self._news = news
        self._earliest = earliest
        self._clock = clock

    def is_set(self) -> bool:
        """Asked by the watcher at each step."""
        return self._stopping.is_set() or (self._news.is_set() and self._clock.monotonic() >= self._earliest)

    def wait(self) -> None:
        """Wait for it where there is nothing to watch."""
        while not self.is_set():
            self._stopping.wait(1.0)


def _is_remote(path: str) -> bool:
    """Whether a path is on a file system that tells nobody of changes made elsewhere, and may hang when asked to."""
    with suppress(OSError):
        device = os.stat(path).st_dev  # noqa: PTH116 - a path out of `realpath`
        wanted = f"{os.major(device)}:{os.minor(device)}"
        for line in Path("/proc/self/mountinfo").read_text(errors="replace").splitlines():
            before, _, after = line.partition(" - ")
            if before.split(" ")[2] == wanted:
                return after.split(" ")[0].startswith(REMOTE)
    return False


def _folders(current: Path, live: str) -> tuple[str, ...]:
    """The folder that the link is in, those beside the link, and all below the live release."""
    found = {str(current.parent)}
    with suppress(OSError), os.scandir(current.parent) as entries:
        found |= {entry.path for entry in entries if entry.is_dir(follow_symlinks=False)}
    for folder, _, _ in os.walk(live):
        found.add(folder)
        if len(found) > MOST_FOLDERS:
            break
    return tuple(found)
