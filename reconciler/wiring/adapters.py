"""Adapters by their names in the settings.

They are found through entry points, the built-in ones too, and only those that the settings name are loaded. What must
hold for every adapter (hashing, size, deadlines of downloads) is in custody, around it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from importlib.metadata import EntryPoints, entry_points
from pathlib import Path
from random import Random
from typing import Any

from pydantic import ValidationError

from reconciler.activators.announced import AnnouncedActivator
from reconciler.errors import Reason, Terminal
from reconciler.machine.clock import SystemClock
from reconciler.ports import (
    Activator,
    Forge,
    Parts,
    Probe,
    Source,
    Targets,
)
from reconciler.secretkeeper import SecretKeeper
from reconciler.settings import PluggedSettings, Settings
from reconciler.settings.words import options_in_words
from reconciler.wiring.opening import open_branches, open_repository, silent


def forge_of(plugged: PluggedSettings | None, parts: Parts) -> Forge | None:
    """The forge; None where none is named."""
    if plugged is None:
        return None
    return _plugged("forge", "forge", plugged.type, plugged.options, parts)  # type: ignore[no-any-return]


def sources_of(settings: Settings, parts: Parts) -> dict[str, tuple[Source, Any]]:
    """Every source, with what the operator lets it vouch for."""
    return {
        name: (_plugged("source", f"sources.{name}", plugged.type, plugged.options, parts), plugged.provenance)
        for name, plugged in settings.source_settings().items()
    }


def targets_of(settings: Settings, parts: Parts) -> dict[str, Targets]:
    """Every type of target."""
    return {
        name: _plugged("target", f"targets.{name}", name, options, parts)
        for name, options in settings.target_settings().items()
    }


def activators_of(settings: Settings, parts: Parts) -> dict[str, Activator]:
    """Every activator, with its steps told."""
    return {
        name: AnnouncedActivator(_plugged("activator", f"activators.{name}", name, options, parts), parts.trace)
        for name, options in settings.activators.items()
    }


def probes_of(settings: Settings, parts: Parts) -> dict[str, Probe]:
    """All that there are, so that a refusal can name its key; with no options they may ask nothing."""
    return {
        name: _plugged("probe", f"probes.{name}", name, options, parts)
        for name, options in {"command": {}, "http": {}, "tcp": {}, **settings.probes}.items()
    }


def open_source(settings: Settings, name: str, parts: Parts) -> Source:
    """One source by its name in the settings."""
    plugged = settings.source_settings()[name]
    return _plugged("source", f"sources.{name}", plugged.type, plugged.options, parts)  # type: ignore[no-any-return]


def _plugged(port: str, key: str, name: str, options: Mapping[str, object], parts: Parts) -> Any:
    """An adapter, found by name and given its own options."""
    group = f"reconciler.{port}s"
    found = _installed(group).select(name=name)
    if not found:
        known = ", ".join(sorted({point.name for point in _installed(group)}))
        raise Terminal(Reason.INVALID_SETTINGS, f"{key}: no {port} of type {name!r}; there are: {known}")
    try:
        return next(iter(found)).load()(options, parts)
    except ValidationError as invalid:
        problems = "\n".join(options_in_words(key, invalid))
        raise Terminal(Reason.INVALID_SETTINGS, problems, "docs/settings.md lists every key") from None


@cache
def _installed(group: str) -> EntryPoints:
    """Looked for once: each look reads what every package says of itself."""
    return entry_points(group=group)


def makers(settings: Settings, state: Path) -> dict[str, Callable[[], object]]:
    """Each adapter by its key in the settings, to be made alone, with `state` as its state folder."""
    clock, repository = SystemClock(), open_repository(settings)
    parts = Parts(clock, Random(), silent, settings.bounds, state, repository, settings.repository.branch)  # noqa: S311 - protects nothing
    made: dict[str, Callable[[], object]] = {}
    if settings.forge:
        made["forge"] = partial(forge_of, settings.forge, parts)
    if settings.repository.reverts:
        made["repository.reverts"] = partial(open_branches, settings, state)
    for name in settings.source_settings():
        made[f"sources.{name}"] = partial(open_source, settings, name, parts)
    for name, options in settings.target_settings().items():
        made[f"targets.{name}"] = partial(_plugged, "target", f"targets.{name}", name, options, parts)
    for name, options in settings.activators.items():
        made[f"activators.{name}"] = partial(_plugged, "activator", f"activators.{name}", name, options, parts)
    for name, options in settings.probes.items():
        made[f"probes.{name}"] = partial(_plugged, "probe", f"probes.{name}", name, options, parts)
    if settings.secrets.allow:
        made["secrets"] = partial(SecretKeeper, settings.secrets)
    return made
