"""Attempts as CSV (RFC 4180), for spreadsheets and scripts. The columns are a contract: only ever added, at the end.

A spreadsheet takes a cell that begins like a formula for one, quoted or not, and a title of a merge is anybody's text:
such a cell begins with a single quote here (OWASP, "CSV Injection").
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from reconciler import documents
from reconciler.core.readable import escape
from reconciler.model import Attempt

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a formula may begin with; the last four are the wide forms that some spreadsheets take as well."""
COLUMNS = (
    "id",
    "started",
    "finished",
    "environment",
    "action",
    "commit",
    "run_id",
    "sha256",
    "before",
    "outcome",
    "reason",
    "request",
    "approvers",
    "plan",
    "token",
    "message",
)


def attempts(found: Iterable[Attempt]) -> str:
    """A header, and one row for each attempt; nothing in it moves a terminal."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    writer.writerows([_cell(value) for value in _values(attempt)] for attempt in found)
    return text.getvalue()


def _values(attempt: Attempt) -> tuple[object, ...]:
    declared = attempt.declared
    return (
        attempt.id,
        documents.time(attempt.started),
        documents.time(attempt.finished),
        attempt.environment,
        attempt.action,
        declared.commit,
        declared.run_id,
        declared.sha256,
        attempt.before.id if attempt.before else None,
        attempt.outcome,
        attempt.reason,
        attempt.request,
        " ".join(attempt.approvers),
        attempt.plan,
        attempt.token,
        attempt.message,
    )


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    return ("'" if text.startswith(_FORMULA) else "") + escape(text)
