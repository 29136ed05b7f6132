"""From an answer's bytes to JSON values, and to the next page. Strict: what can be read in two ways is no answer."""

from __future__ import annotations

import json
import re

from reconciler.net import Answer, Unavailable, shown

_LINK = re.compile(r'<([!-;=?-\[\]-~]+)>((?:\s*;\s*[A-Za-z]+="?[^",;]*"?)*)', re.ASCII)
"""One entry of a Link header (RFC 8288, section 3) as GitHub writes it; nothing in its address but ASCII."""
_RELATION = re.compile(r';\s*rel="?([^";]*)"?', re.IGNORECASE)


class _Unreadable(ValueError):
    """Not JSON that every reader reads alike; the message says why."""


def read_json(answer: Answer, limit: int, unavailable: Unavailable) -> tuple[bytes, object]:
    """The body, as it came and decoded.

    Raises:
        Transient: It is too large, is no JSON, or broke off.
    """
    kind = answer.media_type
    if kind != "application/json" and not kind.endswith("+json"):
        found = "an HTML page" if kind == "text/html" else ascii(kind)[:80] if kind else "something without a type"
        raise unavailable(
            f"{shown(answer.url)} answers {answer.status} with {found} instead of JSON",
            "check that url is the address of GitHub's API, and that no proxy on the way answers in its place",
        )
    if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise unavailable(
            f"{shown(answer.url)} answers in a compressed form that was not asked for", "look for a proxy on the way"
        )
    data = answer.body(limit)
    if len(data) > limit:
        raise unavailable(
            f"{shown(answer.url)} answers with more than the allowed {limit} bytes", "raise bounds.api_bytes"
        )
    try:
        return data, decode(data)
    except ValueError as problem:
        raise unavailable(
            f"{shown(answer.url)} answers with what is no JSON: {problem}",
            "nothing to do if it happens once: it is tried again; if it stays, look for a proxy on the way",
        ) from None


def decode(data: bytes) -> object:
    """JSON by RFC 8259 without what readers disagree on: no duplicate keys, no NaN, UTF-8 only.

    Raises:
        ValueError: It is something else; the message shows nothing of it.
    """
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=_once, parse_constant=_refuse)
    except _Unreadable:
        raise
    except RecursionError:
        raise _Unreadable("nested too deep") from None
    except UnicodeDecodeError as error:
        raise _Unreadable(f"not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise _Unreadable(f"line {error.lineno}, column {error.colno}: {error.msg}") from None
    except ValueError:  # an integer of more digits than Python converts
        raise _Unreadable("a number with too many digits") from None


def next_page(links: str) -> str | None:
    """The address that a Link header names as the next page ("Using pagination in the REST API").

    Raises:
        ValueError: It seems to name one, but not in a way that can be read: the list must not look as if it ended.
    """
    for target, parameters in _LINK.findall(links):
        if any("next" in relation.lower().split() for relation in _RELATION.findall(parameters)):
            return str(target)
    if re.search(r"rel\W[^,;]*\bnext\b", re.sub(r"<[^>]*>", "", links), re.IGNORECASE):
        raise ValueError("a Link header that can't be read")
    return None


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise _Unreadable("a key that stands twice in one object")
    return fields


def _refuse(constant: str) -> object:
    raise _Unreadable(f"{constant} is not a JSON value")
