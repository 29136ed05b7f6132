"""Objects by name through long-lived `git cat-file --batch-command` processes: none is started for a question.

Each process answers one question at a time, and there are a few of them, so that a slow answer holds nobody else
up. One is started when it is needed and ended when nobody asked it for a while, at any fault, and when the mirror
was made anew. Sizes are asked for before contents, so nothing is read that is larger than the caller takes; and
every content is hashed against its name. A process finds objects that were fetched after its start: git looks for
new packs before it says that one is missing.
"""

from __future__ import annotations

import os
import select
import subprocess
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from reconciler.bounds import Bounds
from reconciler.git import objects
from reconciler.git.command import CHUNK, COMPLAINT_BYTES, Git, GitFailed, last_words
from reconciler.git.local import LocalMirror
from reconciler.git.processes import PROCESSES
from reconciler.git.remote import is_commit
from reconciler.machine.clock import SystemClock

READERS = 4
"""Most processes of one mirror."""
IDLE_SECONDS = 10.0
"""How long a process stays that nobody asks."""

_TOGETHER = 256
"""Objects that are asked for at once."""
_BYTES_TOGETHER = 8 * 1024**2
"""Bytes of contents that are read at once; a single larger one is read alone."""
_HEADER_BYTES = 128
"""Most bytes of a line that says an object's name, kind and size."""
_USAGE = 129
"""The code that git ends with when it does not know an option."""


class Readers:
    """The processes of one mirror. Safe to use from several threads.

    Args:
        git: Starts them.
        mirror: Where the objects are.
        bounds: `git_local_seconds` is the deadline of one answer, and of the wait for a free process.
    """

    def __init__(self, git: Git, mirror: LocalMirror, bounds: Bounds) -> None:
        self._git = git
        self._mirror = mirror
        self._seconds = bounds.git_local_seconds
        self._clock = SystemClock()
        self._changed = threading.Condition()
        self._idle: list[_Reader] = []
        self._lent = 0
        self._watching = False
        self._old_git = False
        weakref.finalize(self, _end_all, self._idle)

    def read(self, kind: str, names: Sequence[str], limit: int) -> dict[str, bytes | None]:
        """Contents by name; None for one of more than `limit` bytes.

        Args:
            kind: The type that every object must have.
            names: Full names.
            limit: Most bytes of one content.

        Raises:
            GitFailed: The mirror does not hold them all, whole and of this type.
            Transient: `RepositoryUnavailable`, after the deadline.
        """
        for name in names:
            if not is_commit(name):  # or a line feed in it would be a command of its own
                raise GitFailed(f"the local mirror: {name[:100]!r} is not the name of an object")
        if not names:
            return {}
        if not self._old_git:
            try:
                return self._ask(kind, names, limit)
            except _Ended as ended:
                if ended.code != _USAGE:
                    raise
                self._old_git = True
        return self._once(kind, names, limit)

    def _ask(self, kind: str, names: Sequence[str], limit: int) -> dict[str, bytes | None]:
        """Ask a process; a second one when the first had ended while nobody asked it."""
        with self._borrowed() as reader:
            if not reader.used:
                return reader.read(kind, names, limit)
            try:
                return reader.read(kind, names, limit)
            except _Ended:
                reader.end()
        with self._borrowed(fresh=True) as reader:
            return reader.read(kind, names, limit)

    def _once(self, kind: str, names: Sequence[str], limit: int) -> dict[str, bytes | None]:
        """For a git before 2.36: a process for each question, which reads past what is too large."""
        found: dict[str, bytes | None] = {}
        batch = objects.Batch(kind, limit, found.__setitem__)
        wanted = "".join(f"{name}\n" for name in names).encode("ascii")
        self._git.local(self._mirror.path, "cat-file", "--batch", stdin=wanted, sink=batch.feed)
        if any(name not in found for name in names):
            raise GitFailed("the local mirror: git cat-file left out an object")
        return found

    @contextmanager
    def _borrowed(self, *, fresh: bool = False) -> Iterator[_Reader]:
        """A process for this thread alone; it is ended when the block fails."""
        self._wait_for_room()
        try:
            reader = self._take(fresh)
            try:
                yield reader
            except Missing:
                self._give_back(reader)
                raise
            except BaseException:
                reader.end()
                raise
            self._give_back(reader)
        finally:
            with self._changed:
                self._lent -= 1
                self._changed.notify()

    def _wait_for_room(self) -> None:
        with self._changed:
            if not self._changed.wait_for(lambda: self._lent < READERS, self._seconds):
                raise self._git.late("cat-file")
            self._lent += 1

    def _take(self, fresh: bool) -> _Reader:
        """One that is idle, or a new one. Those that knew an earlier mirror, and all when a new one is wanted, go."""
        generation = self._mirror.generation
        with self._changed:
            gone = [reader for reader in self._idle if fresh or reader.generation != generation]
            self._idle[:] = [reader for reader in self._idle if reader not in gone]
            found = self._idle.pop() if self._idle else None
        _end_all(gone)
        if found:
            return found
        process = self._git.start(self._mirror.path, "cat-file", "--batch-command", "--buffer")
        return _Reader(process, generation, self._git, self._seconds)

    def _give_back(self, reader: _Reader) -> None:
        if reader.ended:
            return
        reader.idle_since = self._clock.monotonic()
        with self._changed:
            self._idle.append(reader)
            if not self._watching:
                self._watching = True
                _later(self)

    def let_go(self) -> bool:
        """End what nobody asked for a while; whether any is left that may become so."""
        until = self._clock.monotonic() - IDLE_SECONDS
        with self._changed:
            gone = [reader for reader in self._idle if reader.idle_since <= until]
            self._idle[:] = [reader for reader in self._idle if reader not in gone]
            self._watching = bool(self._idle)
        _end_all(gone)
        return self._watching


class Missing(GitFailed):
    """The mirror does not hold an object at all. Nothing is wrong with the process that says so."""


class _Ended(GitFailed):
    """The process ended in the middle of an answer, or before it."""

    def __init__(self, complaint: str, code: int) -> None:
        super().__init__(f"the local mirror: git cat-file: {complaint or f'ended with {code}'}")
        self.code = code


class _Reader:
    """One process; for one thread at a time."""

    def __init__(self, process: subprocess.Popen[bytes], generation: int, git: Git, seconds: float) -> None:
        self.generation = generation
        self.idle_since = 0.0
        self.used = False
        self.ended = False
        self._process = process
        self._git = git
        self._seconds = seconds
        self._clock = SystemClock()
        self._complaint = bytearray()
        self._deaf = False
        assert process.stdin
        assert process.stdout
        assert process.stderr
        self._in, self._out, self._err = (pipe.fileno() for pipe in (process.stdin, process.stdout, process.stderr))
        for pipe in (self._in, self._out, self._err):
            os.set_blocking(pipe, False)
        self._poll = select.poll()
        self._poll.register(self._out, select.POLLIN)
        self._poll.register(self._err, select.POLLIN)

    def read(self, kind: str, names: Sequence[str], limit: int) -> dict[str, bytes | None]:
        """As `Readers.read`."""
        found: dict[str, bytes | None] = dict.fromkeys(names)
        unique = tuple(found)
        for start in range(0, len(unique), _TOGETHER):
            sizes = self._sizes(kind, unique[start : start + _TOGETHER])
            for group in _groups(sizes, limit):
                found.update(self._contents(kind, group))
        self.used = True
        return found

    def end(self) -> None:
        """Kill it. May be called again."""
        if not self.ended:
            self.ended = True
            PROCESSES.end(self._process)

    def _sizes(self, kind: str, names: Sequence[str]) -> dict[str, int]:
        answer = self._talk(
            _commands("info", names),
            lambda data: data.count(b"\n") >= len(names) or len(data) > _HEADER_BYTES * len(names),
        )
        lines = answer.decode("ascii", "replace").splitlines()
        if len(lines) != len(names) or not answer.endswith(b"\n"):
            raise GitFailed("the local mirror: git cat-file said something else than sizes")
        if lost := next((name for name, line in zip(names, lines, strict=True) if line == f"{name} missing"), None):
            raise Missing(f"the local mirror: object {lost} missing, wanted is a {kind}")
        sizes: dict[str, int] = {}
        for name, line in zip(names, lines, strict=True):
            words = line.split(" ")
            if len(words) != 3 or words[:2] != [name, kind] or not words[2].isdigit():
                raise GitFailed(f"the local mirror: object {line[:100]}, wanted is a {kind}")
            sizes[name] = int(words[2])
        return sizes

    def _contents(self, kind: str, sizes: dict[str, int]) -> Iterator[tuple[str, bytes]]:
        headers = {name: f"{name} {kind} {size}\n".encode() for name, size in sizes.items()}
        whole = sum(len(headers[name]) + size + 1 for name, size in sizes.items())
        answer = self._talk(_commands("contents", tuple(sizes)), lambda data: len(data) >= whole)
        at = 0
        for name, size in sizes.items():
            start = at + len(headers[name])
            content = bytes(answer[start : start + size])
            if answer[at:start] != headers[name]:
                raise GitFailed(f"the local mirror: git cat-file did not give the {kind} {name}")
            objects.check(name, kind, content)
            yield name, content
            at = start + size + 1
        if at != len(answer):
            raise GitFailed("the local mirror: git cat-file gave more than it was asked for")

    def _talk(self, words: bytes, is_whole: Callable[[bytearray], bool]) -> bytearray:
        """Ask, and read until the answer is whole."""
        expires = self._clock.monotonic() + self._seconds
        answer, left = bytearray(), self._write(memoryview(words))
        if left:
            self._poll.register(self._in, select.POLLOUT)
        while not is_whole(answer):
            seconds = expires - self._clock.monotonic()
            ready = self._poll.poll(seconds * 1000) if seconds > 0 else []
            if not ready:
                raise self._git.late("cat-file")
            for pipe, _ in ready:
                if pipe == self._in:
                    left = self._write(left)
                    if not left:
                        self._poll.unregister(self._in)
                elif pipe == self._err:
                    self._hear()
                else:
                    self._listen(answer)
        if left:
            raise GitFailed("the local mirror: git cat-file answered before it was asked")
        return answer

    def _write(self, words: memoryview) -> memoryview:
        try:
            return words[os.write(self._in, words) :] if words else words
        except BlockingIOError:
            return words
        except BrokenPipeError:  # it has ended; its other pipes tell
            return words[:0]

    def _listen(self, answer: bytearray) -> None:
        chunk = os.read(self._out, CHUNK)
        if not chunk:
            self._hear()
            self.end()
            raise _Ended(last_words(bytes(self._complaint)), self._process.returncode or 0)
        answer += chunk

    def _hear(self) -> None:
        try:
            chunk = os.read(self._err, COMPLAINT_BYTES)
        except BlockingIOError:
            return
        self._complaint += chunk
        del self._complaint[:-COMPLAINT_BYTES]
        if not chunk and not self._deaf:
            self._deaf = True
            self._poll.unregister(self._err)


def _commands(command: str, names: Sequence[str]) -> bytes:
    """One for each name, and what has git answer them all."""
    return "".join(f"{command} {name}\n" for name in names).encode("ascii") + b"flush\n"


def _groups(sizes: dict[str, int], limit: int) -> Iterator[dict[str, int]]:
    """Those within the limit, in parts that are read at once."""
    group: dict[str, int] = {}
    for name, size in sizes.items():
        if size > limit:
            continue
        if group and sum(group.values()) + size > _BYTES_TOGETHER:
            yield group
            group = {}
        group[name] = size
    if group:
        yield group


def _end_all(readers: list[_Reader]) -> None:
    for reader in readers:
        reader.end()


def _later(readers: Readers) -> None:
    """Look for idle processes after a while, for as long as there are any and `readers` is in use."""
    known = weakref.ref(readers)

    def look() -> None:
        found = known()
        if found is not None and found.let_go():
            _later(found)

    timer = threading.Timer(IDLE_SECONDS, look)
    timer.daemon = True
    timer.start()
