"""Shows at the forge how far rollouts have come: what should be there, against what was shown last.

Level-based like a pass: nothing is queued, so nothing can be lost. Whatever the forge missed while it was out of reach,
or this process while it was not running, follows from the attempts that the store remembers. A rollout is marked before
it is shown for the first time, and remembered after each time it was; ending in between shows the same once more,
which the forge's side finds there already.

History is not replayed. An environment of which nothing was ever shown begins with the rollout that is live, and those
after it; or with the newest, when none is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reconciler.chores.turns import Line, Mark, newest, news
from reconciler.core.rollouts import replaced, rollouts, standing
from reconciler.errors import ReconcilerError, Transient
from reconciler.model import CommitId, Digest, EnvironmentName, Rollout, RolloutState, RunId, Status
from reconciler.ports import Deployments, Store

REMEMBERED = 50
"""Attempts of one environment that are looked at; rollouts older than these stay as they were shown."""
AT_ONCE = 50
"""Environments looked at in one call, so that a fleet at its first start keeps nobody waiting; the rest is next."""
_SEARCHED = 1_000
"""Attempts of one environment in which the run of a rollout of long ago is searched."""

Told = Mapping[str, str]
"""What was shown of each rollout, by key. Empty: it was about to be shown for the first time."""


class Rollouts:
    """Keeps a forge's records of rollouts as they should be. For one thread.

    Args:
        store: The memory.
        deployments: Where rollouts are shown.
    """

    def __init__(self, store: Store, deployments: Deployments) -> None:
        self._store = store
        self._deployments = deployments
        self._due = Line()
        """Environments that may have something to tell."""
        self._seen: Mark | None = None
        """How far `_due` covers what the store remembers; None before the first look."""

    def tell(self) -> None:
        """Show whatever differs from what was shown last.

        When nothing happened this asks the store for two rows, and the forge for nothing.

        Raises:
            ReconcilerError: `ForgeUnavailable`, after the other environments had their turn; `StoreUnavailable`, at
                once. What could not be told is told by a later call.
        """
        self._notice()
        if not self._due:
            return
        statuses, told = self._store.statuses(), _by_environment(self._store.told_rollouts())

        def look(environment: EnvironmentName) -> bool:
            return self._tell(environment, statuses.get(environment), told.get(environment, {}))

        self._due.take_turns(tuple(self._due)[:AT_ONCE], look)

    # --- what is new ------------------------------------------------------------------------------

    def _notice(self) -> None:
        """Put every environment in line of which the store may remember something that was not looked at yet."""
        until = newest(self._store)
        if until == self._seen:
            return
        fresh = news(self._store, self._seen, until)
        self._due.go_first(self._all() if fresh is None else [one.environment for one in fresh])
        self._seen = until

    def _all(self) -> tuple[EnvironmentName, ...]:
        """First where an attempt is under way, which has no status yet if it is the first; then all that have one."""
        begun = [attempt.environment for attempt in self._store.unfinished()]
        return tuple(dict.fromkeys([*begun, *self._store.statuses()]))

    # --- one environment --------------------------------------------------------------------------

    def _tell(self, environment: EnvironmentName, status: Status | None, told: Told) -> bool:
        """Tell of one environment; returns whether nothing more can happen without a trace in the store."""
        attempts = self._store.attempts(environment, REMEMBERED)
        found = _with_standing(rollouts(attempts, status), standing(attempts, status), told)
        self._tell_of_former(environment, found, told)
        refused: ReconcilerError | None = None
        for rollout in _in_order(_since(found, told), told):
            try:
                self._show(rollout, told)
            except Transient:
                raise
            except ReconcilerError as error:  # the forge takes this one for no good: the others must not wait for it
                refused = refused or error
        if refused is not None:
            raise refused
        return all(rollout.state is not RolloutState.IN_PROGRESS for rollout in found)

    def _show(self, rollout: Rollout, told: Told) -> None:
        line = _line(rollout)
        if told.get(rollout.key) == line:
            return
        if rollout.key not in told:
            self._store.save_told_rollout(rollout.key, "")
        self._deployments.show(rollout)
        self._store.save_told_rollout(rollout.key, line)

    def _tell_of_former(self, environment: EnvironmentName, found: Sequence[Rollout], told: Told) -> None:
        """End what was shown longer ago than is looked back, and forget it once nothing more can be told of it."""
        known = {rollout.key for rollout in found}
        over = any(rollout.state is RolloutState.SUCCESS for rollout in found)
        for key, line in told.items():
            state = _state(line)
            if key in known or (state == RolloutState.SUCCESS and not over):
                continue
            if state not in (RolloutState.INACTIVE, RolloutState.FAILURE):
                self._end(environment, key)
            self._store.save_told_rollout(key, None)

    def _end(self, environment: EnvironmentName, key: str) -> None:
        _, commit, run = key.rsplit("/", 2)
        digest = self._digest(environment, RunId(int(run)))
        if digest is not None:
            self._deployments.show(replaced(environment, CommitId(commit), RunId(int(run)), digest))

    def _digest(self, environment: EnvironmentName, run_id: RunId) -> Digest | None:
        """Which bytes a run of long ago stood for."""
        for attempt in self._store.attempts(environment, _SEARCHED):
            if attempt.declared.run_id == run_id and attempt.declared.sha256 is not None:
                return attempt.declared.sha256
            if attempt.before is not None and attempt.before.run_id == run_id:
                return attempt.before.sha256
        return None


def _by_environment(told: Told) -> dict[str, dict[str, str]]:
    """What was told, by environment: the part of a key before its commit and its run."""
    found: dict[str, dict[str, str]] = {}
    for key, line in told.items():
        found.setdefault(key.rsplit("/", 2)[0], {})[key] = line
    return found


def _with_standing(found: tuple[Rollout, ...], live: Rollout | None, told: Told) -> tuple[Rollout, ...]:
    """All rollouts, with the one that brought what is live, when neither the attempts nor what was told knows it."""
    if live is None or any(rollout.state is RolloutState.SUCCESS or rollout.key == live.key for rollout in found):
        return found
    shown = any(_state(line) == RolloutState.SUCCESS and key != live.key for key, line in told.items())
    return found if shown else (live, *found)


def _since(found: tuple[Rollout, ...], told: Told) -> tuple[Rollout, ...]:
    """From the oldest that was told on; where none was, from the one that is live, or else the newest."""
    if told:
        first = next((number for number, rollout in enumerate(found) if rollout.key in told), 0)
        return found[first:]
    live = next((number for number, rollout in enumerate(found) if rollout.state is RolloutState.SUCCESS), -1)
    return found[live:]


def _in_order(found: tuple[Rollout, ...], told: Told) -> tuple[Rollout, ...]:
    """Oldest first, as records are shown in the order in which they were made; what gives way does so at the end."""

    def gives_way(rollout: Rollout) -> bool:
        return rollout.state is RolloutState.INACTIVE and bool(told.get(rollout.key))

    return tuple(sorted(found, key=gives_way))


def _line(rollout: Rollout) -> str:
    return f"{rollout.state}:{rollout.told}"


def _state(line: str) -> str:
    return line.partition(":")[0]
