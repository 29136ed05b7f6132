"""The daemon's log: one line per change of state on stderr, for people or as JSON; nothing per pass.

Names and messages may come from anybody who can push; they are escaped before they become a line.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog
from structlog.typing import FilteringBoundLogger

from reconciler.cli.story import what_to_do
from reconciler.core.readable import escape
from reconciler.errors import Reason, ReconcilerError
from reconciler.model import CommitId, Release, RunId, Status
from reconciler.settings import Settings

Log = FilteringBoundLogger
_State = tuple[object, object, object, Release | None, CommitId | None, RunId | None]


def open_log(settings: Settings) -> Log:
    """The log as the settings want it."""
    json = settings.log_format == "json"
    last: Any = structlog.processors.JSONRenderer()
    if not json:
        plain = structlog.dev.plain_traceback
        last = structlog.dev.ConsoleRenderer(
            colors=_colours(), exception_formatter=plain, pad_event_to=0, sort_keys=False
        )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _escaped,
            last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[settings.log_level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    log: Log = structlog.get_logger()
    return log


def _colours() -> bool:
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _escaped(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {key: _safe(value) if isinstance(value, str) else value for key, value in event.items()}


def _safe(text: str) -> str:
    """Line breaks are the log's own: a traceback has some, a message of the world does not reach a second line."""
    return "\n".join(map(escape, text.split("\n"))) if text.startswith("Traceback ") else escape(text)


class Changes:
    """Reports passes: a line when an environment's state changed, silence otherwise."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def passed(self, status: Status, previous: Status | None, problem: Exception | None) -> None:
        """Told of every pass; from several threads."""
        if previous is not None and _state(status) == _state(previous):
            return
        write = self._log.info if status.ready else self._log.warning
        if problem is not None:
            write = self._log.error
        write(
            "state changed",
            environment=status.environment,
            commit=status.declared.commit,
            run_id=status.declared.run_id,
            live=status.live.id if status.live else None,
            sync=status.sync.value,
            health=status.health.value,
            reason=status.reason.value if status.reason else None,
            message=status.message,
            **({"hint": hint} if (hint := _hint(status)) else {}),
            exc_info=problem,
        )


def _hint(status: Status) -> str:
    return "" if status.ready else what_to_do(status)


class Trouble:
    """Reports whether the poll does its work, a line when that changed: looks at the repository, and collections."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._last = ""
        self._last_collection = ""

    def looked(self, problem: Exception | None) -> None:
        """Told of every look at the repository, and of collections of custody that failed; by one thread."""
        if isinstance(problem, ReconcilerError) and problem.reason not in _LOOKS:
            self._collected(problem)
            return
        told = "" if problem is None else str(problem.reason if isinstance(problem, ReconcilerError) else type(problem))
        if told == self._last:
            return
        self._last = told
        if problem is None:
            self._log.info("the repository can be looked at again")
        elif isinstance(problem, ReconcilerError):
            self._warn(_LOOKS[problem.reason], problem)
        else:
            self._log.error("unexpected error in the poll", exc_info=problem)

    def _collected(self, problem: ReconcilerError) -> None:
        """A collection that works is not told, so the same trouble is told once."""
        if str(problem) != self._last_collection:
            self._last_collection = str(problem)
            self._warn("custody keeps what nobody may need any more", problem)

    def _warn(self, event: str, problem: ReconcilerError) -> None:
        self._log.warning(event, reason=problem.reason.value, message=problem.message, hint=problem.hint)


_LOOKS = {
    Reason.REPOSITORY_UNAVAILABLE: "the repository can't be looked at",
    Reason.INVALID_SETTINGS: "the repository can't be looked at",
    Reason.STORE_UNAVAILABLE: "the store can't be asked",
}
"""Reasons why a look fails; all others are of a collection."""


def _state(status: Status) -> _State:
    declared = status.declared
    return status.sync, status.health, status.reason, status.live, declared.commit, declared.run_id
