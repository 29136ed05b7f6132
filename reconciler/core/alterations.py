"""What a merge changes in a declaration beside the artifact, or in the policy: field by field, and what is loosened."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from reconciler.core import durations

PINS = frozenset({"artifact.run_id", "artifact.sha256"})
"""The two lines that a promotion changes; shown as such, and not among the settings."""
_NAMED_ONLY = {"config": "a value", "secrets": "a reference"}
"""Mappings of names whose values are not shown: what is plain today may be pasted as a secret tomorrow."""
_CHECKS = ("health.http", "health.tcp", "health.command")
ABSENT = "-"
"""How a field or an entry that is not there is shown."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One field of a declaration that the merge changes, beside the two lines of a promotion."""

    path: str
    before: object
    """As the file has it: text, number, truth, or a list or mapping of those. None: it is not there."""
    after: object
    loosens: bool = False
    """Whether it lowers a bar: less is asked of later changes, or of what comes here."""


def altered(before: Mapping[str, object], after: Mapping[str, object]) -> tuple[Setting, ...]:
    """The fields that differ, in order of path, without the two lines of a promotion."""
    told = _by_name(before, after)
    before, after = _others(before), _others(after)
    whole = {path for path in ("approval",) if path in before or path in after}  # `none`, and no mapping
    paths = [p for p in sorted({*before, *after}) if p not in PINS and p.partition(".")[0] not in whole - {p}]
    before = {**before, **{path: _mapping(before, path) for path in whole if path not in before}}
    after = {**after, **{path: _mapping(after, path) for path in whole if path not in after}}
    differing = (
        Setting(path, before.get(path), after.get(path), loosens(path, before, after))
        for path in paths
        if before.get(path) != after.get(path)
    )
    return tuple(sorted((*differing, *told), key=lambda setting: setting.path))


def _others(leaves: Mapping[str, object]) -> dict[str, object]:
    return {path: value for path, value in leaves.items() if path.partition(".")[0] not in _NAMED_ONLY}


def _by_name(before: Mapping[str, object], after: Mapping[str, object]) -> Iterator[Setting]:
    """The entries of `config` and `secrets` that differ: by name, never with a value."""
    for kind, what in _NAMED_ONLY.items():
        old, new = _entries_of(kind, before), _entries_of(kind, after)
        for name in sorted({*old, *new}):
            if old.get(name) != new.get(name):
                other = what.replace("a ", "another ") if name in old else what
                yield Setting(f"{kind}.{name}", what if name in old else None, other if name in new else None)


def _entries_of(kind: str, leaves: Mapping[str, object]) -> dict[str, dict[str, object]]:
    """What each name stands for, by what is below it: a secret's reference has parts."""
    found: dict[str, dict[str, object]] = {}
    for path, value in leaves.items():
        head, _, rest = path.partition(".")
        if head == kind and rest and value is not None:
            name, _, part = rest.partition(".")
            found.setdefault(name, {})[part] = value
    return found


def entries_altered(before: Mapping[str, object], after: Mapping[str, object]) -> tuple[Setting, ...]:
    """The entries of a policy's lists that go and come. One that goes lowers a bar, or opens a window."""
    found: list[Setting] = []
    for path in sorted({*before, *after}):
        old, new = _entries(before.get(path)), _entries(after.get(path))
        found += [Setting(path, entry, None, loosens=True) for entry in old if entry not in new]
        found += [Setting(path, None, entry) for entry in new if entry not in old]
    return tuple(found)


def _entries(value: object) -> tuple[object, ...]:
    return tuple(value) if isinstance(value, tuple | list) else () if value is None else (value,)


def _mapping(leaves: Mapping[str, object], path: str) -> dict[str, object]:
    inner = {p.removeprefix(f"{path}."): value for p, value in leaves.items() if p.startswith(f"{path}.")}
    return {name: value for name, value in inner.items() if value is not None}


def shown(value: object) -> str:
    """A field's value as YAML would have it."""
    if value is None:
        return ABSENT
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return f"[{', '.join(shown(item) for item in value)}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {shown(item)}" for key, item in value.items() if item is not None) + "}"
    return str(value)


def loosens(path: str, before: Mapping[str, object], after: Mapping[str, object]) -> bool:
    """Whether one field that differs lowers a bar."""
    old, new = before.get(path), after.get(path)
    match path:
        case "approval":
            return new == "none" and old != "none"
        case "approval.required":
            return isinstance(old, int) and isinstance(new, int) and new < old
        case "approval.allow_self":
            return new is True
        case "approval.from":
            return isinstance(old, tuple) and not (isinstance(new, tuple) and set(new) <= set(old))
        case "promote.after":
            return isinstance(old, tuple) and not (isinstance(new, tuple) and set(old) <= set(new))
        case "promote.soak":
            return _seconds(new) < _seconds(old)
        case "health.http" | "health.tcp" | "health.command":
            return old is not None and not any(after.get(other) for other in _CHECKS)
    return False


def _seconds(value: object) -> float:
    return durations.parse(value) if isinstance(value, str) else 0.0
