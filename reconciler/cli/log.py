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

from reconciler.cli.render import escape
from reconciler.errors import ReconcilerError
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
            exc_info=problem,
        )


class Trouble:
    """Reports whether the repository can be looked at: a line when that changed."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._last = ""

    def looked(self, problem: Exception | None) -> None:
        """Told of every look at the repository; by one thread."""
        told = "" if problem is None else str(problem.reason if isinstance(problem, ReconcilerError) else type(problem))
        if told == self._last:
            return
        self._last = told
        if problem is None:
            self._log.info("repository is back")
        elif isinstance(problem, ReconcilerError):
            self._log.warning("no look", reason=problem.reason.value, message=problem.message, hint=problem.hint)
        else:
            self._log.error("no look: unexpected error", exc_info=problem)


def _state(status: Status) -> _State:
    declared = status.declared
    return status.sync, status.health, status.reason, status.live, declared.commit, declared.run_id
