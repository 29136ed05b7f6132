"""Which tables there are: settings, adapters' options, environment files, the policy, metrics, commands, decisions.

Each is found from where the program itself finds it (models, entry points, the list of metrics, the command's own
groups), so that a new setting, adapter, metric or command has its row without a line written here.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from importlib.metadata import EntryPoint, entry_points

from pydantic import BaseModel

from reconciler.core.declare import Declaration
from reconciler.core.policyfile import PolicyDocument
from reconciler.metrics.families import FAMILIES, VALUES
from reconciler.settings import Settings
from tools.docsite import keys
from tools.docsite.commands import first_line, groups, usage
from tools.docsite.places import DOCS

REST = "settings.rest"
"""The table of every section of the settings that no page has a place for yet."""

PLACES = {
    "forges": "forge.",
    "sources": "sources.<name>.",
    "targets": "targets.{type}.",
    "activators": "activators.{type}.",
    "probes": "probes.{type}.",
}
"""Where the options of an adapter stand in the settings, by the group of its entry point."""

_IN_WORDS = {"state": "`~/.local/state/reconciler`", "new_environments": "`{required: 1}`"}
_OF_ENVIRONMENTS = {"approval": "`{required: 1}`", "artifact.source": "the only one"}
_ALONE = {"new_environments"}
"""Keys whose inner keys are told elsewhere."""


def all_tables() -> dict[str, Callable[[], str]]:
    """How to make each table, by the name that a page asks for it with."""
    found: dict[str, Callable[[], str]] = {
        "settings": settings,
        "environment": lambda: keys.table(list(keys.rows(Declaration, "", _OF_ENVIRONMENTS)), takes=False),
        "policy": lambda: keys.table(list(keys.rows(PolicyDocument)), takes=False),
        "metrics": metrics,
        "labels": labels,
        "commands": commands,
        "decisions": decisions,
    }
    for name, model, prefix in [*sections(), *adapters()]:
        found[name] = partial(_keys, model, prefix)
    return found


def _keys(model: type[BaseModel], prefix: str) -> str:
    return keys.table(list(keys.rows(model, prefix)), takes=True)


def settings() -> str:
    """The keys at the top, each with the way to its section."""
    headings = set(re.findall(r"^### (\w+)$", (DOCS / "settings.md").read_text(), re.MULTILINE))
    rows = [keys.row(name, info, _IN_WORDS) for name, info in Settings.model_fields.items()]
    told = [replace(row, meaning=f"{row.meaning}, [below](#{row.key})") if row.key in headings else row for row in rows]
    return keys.table(told, takes=True)


def sections() -> Iterator[tuple[str, type[BaseModel], str]]:
    """The settings' sections: name of the table, model, and what stands before its keys."""
    for name, info in Settings.model_fields.items():
        for suffix, model in keys.nested(info.annotation) if name not in _ALONE else ():
            yield f"settings.{name}", model, f"{name}{suffix}."


def adapters() -> Iterator[tuple[str, type[BaseModel], str]]:
    """The options of every adapter that is installed, the same way."""
    for group, place in PLACES.items():
        for point in sorted(entry_points(group=f"reconciler.{group}"), key=lambda point: point.name):
            model = options(point)
            if model is not None:
                yield f"{group}.{point.name}", model, place.format(type=point.name)


def options(point: EntryPoint) -> type[BaseModel] | None:
    """The model of an adapter's options: the one in its module whose name ends so; None: it takes none."""
    point.load()
    module = sys.modules[point.module]
    found = [
        one
        for name, one in vars(module).items()
        if isinstance(one, type) and issubclass(one, BaseModel) and one.__module__ == point.module
        if name.endswith("Options")
    ]
    return found[-1] if found else None


def metrics() -> str:
    """Every metric."""
    lines = ["| metric | type | labels | meaning |", "| --- | --- | --- | --- |"]
    lines += [
        f"| `{one.name}` | {one.kind} | {', '.join(f'`{label}`' for label in one.labels)} | {keys.prose(one.says)} |"
        for one in FAMILIES
    ]
    return "\n".join(lines) + "\n"


def labels() -> str:
    """The labels whose values come from a list, and the lists; that of the reasons has a page of its own."""
    lines = ["| label | values |", "| --- | --- |"]
    for label, values in VALUES.items():
        if values is not None and label != "reason":
            lines.append(f"| `{label}` | {', '.join(f'`{value}`' for value in sorted(values) if value)} |")
    return "\n".join(lines) + "\n"


def commands() -> str:
    """The commands by group, each with the first sentence of its help."""
    lines = ["| command | does |", "| --- | --- |"]
    for group, names in groups().items():
        lines.append(f"| **{group}** | |")
        lines += [f"| `{usage(name)}` | {keys.prose(first_line(name))} |" for name in names]
    return "\n".join(lines) + "\n"


def decisions() -> str:
    """The decision records, oldest first."""
    lines = []
    for page in sorted((DOCS / "adr").glob("[0-9]*.md")):
        title = re.sub(r"^#\s*(ADR\s*)?\d+[.:]?\s*", "", page.read_text().splitlines()[0])
        lines.append(f"{int(page.name[:4])}. [{title}]({page.name})\n")
    return "".join(lines)


def left_over(text: str, tables: Mapping[str, Callable[[], str]]) -> str:
    """The settings' sections that a page has no place for, each under its name; nothing where it has one for all."""
    asked = set(re.findall(r"<!-- table: (\S+) -->", text))
    missing = [name for name in tables if "." in name and name not in asked]
    return "\n".join(f"**{name.removeprefix('settings.')}**\n\n{tables[name]()}" for name in missing)
