"""Which environments name something that the operator does not allow, or a secret that is not there.

Reads the declarations at the branch's tip, and asks the parts whether they may; starts and probes nothing.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from reconciler import wiring
from reconciler.cli import memory
from reconciler.core.declare import Declaration
from reconciler.core.readable import counted
from reconciler.errors import PolicyDenied, Reason
from reconciler.model import EnvironmentName
from reconciler.pipeline.living import may_run
from reconciler.settings import Settings
from reconciler.wiring import System

_TOLD = 20
"""Environments that are named; the rest is counted."""


def look(settings: Settings) -> str:
    """What there is to say when all is allowed; empty when no environment asks for anything.

    Raises:
        PolicyDenied: `ActivationNotAllowed`, naming the environments.
        ReconcilerError: The declarations can't be had.
    """
    with _system(settings) as system:
        tip = system.world.repository.head()
        if tip is None:
            return ""
        system.world.repository.fetch(tip)
        system.catalog.refresh(tip)
        found = [(name, declaration) for name, declaration in _declared(system) if declaration.is_run]
        problems = {name: denied for name, one in found if (denied := _denied(system, name, one))}
    if not problems:
        return f"what {counted(len(found), 'environment')} would run and ask is allowed" if found else ""
    first = next(iter(problems.values()))
    told = [f"{name}: {denied.message}" for name, denied in list(problems.items())[:_TOLD]]
    more = [f"and {len(problems) - _TOLD} more"] if len(problems) > _TOLD else []
    raise PolicyDenied(first.reason, "\n".join([*told, *more]), first.hint)


def _declared(system: System) -> Iterator[tuple[EnvironmentName, Declaration]]:
    for name in sorted(system.catalog.environments):
        reading = system.catalog.get(name).reading
        if reading and reading.declaration:
            yield name, reading.declaration


def _denied(system: System, name: EnvironmentName, declaration: Declaration) -> PolicyDenied | None:
    """Why its activation would not be let through now. Variables are the daemon's: whether one is set is not told."""
    try:
        may_run(system.world, name, declaration)
        if not declaration.secrets or system.world.secrets is None:
            return None
        try:
            system.world.secrets.read(name, declaration.secrets)
        except PolicyDenied as denied:
            if denied.reason is not Reason.SECRET_MISSING:
                raise
            here = {secret: spec for secret, spec in declaration.secrets.items() if spec.env is None}
            system.world.secrets.read(name, here)
    except PolicyDenied as denied:
        return denied
    return None


@contextlib.contextmanager
def _system(settings: Settings) -> Iterator[System]:
    """On what the daemon has fetched already, if it has; else in a folder that goes again."""
    with contextlib.ExitStack() as stack:
        if not memory.exists(settings) or not (settings.state / "git").is_dir():
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="reconciler-check-")))
            settings = settings.model_copy(update={"state": scratch, "store": None})
        yield wiring.build(settings, stack.enter_context(memory.opened(settings)))
