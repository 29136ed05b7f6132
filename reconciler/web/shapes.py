"""What `views` worked out, as documents: the same words as on the command line, and what only a page needs beside them.

What the command line has too is made by `documents` alone, so that both say the same.
"""

from __future__ import annotations

import json
from datetime import timedelta

from reconciler.core.audit import Entry, line
from reconciler.core.contents import Changes, FileFact
from reconciler.documents import Document, attempt, environment, kind, time, transition
from reconciler.model import Transition
from reconciler.views.attempts import Tried
from reconciler.views.board import Board, Card
from reconciler.views.chain import Link
from reconciler.views.compare import Comparison, Side
from reconciler.views.environment import EnvironmentPage
from reconciler.views.figures import Figures, Spread, Timeline
from reconciler.views.moves import Move
from reconciler.views.record import Record, Verified

FILES = 1_000
"""Files of a comparison that are listed."""


def environments(page: Board, items: list[Document]) -> Document:
    """One page of the board; `items` are the cards', in their order."""
    counts = {state.value: count for state, count in page.counts.items()}
    body = {
        "items": items,
        "page": page.query.page,
        "pages": page.pages,
        "next": page.query.page + 1 if page.query.page < page.pages else None,
        "total": page.total,
        "found": page.found,
        "counts": counts,
        "trouble": page.trouble or None,
        "lastEvent": page.last_event,
        "asOf": time(page.as_of),
    }
    return kind("EnvironmentList", body)


def card(value: Card) -> Document:
    """What the board says of an environment, beside where it stands."""
    return {
        "shortName": value.stage,
        "state": value.state.value,
        "title": value.title,
        "requestUrl": value.request_url or None,
        "notBefore": time(value.not_before),
        "behind": value.behind,
    }


def page(value: EnvironmentPage) -> Document:
    """All that is known of one environment, but for its history."""
    body = {
        **environment(value.status, value.hand),
        **card(value.card),
        "file": value.file,
        "fileUrl": value.file_url or None,
        "chain": [_link(link) for link in value.chain],
        "promotesFrom": list(value.before),
        "promotesTo": list(value.after),
        "moves": [_move(move) for move in value.moves],
        "output": value.output,
        "lastEvent": value.last_event,
        "asOf": time(value.as_of),
    }
    return kind("Environment", body)


def attempts(value: EnvironmentPage) -> Document:
    """A page of an environment's history, newest first."""
    return kind("AttemptList", {"items": [_tried(tried) for tried in value.history], "next": value.older})


def events(found: tuple[Transition, ...], limit: int, after: int) -> Document:
    """Changes of state, oldest first; `next` goes on behind them, whether there are more or not."""
    last = found[-1].id if found else after
    return kind("EventList", {"items": [transition(item) for item in found], "next": last, "more": len(found) == limit})


def record(value: Record) -> Document:
    """A page of the audit record, newest first."""
    body = {
        "items": [_entry(entry) for entry in value.entries],
        "next": value.older,
        "searchedAll": value.searched,
        "verified": _verified(value.verified),
        "asOf": time(value.as_of),
    }
    return kind("AuditEntryList", body)


def figures(value: Timeline) -> Document:
    """Deployments of the last days, and the four figures."""
    body = {
        "scope": value.query.scope,
        "days": value.query.days,
        "total": _figures(value.total),
        "each": [_figures(each) for each in value.each],
        "byDay": [
            {
                "day": day.day.isoformat(),
                "deployed": day.deployed,
                "failed": day.failed,
                "rolledBack": day.rolled_back,
                "refused": day.refused,
            }
            for day in value.days
        ],
        "leads": [
            {"at": time(lead.at), "environment": lead.environment, "seconds": _seconds(lead.lead)}
            for lead in value.leads
        ],
        "cut": value.cut,
        "asOf": time(value.as_of),
    }
    return kind("Figures", body)


def comparison(value: Comparison) -> Document:
    """Two artifacts beside each other."""
    body = {
        "left": _side(value.left),
        "right": _side(value.right),
        "files": _changes(value.files) if value.files else None,
        "commits": [
            {"commit": one.commit, "title": one.title, "author": one.author, "url": one.url or None}
            for one in value.commits
        ],
        "moreCommits": value.more,
        "problem": value.problem or None,
        "choices": list(value.choices),
    }
    return kind("Comparison", body)


def _link(value: Link) -> Document:
    return {
        "title": value.title,
        "proof": value.proof.value,
        "message": value.told,
        "digest": value.digest or None,
        "url": value.url or None,
        "at": time(value.at),
    }


def _move(value: Move) -> Document:
    return {"title": value.title, "command": value.command, "url": value.url or None, "note": value.note}


def _tried(value: Tried) -> Document:
    stages = [
        {"name": stage.name, "seconds": _seconds(stage.took) if stage.took is not None else None, "done": stage.done}
        for stage in value.stages
    ]
    return {
        **attempt(value.attempt),
        "title": value.title,
        "requestUrl": value.request_url or None,
        "commitUrl": value.commit_url or None,
        "stages": stages,
    }


def _entry(value: Entry) -> Document:
    """As its line in an export reads."""
    document: Document = json.loads(line(value))
    return document


def _verified(value: Verified) -> Document:
    return {
        "entries": value.entries,
        "upTo": value.upto,
        "whole": value.whole,
        "problems": list(value.problems),
        "signedUpTo": value.signed,
        "signedAt": time(value.signed_at),
    }


def _figures(value: Figures) -> Document:
    return {
        "title": value.title,
        "deployments": value.deployments,
        "perDay": value.per_day,
        "leadSeconds": _spread(value.lead),
        "failureRate": value.failure_rate,
        "restoreSeconds": _spread(value.restore),
    }


def _spread(value: Spread | None) -> Document | None:
    return {"median": value.median, "p90": value.p90, "count": value.count} if value else None


def _side(value: Side | None) -> Document | None:
    if value is None:
        return None
    return {
        "asked": value.asked,
        "environment": value.environment,
        "runId": value.run,
        "sha256": value.sha256,
        "commit": value.commit or None,
        "commitUrl": value.commit_url or None,
        "problem": value.problem or None,
    }


def _changes(value: Changes) -> Document:
    items = [
        {"path": change.path, "before": _file(change.before), "after": _file(change.after)}
        for change in value.every[:FILES]
    ]
    return {
        "added": len(value.added),
        "changed": len(value.changed),
        "removed": len(value.removed),
        "unchanged": value.unchanged,
        "bytesBefore": value.bytes_before,
        "bytesAfter": value.bytes_after,
        "items": items,
        "more": max(0, value.total - FILES),
    }


def _file(value: FileFact | None) -> Document | None:
    return {"bytes": value.size, "executable": value.executable, "sha256": value.sha256} if value else None


def _seconds(value: timedelta) -> float:
    return round(value.total_seconds(), 3)
