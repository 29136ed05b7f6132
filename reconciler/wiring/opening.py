"""The parts that commands open alone, without making a whole system."""

from __future__ import annotations

from pathlib import Path
from random import Random

from reconciler.chores.notary import Notary, appoint
from reconciler.core.declare import FOLDER
from reconciler.git import Mirror, kill_all
from reconciler.git.branches import Branches
from reconciler.machine import programs
from reconciler.machine.clock import SystemClock
from reconciler.machine.statefolder import make_private
from reconciler.ports import (
    Clock,
    Parts,
    Store,
    Trace,
)
from reconciler.settings import Settings
from reconciler.stores.heard import HeardStore, Hearer
from reconciler.stores.sql import SqlStore


def silent(step: str) -> None:
    """A trace that nobody listens to."""


def open_store(
    settings: Settings,
    clock: Clock | None = None,
    trace: Trace = silent,
    hearer: Hearer | None = None,
) -> SqlStore:
    """The memory; `hearer` hears of each attempt when it begins, and when it ends.

    Raises:
        ReconcilerError: `StoreUnavailable`.
    """
    make_private(settings.state)
    clock = clock or SystemClock()
    url = settings.store_url
    return HeardStore(url, clock, trace, hearer) if hearer else SqlStore(url, clock, trace)


def open_notary(settings: Settings, store: Store, trace: Trace = silent) -> Notary:
    """Who signs how far the audit chain has come; with a key of its own, made when the settings name none.

    Raises:
        ReconcilerError: `InvalidSettings`, `StoreUnavailable`.
    """
    parts = Parts(SystemClock(), Random(), trace, settings.bounds, settings.state)  # noqa: S311 - protects nothing
    audit = settings.audit
    return appoint(store, parts, key=audit.key, repository=settings.repository.url, ref=audit.anchor)


def open_repository(settings: Settings, trace: Trace = silent) -> Mirror:
    """The mirror of the tracked branch; nothing is fetched yet."""
    repository = settings.repository
    return Mirror(repository.url, repository.branch, FOLDER, settings.state / "git", settings.bounds, trace)


def open_branches(settings: Settings, state: Path, trace: Trace = silent) -> Branches:
    """Pushes new branches, with its folders below `state`; nothing is done yet."""
    repository = settings.repository
    return Branches(repository.url, repository.branch, state / "git", state / "reverts", settings.bounds, trace)


def let_go() -> None:
    """End every process that was started and still runs, right before this one ends without a clean-up."""
    kill_all()
    programs.kill_all()
