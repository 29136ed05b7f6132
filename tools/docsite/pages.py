"""Pages put together: tables between their comments, whole sections for the site alone, links that hold there."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from reconciler.errors import Reason
from tools.docsite import api, commands, figures
from tools.docsite.places import DOCS, ROOT
from tools.docsite.sections import REST, all_tables, left_over

TABLES = ("settings.md", "environments.md", "policy.md", "metrics.md", "cli.md", "adr/README.md")
"""Pages that hold tables, below `docs/`."""

_TABLE = re.compile(r"(<!-- table: (\S+) -->\n).*?(<!-- table: end -->)", re.DOTALL)
_BUILT = re.compile(r"<!-- built: (\S+) -->")
_LINK = re.compile(r"(!?)\[([^\]]*)\]\((?![a-z+]+:|//|#)([^)\s#]*)(#[^)\s]*)?\)")
_REASON = re.compile(rf"(?<!\[)`({'|'.join(Reason)})`(?!\])")
_FENCE = re.compile(r"(^ *```.*?^ *```$)", re.DOTALL | re.MULTILINE)


def fill(text: str, tables: Mapping[str, Callable[[], str]] | None = None) -> str:
    """A page with its tables made anew.

    Raises:
        KeyError: A page asks for a table that there is none of.
    """
    known = all_tables() if tables is None else tables

    def made(found: re.Match[str]) -> str:
        body = left_over(text, known) if found[2] == REST else known[found[2]]()
        return f"{found[1]}\n{body}\n{found[3]}" if body else f"{found[1]}{found[3]}"

    return _TABLE.sub(made, text)


def write() -> list[str]:
    """Bring the tables in the checkout up to date; the names of the pages that were not."""
    tables = all_tables()
    changed = []
    for name in TABLES:
        page = DOCS / name
        old = page.read_text()
        new = fill(old, tables)
        if new != old:
            page.write_text(new)
            changed.append(name)
    return changed


def tour() -> str:
    """The tour as the README has it, which is its one source."""
    text = (ROOT / "README.md").read_text()
    return rebased(_section(text, "Five minutes, offline"), ROOT, DOCS / "tour.md")


BUILT: Mapping[str, Callable[[], str]] = {
    "commands": commands.reference,
    "http-api": api.reference,
    "sizing": lambda: figures.sizing(DOCS / "performance.json"),
    "tour": tour,
}


def stage(folder: Path) -> Path:
    """Everything that the site is built from, in one folder; returns the configuration's path.

    Args:
        folder: Is made, and emptied of an earlier build.
    """
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(DOCS, folder / "docs")
    tables = all_tables()
    for page in sorted((folder / "docs").rglob("*.md")):
        home = DOCS / page.relative_to(folder / "docs")
        text = _BUILT.sub(lambda found: BUILT[found[1]](), fill(page.read_text(), tables))
        page.write_text(explained(rebased(text, home.parent, home), home))
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    config["nav"] = navigation(config["nav"])
    place = folder / "mkdocs.yml"
    place.write_text(yaml.safe_dump(config, sort_keys=False))
    return place


def navigation(entries: list[Any]) -> list[Any]:
    """The navigation with its patterns (`adr/[0-9]*.md`) replaced by the pages that there are."""
    made: list[Any] = []
    for entry in entries:
        if isinstance(entry, str):
            made += sorted(str(page.relative_to(DOCS)) for page in DOCS.glob(entry)) or [entry]
        else:
            made += [{name: navigation(inner) if isinstance(inner, list) else inner} for name, inner in entry.items()]
    return made


def gaps(config: Path) -> list[str]:
    """What the navigation names and is not there, and pages that it leaves out."""
    docs = config.parent / "docs"
    listed = set(_listed(yaml.safe_load(config.read_text())["nav"]))
    there = {str(page.relative_to(docs)) for page in docs.rglob("*.md")}
    return [
        *(f"mkdocs.yml: nav names {name}, which is not there" for name in sorted(listed - there)),
        *(f"{name}: in no section of mkdocs.yml's nav" for name in sorted(there - listed)),
    ]


def _listed(entries: list[Any]) -> Iterator[str]:
    for entry in entries:
        if isinstance(entry, str):
            yield entry
        else:
            for inner in entry.values():
                yield from _listed(inner) if isinstance(inner, list) else [inner]


def rebased(text: str, origin: Path, page: Path) -> str:
    """Links as they hold on a page of the site: what lies outside of `docs/` is named, and leads nowhere.

    Args:
        text: Markdown.
        origin: The folder that its links are meant from.
        page: Where it will stand, below `docs/` of the checkout.
    """

    def one(found: re.Match[str]) -> str:
        image, said, place, anchor = found[1], found[2], found[3], found[4] or ""
        target = Path(os.path.normpath(origin / place))
        if not target.is_relative_to(DOCS):
            return said
        target = target / "README.md" if target.is_dir() else target
        return f"{image}[{said}]({os.path.relpath(target, page.parent)}{anchor})"

    return _outside_code(text, lambda part: _LINK.sub(one, part))


def explained(text: str, page: Path) -> str:
    """Each reason that a page names in its text, with the way to the reason's own page."""

    def one(found: re.Match[str]) -> str:
        target = DOCS / "reasons" / f"{found[1]}.md"
        return found[0] if target == page else f"[{found[0]}]({os.path.relpath(target, page.parent)})"

    def lines(part: str) -> str:
        return "".join(
            line if line.startswith("#") else _REASON.sub(one, line) for line in part.splitlines(keepends=True)
        )

    return _outside_code(text, lines)


def _outside_code(text: str, change: Callable[[str], str]) -> str:
    return "".join(part if part.lstrip().startswith("```") else change(part) for part in _FENCE.split(text))


def _section(text: str, title: str) -> str:
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    if found is None:
        raise LookupError(f"README.md has no section {title!r}; the tour is taken from it")
    return found[1].strip() + "\n"
