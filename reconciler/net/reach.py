"""Where a client may go, and how its addresses are shown. Pure: addresses in, verdicts out.

The operator names one address; a redirect is the server's wish, and a server may be lied to or taken
over. So a redirect is followed only to a host and port that the operator named, never from https to http,
and never with user information in it. As names are compared and not looked up, no loopback, link-local
or private address is reachable in any spelling (`127.1`, `0x7f000001`, `[::ffff:10.0.0.1]`) unless the
operator wrote that very spelling.

A rule for many hosts (`*.blob.example`) is for names only, over https on its usual port, and never for the bare
domain: it is for storage that is shared by many, to which nothing secret is sent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from reconciler.errors import Transient

Unavailable = Callable[[str, str], Transient]
"""Makes the error for a server that can't be reached or understood, from its message and a hint."""

_PORTS = {"http": 80, "https": 443}
_SHOWN_CHARACTERS = 300
_MANY = re.compile(r"\*((?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)+\.[a-z][a-z0-9-]*)")
"""Two labels at least, and a last one that no number begins: `*.com` and `*.0.0.1` are no rules."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What RFC 6454 calls an origin: a credential for one is for no other."""

    scheme: str
    host: str
    port: int

    @property
    def loopback(self) -> bool:
        """Whether it is this machine, by a name that no resolver decides."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def origin(url: str) -> Origin:
    """The origin of an http or https address.

    Raises:
        ValueError: It is none, it carries user information, or it can't be read; the message shows nothing of it.
    """
    parts = _split(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError("not an http or https address with a host")
    if "@" in parts.netloc:
        raise ValueError("user information before the host")
    return Origin(parts.scheme, parts.hostname.rstrip("."), parts.port or _PORTS[parts.scheme])


class Reach:
    """The origins that one client may ask.

    Args:
        home: The operator's address. Its host may be left for https on the usual port, never for http.
        allowed_hosts: Further places that redirects may lead to: `host` for the usual ports, or `host:port`.
        unavailable: How a redirect that must not be followed is told.
        many: Rules for hosts under one domain: `*.domain`.
        option: What `allowed_hosts` is called in the settings, for hints.

    Raises:
        ValueError: One of them is no host, or no rule.
    """

    def __init__(
        self,
        home: str,
        allowed_hosts: Iterable[str],
        unavailable: Unavailable,
        *,
        many: Iterable[str] = (),
        option: str = "allowed_hosts",
    ) -> None:
        self.home = origin(home)
        usual = (self.home.host, _PORTS["https"])
        self._allowed = {(self.home.host, self.home.port), usual}
        for entry in allowed_hosts:
            self._allowed.update(_authorities(entry))
        self._endings = tuple(_ending(rule) for rule in many)
        self._unavailable = unavailable
        self._option = option

    def follow(self, current: str, location: str | None) -> str:
        """The address that a redirect leads to.

        Raises:
            Transient: It must not be followed.
        """
        if not location:
            raise self._unavailable(f"{shown(current)} redirects to nowhere", "check the server behind this address")
        try:
            target = urljoin(current, _plain(location))
            there = origin(target)
        except ValueError as problem:
            raise self._unavailable(
                f"{shown(current)} redirects to an address that can't be used: {problem}",
                "check the server behind this address",
            ) from None
        self._judge(current, target, there)
        return target

    def _judge(self, current: str, target: str, there: Origin) -> None:
        if origin(current).scheme == "https" and there.scheme == "http":
            raise self._unavailable(
                f"{shown(current)} redirects from https to {shown(target)}",
                "let the server redirect to https: bytes over http can be altered on the way",
            )
        if (there.host, there.port) not in self._allowed and not self._one_of_many(there):
            raise self._unavailable(
                f"{shown(current)} redirects to {shown(target)}, a host that is not allowed",
                f"if artifacts are stored there, add {_entry(there)!r} to {self._option} in the settings",
            )

    def _one_of_many(self, there: Origin) -> bool:
        return there.scheme == "https" and there.port == _PORTS["https"] and there.host.endswith(self._endings)


def shown(url: str) -> str:
    """An address for people: without user information, query and fragment, where secrets travel."""
    try:
        parts = _split(url)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return "an address that can't be read"
    text = quote(f"{parts.scheme}://{host}{parts.path}", safe="/:@%[]!$&'()*+,;=~")
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 3] + "..."


def _authorities(entry: str) -> set[tuple[str, int]]:
    parts = _split(f"//{entry}")
    if not parts.hostname or parts.netloc != entry or "@" in entry:
        raise ValueError("wanted is host or host:port")
    host = parts.hostname.rstrip(".")
    return {(host, parts.port)} if parts.port else {(host, port) for port in _PORTS.values()}


def _ending(rule: str) -> str:
    if not (found := _MANY.fullmatch(rule)):
        raise ValueError("wanted is *.domain, in lower case and with two labels at least")
    return found[1]


def _plain(location: str) -> str:
    """Refuses what two readers of addresses may read in two ways: spaces, controls, backslashes, other scripts."""
    if not location.isascii() or not location.isprintable() or " " in location or "\\" in location:
        raise ValueError("characters that don't belong into an address")
    return location


def _split(url: str) -> SplitResult:
    """`urlsplit`, with its lazy errors at once and without the address in their text."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise ValueError("an address that can't be read") from None
    return parts


def _entry(place: Origin) -> str:
    host = f"[{place.host}]" if ":" in place.host else place.host
    return host if place.port == _PORTS[place.scheme] else f"{host}:{place.port}"
