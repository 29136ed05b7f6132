"""The http probe: one GET, without credentials, on a connection of its own, done with within its time.

The answer has to be whole, or to fill 64 KiB, within the time: a server of one byte a second is no healthy one.
Redirects are answers like any other and are not followed. Nothing is taken from the environment (proxies, netrc), and
nothing of an answer is shown but its status.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote, urlsplit

import requests.utils
from pydantic import BaseModel, ConfigDict, Field, field_validator

from reconciler import __version__
from reconciler.core.running import HealthSpec
from reconciler.errors import PolicyDenied
from reconciler.model import EnvironmentName, Probed
from reconciler.ports import Clock, Job, Parts, Probe
from reconciler.probes import hosts
from reconciler.probes.answer import BODY_BYTES, Answer, BrokenOff, Malformed, read
from reconciler.probes.network import Deadline, Names, Unanswered, connect, told

KIND = "http"
_CHUNK = 16 * 1024
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PORTS = {"http": 80, "https": 443}
_SAFE = "/%:=&+!$,;@()*~'"
"""What stays as it is written in a path and a query, beside letters and digits; RFC 3986, section 3.3."""
_REQUEST = (
    "GET {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: reconciler/{version} (health check)\r\n"
    "Accept: */*\r\nAccept-Encoding: identity\r\nConnection: close\r\n\r\n"
)


class Options(BaseModel):
    """What the operator allows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    allow: tuple[hosts.HostsAllowance, ...] = Field(
        (), max_length=1_000, description="which hosts and ports environments may have asked; none by default"
    )
    ca_file: Path | None = Field(None, description="certificates of the authorities to trust, in PEM")

    @field_validator("ca_file")
    @classmethod
    def _readable(cls, value: Path | None) -> Path | None:
        try:
            ssl.create_default_context(cafile=str(value)) if value else None
        except (OSError, ssl.SSLError):
            raise ValueError(f"no certificates in PEM can be read from {value}") from None
        return value


def create(options: Mapping[str, object], parts: Parts) -> Probe:
    """The adapter's entry point.

    Raises:
        pydantic.ValidationError: The options are not those above.
    """
    return HttpProbe(Options.model_validate(dict(options)), parts.clock)


@dataclass(frozen=True, slots=True)
class _Address:
    """What an address comes to."""

    place: hosts.Place
    tls: bool
    request: bytes


class HttpProbe:
    """Asks one address once."""

    def __init__(self, options: Options, clock: Clock) -> None:
        self._options = options
        self._clock = clock
        self._names = Names()
        self._address = lru_cache(hosts.REMEMBERED)(self._allowed)
        self._tls: ssl.SSLContext | None = None

    def allow(self, environment: EnvironmentName, spec: HealthSpec) -> None:
        """See `ports.Probe`."""
        self._address(environment, spec.http or "")

    def probe(self, spec: HealthSpec, job: Job) -> Probed:
        """See `ports.Probe`."""
        deadline = Deadline.of(self._clock, spec.timeout_seconds)
        try:
            return self._ask(self._address(job.environment, spec.http or ""), spec, deadline)
        except PolicyDenied as no:
            return Probed(False, no.message)
        except Unanswered as trouble:
            return Probed(False, str(trouble))
        except BrokenOff:
            return Probed(False, f"broke off before the end of its answer, in {deadline.took}")
        except Malformed:
            return Probed(False, f"answered something that is not HTTP as it should be, in {deadline.took}")
        except OSError as error:
            return Probed(False, told(error, "no whole answer", deadline))

    def _allowed(self, environment: EnvironmentName, url: str) -> _Address:
        try:
            address = _read(url)
        except ValueError as problem:
            raise hosts.unreadable(environment, KIND, problem) from None
        hosts.check(self._options.allow, environment, address.place, KIND)
        return address

    def _ask(self, address: _Address, spec: HealthSpec, deadline: Deadline) -> Probed:
        with connect(self._names, address.place, deadline) as plain:
            connection = self._secured(plain, address, deadline) if address.tls else plain
            with closing(connection):
                connection.settimeout(deadline.left)
                connection.sendall(address.request)

                def receive() -> bytes:
                    connection.settimeout(deadline.left)
                    return connection.recv(_CHUNK)

                return _judged(read(receive, spec.status), spec, deadline)

    def _secured(self, plain: socket.socket, address: _Address, deadline: Deadline) -> ssl.SSLSocket:
        if self._tls is None:
            self._tls = ssl.create_default_context(
                cafile=str(self._options.ca_file or requests.utils.DEFAULT_CA_BUNDLE_PATH)
            )
        plain.settimeout(deadline.left)
        return self._tls.wrap_socket(plain, server_hostname=address.place.host)


def _judged(found: Answer, spec: HealthSpec, deadline: Deadline) -> Probed:
    answered = f"answered {found.status} in {deadline.took}"
    if found.status not in spec.status:
        redirect = ", and redirects are not followed" if found.status in _REDIRECTS else ""
        return Probed(False, answered + redirect)
    if spec.body is not None and spec.body.encode() not in found.body:
        return Probed(False, f"{answered}, without the wanted text in its first {BODY_BYTES // 1024} KiB")
    return Probed(True, answered)


def _read(url: str) -> _Address:
    parts = urlsplit(url)
    where = hosts.place(parts.hostname or "", parts.port or _PORTS[parts.scheme])
    shown = str(where) if parts.port else str(where).rpartition(":")[0]
    target = quote(parts.path or "/", safe=_SAFE)
    if parts.query:
        target += "?" + quote(parts.query, safe=_SAFE + "?")
    request = _REQUEST.format(target=target, host=shown, version=__version__)
    return _Address(where, parts.scheme == "https", request.encode("ascii"))
