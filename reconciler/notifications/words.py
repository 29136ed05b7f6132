"""What a notification says. Pure.

Nearly all of it is somebody else's text: messages of servers and programs, names of people. It is shown as text: on one
line, cut, without characters that act on a terminal, and parted where a chat or a mail program would make a link, a
mention or markup of it. Only the address of our own page is a link.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from reconciler import documents
from reconciler.core.notifying import Route
from reconciler.core.readable import counted, moment, short, spelled
from reconciler.documents import Document
from reconciler.errors import Reason
from reconciler.model import EnvironmentName, Notice, NoticeKind, Status

TEXT_CHARACTERS = 500
"""Most characters of one text of somebody else's: more is on the page, and in `reconciler why`."""
NAMED = 10
"""Environments of one kind that a digest names."""
ITEMS = 100
"""Environments that the JSON of a digest describes."""

_LINKS = re.compile(r"(?<=:)(?=//)|(?<=\bwww)(?=\.)|(?<=\bmailto:)|(?<=\btel:)", re.IGNORECASE)
_MENTIONS = re.compile(r"(?<![\w.+-])@(?=\w)")
_ANGLES = str.maketrans(
    "<>", "\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}\N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK}"
)


@dataclass(frozen=True, slots=True)
class Page:
    """Where the pages are, as people reach them."""

    url: str
    """Without a slash at the end; empty when nobody said."""

    def of(self, environment: EnvironmentName) -> str:
        """The page of one environment; empty when there is none."""
        return f"{self.url}/environments/{environment}" if self.url else ""


@dataclass(frozen=True, slots=True)
class Message:
    """One message, for every kind of channel."""

    title: str
    lines: tuple[str, ...]
    link: str
    """Empty when there is no page."""
    urgency: str
    """`info`, `success`, `warning` or `failure`, as apprise colours them."""
    document: Document
    """For programs."""

    def text(self) -> str:
        """For who shows text as it is."""
        return "\n".join((*self.lines, *((self.link,) if self.link else ())))

    def markdown(self) -> str:
        """For who takes everything for Markdown: a paragraph for each line, and one link."""
        link = f"[Open the page]({self.link})"
        return "\n\n".join((*self.lines, *((link,) if self.link else ())))


def inert(text: str, most: int = TEXT_CHARACTERS) -> str:
    """Somebody else's text, so that nothing becomes a link, a mention or markup of it."""
    line = spelled(" ".join(text.split()), most)
    parted = _MENTIONS.sub("@ ", _LINKS.sub(" ", line))
    return parted.translate(_ANGLES).replace("](", "] (")


def message(route: Route, notices: Sequence[Notice], page: Page, now: datetime) -> Message:
    """What is sent of some notices, at least one: of one in full, of more a digest."""
    document = _document(route, notices, page, now)
    if len(notices) > 1:
        title = f"{counted(len(notices), 'environment')}: " + _summary(notices)
        return Message(title, _digest(notices), page.url, _urgency(notices), document)
    (notice,) = notices
    name = notice.environment
    return Message(_title(notice), _story(notice), page.of(name), _urgency(notices), document)


def trial(route: Route, page: Page, now: datetime) -> Message:
    """What is sent to try a route."""
    told = f"This is a test of the route {route.name}. Nothing happened."
    covers = f"It tells of {', '.join(sorted(route.kinds))} in {', '.join(map(inert, route.environments))}."
    document = {**_document(route, (), page, now), "test": True}
    return Message(f"Test of the route {route.name}", (told, covers), page.url, "info", document)


# --- one environment ------------------------------------------------------------------------------


def _title(notice: Notice) -> str:
    status, name = notice.status, notice.environment
    run = f"run {status.live.run_id}" if status.live else "nothing"
    if notice.kind is NoticeKind.DEPLOYED:
        return f"{name}: {run} is live"
    if notice.kind is NoticeKind.RECOVERED:
        return f"{name} is well again: {run} is live"
    if notice.kind is NoticeKind.FAILED:
        again = "is still declared, and failed" if notice.reminder else "failed"
        return f"{name}: run {status.declared.run_id or '-'} {again}: {status.reason}"
    still = "still " if notice.reminder else ""
    why = f": {status.reason}" if status.reason not in (None, Reason.DRIFTED) else ""
    return f"{name} {_said(notice.kind, still)}{why}"


def _said(kind: NoticeKind, still: str) -> str:
    return {
        NoticeKind.DRIFTED: f"has {still}drifted",
        NoticeKind.DEGRADED: f"is {still}Degraded",
        NoticeKind.STUCK: f"is {still}stuck",
        NoticeKind.HELD: f"is {still}Held",
        NoticeKind.WAITING: f"{still}waits",
    }[kind]


def _story(notice: Notice) -> tuple[str, ...]:
    status = notice.status
    told = (
        ("", status.message),
        ("What to do", status.hint if notice.kind not in (NoticeKind.DEPLOYED, NoticeKind.RECOVERED) else ""),
        ("State", f"{status.sync}, {status.health}, since {moment(status.since)}"),
        ("Live", _live(status)),
        ("Let in by", _let_in(status)),
        ("Declared", _declared(status)),
        ("More", f"reconciler why {notice.environment}"),
    )
    return tuple(f"{label}: {inert(text)}" if label else inert(text) for label, text in told if text)


def _live(status: Status) -> str:
    if status.live is None:
        return "nothing"
    return f"run {status.live.run_id} ({status.live.id}) since {moment(status.live_since)}"


def _let_in(status: Status) -> str:
    """How what is live was let in, and by whom."""
    approved = f"approved by {', '.join(status.approvers)}" if status.approvers else ""
    return ", ".join(filter(None, (status.request, approved)))


def _declared(status: Status) -> str:
    wanted, live = status.declared, status.live
    if wanted.run_id is None or (live and (wanted.run_id, wanted.sha256) == (live.run_id, live.sha256)):
        return ""
    return f"run {wanted.run_id} ({short(wanted.sha256)}) by commit {short(wanted.commit)}"


# --- many -----------------------------------------------------------------------------------------


def _groups(notices: Sequence[Notice]) -> Iterable[tuple[str, tuple[Notice, ...]]]:
    """By what is said of them, in the order that they come in."""
    for (kind, reminder), group in groupby(notices, key=lambda one: (one.kind, one.reminder)):
        yield f"still {kind}" if reminder else str(kind), tuple(group)


def _summary(notices: Sequence[Notice]) -> str:
    return ", ".join(f"{len(group)} {said}" for said, group in _groups(notices))


def _digest(notices: Sequence[Notice]) -> tuple[str, ...]:
    return tuple(_named(said, group) for said, group in _groups(notices))


def _named(said: str, group: Sequence[Notice]) -> str:
    """`3 held: prod (ApprovalMissing), shop/prod (Frozen) …`"""
    names = ", ".join(
        f"{one.environment} ({one.status.reason})" if one.status.reason else one.environment for one in group[:NAMED]
    )
    more = f" and {len(group) - NAMED} more" if len(group) > NAMED else ""
    return f"{len(group)} {said}: {names}{more}"


def _urgency(notices: Sequence[Notice]) -> str:
    worst = min(notices, key=lambda one: tuple(NoticeKind).index(one.kind)).kind
    if worst in (NoticeKind.DEPLOYED, NoticeKind.RECOVERED):
        return "success"
    return {NoticeKind.HELD: "warning", NoticeKind.WAITING: "info"}.get(worst, "failure")


# --- for programs ---------------------------------------------------------------------------------


def _document(route: Route, notices: Sequence[Notice], page: Page, now: datetime) -> Document:
    body = {
        "route": route.name,
        "sentAt": documents.time(now),
        "test": False,
        "count": len(notices),
        "items": [_item(notice, page) for notice in notices[:ITEMS]],
    }
    return documents.kind("Notification", body)


def _item(notice: Notice, page: Page) -> Document:
    status = notice.status
    serving = documents.live(status.live, status.live_since)
    return {
        "environment": notice.environment,
        "event": notice.kind.value,
        "reminder": notice.reminder,
        "sync": status.sync.value,
        "health": status.health.value,
        "reason": str(status.reason) if status.reason else None,
        "message": _plain(status.message),
        "hint": _plain(status.hint),
        "since": documents.time(status.since),
        "declared": documents.declared(status.declared),
        "live": serving
        and {**serving, "request": _plain(status.request), "approvers": list(map(_plain, status.approvers[:ITEMS]))},
        "drift": len(status.drift),
        "url": page.of(notice.environment) or None,
    }


def _plain(text: str) -> str:
    return spelled(text, TEXT_CHARACTERS)
