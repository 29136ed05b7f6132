"""The memory as an answering command reads it: opened when there is one, never made, and closed again.

Also finds the environment that was meant: a name nobody knows ends the command with the closest one.
"""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from reconciler import wiring
from reconciler.cli import render
from reconciler.cli.exits import ExitCode, Stop
from reconciler.core.readable import plain
from reconciler.machine import statefolder
from reconciler.model import EnvironmentName, OperatorHand, Status
from reconciler.ports import Store, Trace
from reconciler.settings import Settings, find_file, load
from reconciler.stores.heard import Hearer

NOTHING_YET = "nothing is known yet"
_NAMED = 10
"""Environments that a hint names."""
_START = "start `reconciler run`, or look once with `reconciler reconcile`"
_UNNAMED = "no settings file was found: name the daemon's with -c or RECONCILER_CONFIG; without one, "


@dataclass(frozen=True, slots=True)
class Memory:
    """An open store, and the settings that led to it."""

    settings: Settings
    store: Store


@contextlib.contextmanager
def recall(config: Path | None) -> Iterator[Memory]:
    """Open the memory that a daemon keeps.

    Raises:
        Stop: `NOT_YET`: there is none.
        ReconcilerError: `InvalidSettings`, `StoreUnavailable`.
    """
    settings = load(config)
    if not exists(settings):
        hint = _START if find_file(config) else _UNNAMED + _START
        raise Stop(ExitCode.NOT_YET, f"{NOTHING_YET}: there is no memory at {place(settings)}", hint)
    with opened(settings) as store:
        yield Memory(settings, store)


@contextlib.contextmanager
def opened(settings: Settings, trace: Trace = wiring.silent, hearer: Hearer | None = None) -> Iterator[Store]:
    """The store, made when there is none; closed at the end. `hearer` hears of each attempt."""
    store = wiring.open_store(settings, trace=trace, hearer=hearer)
    try:
        yield store
    finally:
        store.close()


def exists(settings: Settings) -> bool:
    """Whether there is a memory to read. One on a server is taken to be there."""
    file = _file(settings)
    return file is None or file.exists()


def place(settings: Settings) -> str:
    """Where the memory is, for people: never a URL, which may hold a password."""
    file = _file(settings)
    return str(file) if file else "the server in the settings"


def _file(settings: Settings) -> Path | None:
    scheme, found, path = settings.store_url.partition(":///")
    return Path(path).absolute() if found and scheme.startswith("sqlite") else None


def names(config: Path | None) -> tuple[EnvironmentName, ...]:
    """Every environment that is known, in order."""
    with recall(config) as memory:
        return tuple(sorted(memory.store.statuses()))


def chosen(wanted: Iterable[str] | None, known: Mapping[EnvironmentName, Status]) -> tuple[EnvironmentName, ...]:
    """The named environments, each once and in order of name; all that are known when none is named.

    Raises:
        Stop: `NOT_YET`: none is known at all. `USAGE`: one of the names is nobody's.
    """
    if not known:
        raise Stop(ExitCode.NOT_YET, f"{NOTHING_YET}: no environment was looked at so far", _START)
    picked = dict.fromkeys(wanted or ()) or dict.fromkeys(known)
    for name in picked:
        if name not in known:
            raise unknown(name, known)
    return tuple(sorted(EnvironmentName(name) for name in picked))


def with_history(memory: Memory, name: str) -> EnvironmentName:
    """An environment that was ever tried, also when its file is gone by now.

    Raises:
        Stop: As `chosen` does.
    """
    if not memory.store.attempts(EnvironmentName(name), 1):
        chosen([name], memory.store.statuses())
    return EnvironmentName(name)


def unknown(name: str, known: Iterable[str]) -> Stop:
    """Nobody knows this environment; the closest name may have been meant, or one of the others."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]}?" if close else _there_are(names)
    return Stop(ExitCode.USAGE, f"no environment is called {name!r}", hint)


def _there_are(names: Sequence[str]) -> str:
    """Names, not a command that lists them: what was only declared so far is in no memory."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"there {'is' if len(names) == 1 else 'are'} {', '.join(names[:_NAMED])}{more}" if names else "there is none"


def hand_of(hands: Mapping[EnvironmentName, OperatorHand], name: EnvironmentName) -> OperatorHand:
    """What the operator asked for one environment."""
    return hands.get(name, OperatorHand())


def remark_age(settings: Settings) -> None:
    """Say so when what is remembered may not be what is declared by now."""
    if remark_idle(settings, "this is how things stood at its last look"):
        return
    if trouble := statefolder.word(settings.state):
        render.note(f"note: the repository can't be looked at now, and a merge may wait there: {plain(trouble, 300)}")


def remark_idle(settings: Settings, what: str) -> bool:
    """Say so, and tell, when nobody keeps the memory current."""
    idle = not statefolder.running(settings.state)
    if idle:
        render.note(f"note: no reconciler runs for {settings.state}; {what}")
    return idle
