"""How far each declaration came on its way to one environment, from what is remembered of it: as a forge shows it.

A *rollout* is one declaration that people let in and that brings other bytes: a commit and its run. It has many
attempts, and the last that says something decides: a refusal of what is live already says nothing, nor does one that
came before the approval. An attempt whose end nobody saw is judged by what was seen live afterwards.

Everything is told in words that stay the same as long as the fact does, so that nothing is told twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from reconciler.core.plan import INSTALLS
from reconciler.core.readable import escape
from reconciler.errors import BAD_BYTES, DID_NOT_RUN, Reason
from reconciler.model import (
    Action,
    Attempt,
    CommitId,
    Declared,
    Digest,
    EnvironmentName,
    Gate,
    GateResult,
    Health,
    Outcome,
    Release,
    Rollout,
    RolloutState,
    RunId,
    Status,
    Sync,
    Verdict,
)

TOLD_CHARACTERS = 140
"""Most characters of a line. Origin: GitHub REST API, "Create a deployment status": 140 characters at most."""
_SUPERSEDED = frozenset({RolloutState.QUEUED, RolloutState.IN_PROGRESS})
"""What ends when something else is declared; a failure stays one."""

_Key = tuple[CommitId, RunId]
_Bytes = tuple[RunId, Digest]


@dataclass(frozen=True, slots=True)
class _Way:
    """How far one declaration came, by its last attempt that says something."""

    attempt: Attempt
    number: int
    """Which attempt that is, counted from the oldest."""
    sha256: Digest
    state: RolloutState
    told: str


def rollouts(attempts: Sequence[Attempt], status: Status | None) -> tuple[Rollout, ...]:
    """Every declaration that was let in, and how far it came, oldest first.

    Args:
        attempts: Those of one environment, newest first.
        status: Where the environment stands; None when no pass has ended yet.
    """
    history = tuple(reversed(attempts))
    ways: dict[_Key, _Way] = {}
    for number, attempt in enumerate(history):
        key = _key(attempt.declared)
        if key is None or not (attempt.action in INSTALLS or (attempt.action is Action.ACTIVATE and key in ways)):
            continue  # an activation of what another commit brought is no rollout
        way = _way(attempt, number, history[number + 1 :], status, ways.get(key))
        if way is not None:
            ways[key] = way
    live = max((way.number for way in ways.values() if way.state is RolloutState.SUCCESS), default=None)
    wanted = _wanted(history, status)
    return tuple(_rollout(key, way, way.number == live, key in wanted) for key, way in ways.items())


def standing(attempts: Sequence[Attempt], status: Status | None) -> Rollout | None:
    """The rollout that must have brought what is live, when no attempt at it is remembered.

    So it is after the loss of the store, which takes the attempts but not what they did. None when nothing is live as
    it is declared, or when only the record of it moved on: then another commit brought it, and nobody can tell which.
    """
    if status is None or status.sync is not Sync.SYNCED or status.live is None:
        return None
    key, live = _key(status.declared), _bytes(status.live)
    if key is None or live != (status.declared.run_id, status.declared.sha256):
        return None
    if any(attempt.action is Action.ACCEPT and _key(attempt.declared) == key for attempt in attempts):
        return None
    if status.health is Health.PROGRESSING:
        return _told(status.environment, key, live[1], RolloutState.IN_PROGRESS, _on_probation(key))
    return _told(status.environment, key, live[1], RolloutState.SUCCESS, _live(key))


def replaced(environment: EnvironmentName, commit: CommitId, run_id: RunId, sha256: Digest) -> Rollout:
    """A rollout that was live, or on its way, longer ago than is looked back: something else is by now."""
    key = (commit, run_id)
    return _told(environment, key, sha256, RolloutState.INACTIVE, _gone(key))


# --- one attempt ----------------------------------------------------------------------------------


def _way(
    attempt: Attempt, number: int, later: Sequence[Attempt], status: Status | None, before: _Way | None
) -> _Way | None:
    """How far it is after this attempt; None when the attempt says nothing of it."""
    sha256, key = attempt.declared.sha256, _key(attempt.declared)
    if sha256 is None or key is None:
        return None
    no = attempt.outcome is Outcome.REFUSED
    said = _refused(attempt, before) if no else _begun(attempt, key, later, status)
    return None if said is None else _Way(attempt, number, sha256, *said)


def _refused(attempt: Attempt, before: _Way | None) -> tuple[RolloutState, str] | None:
    if _bytes(attempt.before) == (attempt.declared.run_id, attempt.declared.sha256):
        return None  # it is live: what holds now holds something else, or nothing
    if not _let_in(attempt) and (before is None or before.state is not RolloutState.QUEUED):
        return None
    if attempt.reason in BAD_BYTES:
        return RolloutState.FAILURE, f"failed: {_why(attempt)}"
    held = next((word for word in attempt.gates if word.verdict is Verdict.HELD), None)
    return RolloutState.QUEUED, f"held{_until(held)}: {_why(attempt)}"


def _begun(attempt: Attempt, key: _Key, later: Sequence[Attempt], status: Status | None) -> tuple[RolloutState, str]:
    if attempt.outcome is Outcome.SUCCEEDED:
        return RolloutState.SUCCESS, _live(key)
    if attempt.outcome is None:
        return RolloutState.IN_PROGRESS, _under_way(attempt, key, status)
    if attempt.reason in DID_NOT_RUN:
        # It was live, and that says nothing: only that it became healthy after all does.
        well = status is not None and status.ready and _key(status.declared) == key
        return (RolloutState.SUCCESS, _live(key)) if well else (RolloutState.FAILURE, f"failed: {_why(attempt)}")
    if _on_trial(attempt) and later:
        return RolloutState.INACTIVE, f"run {key[1]} was replaced before it had proven itself"
    if _came_about(attempt, later, status):
        return RolloutState.SUCCESS, _live(key)
    if attempt.outcome is Outcome.INTERRUPTED:
        return RolloutState.IN_PROGRESS, f"run {key[1]} was interrupted on its way; the next pass goes on"
    return RolloutState.FAILURE, f"failed: {_why(attempt)}"


def _under_way(attempt: Attempt, key: _Key, status: Status | None) -> str:
    live = status is not None and _bytes(status.live) == (attempt.declared.run_id, attempt.declared.sha256)
    if live and status is not None and _key(status.declared) == key and status.health is Health.PROGRESSING:
        return _on_probation(key)
    return f"going back to run {key[1]}" if attempt.action is Action.ROLLBACK else f"run {key[1]} is being deployed"


def _on_trial(attempt: Attempt) -> bool:
    """Whether it ended while its first checks had not decided."""
    return any(word.gate is Gate.HEALTH and word.verdict is Verdict.PENDING for word in attempt.gates)


def _let_in(attempt: Attempt) -> bool:
    return any(word.gate is Gate.APPROVAL and word.verdict is Verdict.PASSED for word in attempt.gates)


def _came_about(attempt: Attempt, later: Sequence[Attempt], status: Status | None) -> bool:
    """Whether what it was to bring was seen live afterwards, before any other attempt could have brought it."""
    wanted = (attempt.declared.run_id, attempt.declared.sha256)
    other_before = _bytes(attempt.before) != wanted
    for following in later:
        if other_before and _bytes(following.before) == wanted:
            return True
        if following.action in INSTALLS and following.outcome is not Outcome.REFUSED:
            return False
    if status is None or status.sync is not Sync.SYNCED or _bytes(status.live) != wanted:
        return False
    return other_before or status.declared.commit == attempt.declared.commit


def _wanted(history: Sequence[Attempt], status: Status | None) -> frozenset[_Key | None]:
    """What is declared now. An intent is ahead of the status, which is remembered with its outcome."""
    newest = history[-1] if history else None
    ahead = newest is not None and (status is None or newest.outcome in (None, Outcome.INTERRUPTED))
    found = {_key(newest.declared)} if newest is not None and ahead else set()
    return frozenset(found | ({_key(status.declared)} if status is not None else set()))


# --- values and words -----------------------------------------------------------------------------


def _rollout(key: _Key, way: _Way, live: bool, wanted: bool) -> Rollout:
    state, told = way.state, way.told
    if state is RolloutState.SUCCESS and not live:
        state, told = RolloutState.INACTIVE, _gone(key)
    elif state in _SUPERSEDED and not wanted:
        state, told = RolloutState.INACTIVE, f"run {key[1]} was superseded before it went live"
    return _told(way.attempt.environment, key, way.sha256, state, told)


def _told(environment: EnvironmentName, key: _Key, sha256: Digest, state: RolloutState, told: str) -> Rollout:
    line = escape(told)
    line = line if len(line) <= TOLD_CHARACTERS else line[: TOLD_CHARACTERS - 1] + "…"
    return Rollout(environment, *key, sha256, state, line)


def _key(declared: Declared) -> _Key | None:
    return (declared.commit, declared.run_id) if declared.commit and declared.run_id is not None else None


def _bytes(release: Release | None) -> _Bytes | None:
    return (release.run_id, release.sha256) if release else None


def _live(key: _Key) -> str:
    return f"run {key[1]} is live"


def _on_probation(key: _Key) -> str:
    return f"run {key[1]} is live, and its first health checks have not passed yet"


def _gone(key: _Key) -> str:
    return f"run {key[1]} is not live any more"


def _why(attempt: Attempt) -> str:
    return f"{attempt.reason or Reason.INTERNAL_ERROR}: {attempt.message}"


def _until(held: GateResult | None) -> str:
    """To the minute, and never before it."""
    if held is None or held.not_before is None:
        return ""
    at = held.not_before + timedelta(seconds=59)
    return f" until {at:%Y-%m-%d %H:%M}Z"
