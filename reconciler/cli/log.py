"""The daemon's log: one line per change of state on stderr, for people or as JSON; nothing per pass but for `debug`.

Names and messages may come from anybody who can push; they are escaped before they become a line, and what looks like a
secret is masked.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable, MutableMapping
from typing import Any, TypeGuard

import structlog
from structlog.typing import FilteringBoundLogger

from reconciler.cli.masking import masked
from reconciler.cli.story import what_to_do
from reconciler.core.readable import escape, short
from reconciler.errors import DID_NOT_RUN, Reason, ReconcilerError
from reconciler.metrics.passes import Done
from reconciler.model import Action, Attempt, CommitId, Health, Outcome, Release, RunId, Status, Sync
from reconciler.settings import Settings

Log = FilteringBoundLogger
_State = tuple[object, object, object, Release | None, CommitId | None, RunId | None, str]

CHANGED = "state changed"

EXPECTED = frozenset({Reason.SOAKING, Reason.FROZEN, Reason.SUSPENDED})
"""Holds that somebody asked for, and that end by themselves or by who asked."""
ALARMING = DID_NOT_RUN | {
    *(Reason.DIGEST_MISMATCH, Reason.ARTIFACT_UNSAFE, Reason.BRANCH_REWRITTEN, Reason.FENCED_OFF),
    Reason.INTERNAL_ERROR,
}
"""Somebody should look at once: bytes that are not what was declared, a release that does not run, or a bug."""


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
            _safe_values,
            _when_and_what_first if json else _for_people,
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


def _safe_values(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {key: _safe(value) for key, value in event.items()}


def _safe(value: Any) -> Any:
    """Line breaks are the log's own: a traceback has some, a message of the world does not reach a second line."""
    if isinstance(value, list):
        return [_safe(one) for one in value]
    if not isinstance(value, str):
        return value
    text = masked(value)
    return "\n".join(map(escape, text.split("\n"))) if text.startswith("Traceback ") else escape(text)


def _when_and_what_first(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """As somebody who reads the raw lines wants them."""
    return {key: event.pop(key) for key in ("timestamp", "level", "event")} | dict(event)


def _for_people(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The sentence first; what is not there is left out, and a commit is as long as git shows it."""
    told = {key: value for key, value in event.items() if value is not None}
    told["timestamp"] = f"{told['timestamp'][:19]}Z"
    if told.get("event") == CHANGED:
        name, sync, health, message = (told.pop(key) for key in ("environment", "sync", "health", "message"))
        told["event"] = f"{name} is {sync}, {health}: {message} "  # a gap before what the sentence rests on
        if told.get("live", "") in message:
            told.pop("live", None)
        told["commit"] = short(told.get("commit"))
    if isinstance(told.get("attempts"), list):
        told["attempts"] = "; ".join(told["attempts"])
    return told


class Changes:
    """Reports passes: a line when an environment's state changed, silence otherwise."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def passed(self, status: Status, previous: Status | None, problem: Exception | None, done: Done) -> None:
        """Told of every pass, with what it did; from several threads."""
        if done.stages:
            self._log.debug("pass", environment=status.environment, pass_id=done.id, **_times(done))
        if previous is not None and _state(status) == _state(previous):
            return
        write = getattr(self._log, level_of(status, problem))
        write(
            CHANGED,
            environment=status.environment,
            commit=status.declared.commit,
            run_id=status.declared.run_id,
            pass_id=done.id,
            live=status.live.id if status.live else None,
            sync=status.sync.value,
            health=status.health.value,
            reason=status.reason.value if status.reason else None,
            message=status.message,
            **({"attempts": attempts} if (attempts := _attempts(done.attempts)) else {}),
            **({"hint": hint} if (hint := _hint(status)) else {}),
            exc_info=problem,
        )


def level_of(status: Status, problem: Exception | None) -> str:
    """`error`: look at once; `warning`: it does not end by itself; `info`: as it should be, or as somebody asked."""
    if problem is not None or status.reason in ALARMING:
        return "error"
    if status.ready or (status.reason in EXPECTED and status.health is not Health.DEGRADED):
        return "info"
    under_way = status.sync is Sync.PROGRESSING or status.health is Health.PROGRESSING
    return "info" if status.reason is None and under_way else "warning"


def _attempts(attempts: Iterable[Attempt]) -> list[str]:
    """What was done; a refusal did nothing. A repair says what it found, as nothing else will."""
    return [
        f"{one.action.value} {one.outcome.value if one.outcome else 'begun'}"
        + (f" ({one.message})" if one.action is Action.REPAIR and one.message else "")
        for one in attempts
        if one.outcome is not Outcome.REFUSED
    ]


def _times(done: Done) -> dict[str, float]:
    return {"seconds": round(done.seconds, 3), **{stage.value: round(took, 3) for stage, took in done.stages.items()}}


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
        if of_a_chore(problem):
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


def of_a_chore(problem: Exception | None) -> TypeGuard[ReconcilerError]:
    """Whether it is no look that failed, but work beside the passes."""
    return isinstance(problem, ReconcilerError) and problem.reason not in _LOOKS


def _state(status: Status) -> _State:
    """What makes a line; of an unexpected error its message too, so that another bug is not taken for the same."""
    declared, bug = status.declared, status.message if status.reason is Reason.INTERNAL_ERROR else ""
    return status.sync, status.health, status.reason, status.live, declared.commit, declared.run_id, bug
