"""Which hosts and ports environments may have asked. Pure: addresses in, verdicts out.

Addresses are compared as they are written and not looked up, so a rule for a name allows wherever that name leads, and
no other spelling of an address passes for one that is allowed: `127.1` and `0x7f000001` are names like any other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from ipaddress import ip_address
from typing import Annotated

from pydantic import AfterValidator, Field

from reconciler.core.allowance import Allowance, not_allowed
from reconciler.errors import PolicyDenied, Reason
from reconciler.model import EnvironmentName

_WRITTEN = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:/@\s]+)):([0-9]{1,5}|\*)")
_NUMERIC = re.compile(r"[0-9.*]*[0-9][0-9.*]*")
REMEMBERED = 20_000
"""Addresses whose verdict is remembered, so that many rules don't cost at every check."""
_LOCALHOST = ("127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Place:
    """A host and a port."""

    host: str
    """A name in lower case, or an IP address in its usual form, without brackets."""
    port: int

    literal: tuple[str, ...] = ()
    """Its addresses, where no resolver is needed for them; empty for a name."""

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def place(host: str, port: int) -> Place:
    """A host and a port in the one form in which they are compared.

    Raises:
        ValueError: There is no such port or host.
    """
    if not 1 <= port <= 65_535:
        raise ValueError(f"there is no port {port}")
    plain = host.strip("[]").rstrip(".").lower()
    if not plain:
        raise ValueError("no host")
    if not _is_address(plain):
        return Place(plain, port, _LOCALHOST if plain == "localhost" else ())
    address = str(ip_address(plain))
    return Place(address, port, (address,))


def read(text: str) -> Place:
    """A place that is written as `host:port` or `[address]:port`.

    Raises:
        ValueError: It is none.
    """
    found = _WRITTEN.fullmatch(text)
    if not found or found[3] == "*":
        raise ValueError("not of the form host:port")
    return place(found[1] or found[2], int(found[3]))


def _pattern(value: str) -> str:
    found = _WRITTEN.fullmatch(value)
    if not found or (found[3] != "*" and not 1 <= int(found[3]) <= 65_535):
        raise ValueError("not host:port, such as 127.0.0.1:8080, [::1]:8080, *.internal:443 or shop.internal:*")
    if found[1]:
        ip_address(found[1])
    return value


class HostsAllowance(Allowance):
    """Hosts that some environments may have asked."""

    hosts: tuple[Annotated[str, Field(max_length=300), AfterValidator(_pattern)], ...] = Field(
        min_length=1,
        max_length=1_000,
        description="host:port, each a pattern in which * stands for any characters; [address]:port for IPv6",
    )

    @cached_property
    def _patterns(self) -> tuple[tuple[str, str], ...]:
        found = [_WRITTEN.fullmatch(one) for one in self.hosts]
        return tuple(
            (str(ip_address(one[1])) if one[1] else one[2].rstrip(".").lower(), one[3]) for one in found if one
        )

    def names(self, where: Place) -> bool:
        """Whether it is about this place."""
        return any(port in ("*", str(where.port)) and _matches(where.host, pattern) for pattern, port in self._patterns)


def check(rules: tuple[HostsAllowance, ...], environment: EnvironmentName, where: Place, kind: str) -> None:
    """Raises where no rule lets an environment have a place asked.

    Raises:
        PolicyDenied: `ActivationNotAllowed`.
    """
    if not any(rule.covers(environment) and rule.names(where) for rule in rules):
        raise not_allowed(
            environment,
            f"have {where} asked for its health by {kind}",
            f"probes.{kind}.allow",
            {"hosts": [str(where)]},
        )


def unreadable(environment: EnvironmentName, kind: str, problem: object) -> PolicyDenied:
    """The refusal to ask what is no address."""
    return PolicyDenied(
        Reason.ACTIVATION_NOT_ALLOWED,
        f"{environment}: what health.{kind} names can't be asked: {problem}",
        "mend the address in the environment's file",
    )


def _matches(host: str, pattern: str) -> bool:
    """Whether a pattern is about a host. `10.0.0.*` is about addresses, and not about `10.0.0.somebody.example`."""
    if _NUMERIC.fullmatch(pattern) and not _is_address(host):
        return False
    return fnmatchcase(host, pattern)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
