"""Which channels there are, and what their addresses may say. An address is a secret: no part of it is in a message.

Only what is listed here is ever loaded. apprise knows a hundred kinds more, among them some that write to the system's
log, call D-Bus, or run what they are told to; and options that read files. A new kind is a row here, and a test that
shows what becomes of hostile text there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote


class BadAddress(Exception):
    """It can't be used; the message says why, and repeats nothing of it."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of channel."""

    name: str
    """For people."""
    module: str
    """Of apprise, with the class that sends."""
    sender: str
    schemes: tuple[str, ...]
    options: frozenset[str]
    """What may stand behind the question mark."""
    headers: bool = False
    """Whether `+Name=value` may, for a header of the request."""
    markdown: bool = False
    """Whether all text is taken for Markdown there."""
    native: re.Pattern[str] | None = None
    """The address as the service itself gives it."""


KINDS = (
    Kind(
        "Slack",
        "apprise.plugins.slack",
        "NotifySlack",
        ("slack",),
        frozenset({"to"}),
        native=re.compile(r"https://hooks\.slack(-gov)?\.com/services/[^?]+", re.IGNORECASE),
    ),
    Kind(
        "Teams",
        "apprise.plugins.workflows",
        "NotifyWorkflows",
        ("workflow", "workflows"),
        frozenset(
            {
                *("id", "workflow", "sig", "signature", "pa", "powerautomate", "route", "routeid"),
                *("ver", "api-version", "sp", "sv"),
            }
        ),
        markdown=True,
        native=re.compile(r"https://[^/?]+(/powerautomate/[^?]+)?/workflows/[^?]+\?.+", re.IGNORECASE),
    ),
    Kind(
        "e-mail",
        "apprise.plugins.email",
        "NotifyEmail",
        ("mailto", "mailtos"),
        frozenset({"to", "from", "name", "smtp", "mode", "reply", "cc", "bcc", "user", "pass"}),
    ),
    Kind("webhook", "apprise.plugins.custom_json", "NotifyJSON", ("json", "jsons"), frozenset(), headers=True),
)
_WANTED = (
    "wanted slack://, workflows:// (Teams), mailto://, mailtos://, json:// or jsons://, or what Slack or Teams gave"
)


def kind_of(address: str) -> Kind:
    """The kind of an address whose options are all taken.

    Raises:
        BadAddress: There is no such kind, or an option is not taken.
    """
    scheme = address.partition("://")[0].lower() if "://" in address else ""
    for kind in KINDS:
        if scheme in kind.schemes or (kind.native is not None and kind.native.fullmatch(address.partition("#")[0])):
            _check_options(kind, address)
            return kind
    raise BadAddress(f"its address begins with none of what is taken; {_WANTED}")


def _check_options(kind: Kind, address: str) -> None:
    for part in filter(None, re.split("[&;]", address.partition("?")[2])):
        option = unquote(part.partition("=")[0])
        if option.lower() not in kind.options and not (kind.headers and option.startswith("+")):
            taken = ", ".join(sorted(kind.options)) or "only headers, as +Name=value"
            raise BadAddress(f"its address has an option that is not taken; taken for {kind.name}: {taken}")
