"""Connections with a deadline over all of it: the name's resolution, each address, and what follows.

The resolver of the system can't be given a deadline, nor be stopped. So names are looked up in threads of their own,
one for each name at a time and a bounded number in all, and whoever waits for one waits no longer than it may.
"""

from __future__ import annotations

import os
import socket
import ssl
import threading
from dataclasses import dataclass, field

from reconciler.ports import Clock
from reconciler.probes.hosts import Place

MOST_LOOKUPS = 32
"""Names that are looked up at the same time; each is a thread, and may hang for as long as the resolver likes."""


class Unanswered(Exception):
    """Why nothing was answered, in words for people."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """Until when something has to be done, and since when it is under way."""

    clock: Clock
    seconds: float
    began: float

    @classmethod
    def of(cls, clock: Clock, seconds: float) -> Deadline:
        """From now on."""
        return cls(clock, seconds, clock.monotonic())

    @property
    def left(self) -> float:
        """Seconds until then.

        Raises:
            TimeoutError: It is over.
        """
        left = self.began + self.seconds - self.clock.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    @property
    def took(self) -> str:
        """For people: the time since it began."""
        return seconds(self.clock.monotonic() - self.began)


def seconds(number: float) -> str:
    """For people: `0.9 ms`, `0.012 s`, `3.5 s`."""
    if number < 0.01:
        return f"{number * 1000:.1f} ms"
    return f"{number:.2g} s" if number < 10 else f"{number:.0f} s"


@dataclass(slots=True)
class _Lookup:
    """One question to the resolver, under way."""

    done: threading.Event = field(default_factory=threading.Event)
    found: tuple[str, ...] = ()


class Names:
    """Looks names up; safe from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: dict[str, _Lookup] = {}

    def addresses(self, where: Place, deadline: Deadline) -> tuple[str, ...]:
        """The addresses of a host, at least one.

        Raises:
            Unanswered: It has none, or that was not to be found out in time.
        """
        if where.literal:
            return where.literal
        lookup = self._lookup(where.host)
        if not lookup.done.wait(deadline.left):
            raise Unanswered(f"the name {where.host} was not resolved in {seconds(deadline.seconds)}")
        if not lookup.found:
            raise Unanswered(f"the name {where.host} can't be resolved")
        return lookup.found

    def _lookup(self, host: str) -> _Lookup:
        with self._lock:
            if host in self._under_way:
                return self._under_way[host]
            if len(self._under_way) >= MOST_LOOKUPS:
                raise Unanswered(f"the name {host} was not looked up: {MOST_LOOKUPS} others are")
            lookup = self._under_way[host] = _Lookup()
        try:
            threading.Thread(target=self._resolve, args=(host, lookup), name="lookup", daemon=True).start()
        except RuntimeError:
            self._finish(host, lookup)
        return lookup

    def _resolve(self, host: str, lookup: _Lookup) -> None:
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            lookup.found = tuple(dict.fromkeys(str(one[4][0]) for one in found))
        except (OSError, UnicodeError):
            pass  # no address is found: the answer
        finally:
            self._finish(host, lookup)

    def _finish(self, host: str, lookup: _Lookup) -> None:
        with self._lock:
            self._under_way.pop(host, None)
        lookup.done.set()


def connect(names: Names, where: Place, deadline: Deadline) -> socket.socket:
    """A connection, to be closed by the caller; each address of a name gets its share of the time.

    Raises:
        Unanswered: None of the addresses takes one.
        TimeoutError: The time is over.
    """
    addresses = names.addresses(where, deadline)
    trouble: OSError | None = None
    for number, address in enumerate(addresses):
        try:
            return _connected(address, where.port, deadline.left / (len(addresses) - number))
        except OSError as error:
            trouble = error
    raise Unanswered(told(trouble or TimeoutError(), "no connection", deadline)) from None


def _connected(address: str, port: int, timeout: float) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    connection = socket.socket(family, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout)
        connection.connect((address, port))
    except BaseException:
        connection.close()
        raise
    return connection


def told(error: OSError, late: str, deadline: Deadline) -> str:
    """A fault of a connection in one line.

    Args:
        error: The fault.
        late: What did not come about, for when the time was over.
        deadline: That time.
    """
    if isinstance(error, TimeoutError):
        return f"{late} in {seconds(deadline.seconds)}"
    if isinstance(error, ConnectionRefusedError):
        return "refused the connection"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return "TLS failed: check that the port speaks it"
    if isinstance(error, ConnectionResetError | BrokenPipeError):
        return "broke off the connection"
    return f"the connection failed: {os.strerror(error.errno) if error.errno else type(error).__name__}"
