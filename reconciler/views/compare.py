"""Two artifacts beside each other: files, sizes, and the commits between them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from reconciler.core.contents import Changes, FileChange, compare
from reconciler.core.readable import escape, plain
from reconciler.errors import ReconcilerError
from reconciler.model import CommitId, Declared, Digest, EnvironmentName, Run, RunId, Status
from reconciler.views.cards import NAME, came_by
from reconciler.views.facts import Facts
from reconciler.views.recall import Titles

CHOICES = 200
"""Environments and runs that are offered for choosing."""
FILES = 1_000
"""Paths that are shown of those that differ."""
COMMITS = 50
"""Commits that are shown."""
COUNTED = 500
"""Commits that are counted; there may be more."""
_RUN = re.compile(r"(?:run\s+)?#?([1-9][0-9]{0,17})", re.IGNORECASE | re.ASCII)
_DIGEST = re.compile(r"(?:sha256:)?([0-9a-f]{8,64})", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two: what was asked for, and what that is."""

    asked: str
    """As it was asked for: an environment's name, `run 102`, or the first digits of a digest."""
    environment: EnvironmentName | None
    run: RunId | None
    sha256: Digest | None
    commit: str
    """That CI built it from; empty where CI's word is not remembered."""
    commit_url: str
    """Where CI shows the run that built it; empty where there is no such page."""
    problem: str = ""
    """Why it can't be compared, for people; empty when it can."""
    declared: CommitId | None = None
    """The commit that lets it in where it is live; None: it is asked for by itself, or nobody can tell."""


@dataclass(frozen=True, slots=True)
class DeclaredCommit:
    """One change of the declarations between the two."""

    commit: str
    title: str
    author: str
    url: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """The answer; `left` and `right` are None before anything was asked for."""

    left: Side | None
    right: Side | None
    files: Changes | None
    """None: one of the two has no copy in custody, or nothing was asked for; `problem` says which."""
    commits: tuple[DeclaredCommit, ...]
    more: int
    """Commits that were left out."""
    problem: str
    choices: Sequence[str]
    """What can be asked for: environments, and runs that are live."""
    more_files: int = 0
    """Paths that differ and were left out; the sums in `files` count them."""


@dataclass(frozen=True, slots=True)
class _Known:
    """What sides are found in."""

    facts: Facts
    statuses: Mapping[EnvironmentName, Status]

    def live(self) -> Iterator[tuple[RunId, Digest]]:
        """Every artifact that is live."""
        return ((one.live.run_id, one.live.sha256) for one in self.statuses.values() if one.live)


def comparison(facts: Facts, left: str, right: str) -> Comparison:
    """Compare two; each is an environment's name, a run's number, or at least eight digits of a digest.

    Raises:
        ReconcilerError: `StoreUnavailable`.
    """
    known = _Known(facts, facts.statuses())
    choices = _choices(known)
    asked = left.strip()[:NAME], right.strip()[:NAME]
    if not all(asked):
        sides = [_side(known, text, None) if text else None for text in asked]
        problem = "" if not any(asked) else "name two to compare"
        return Comparison(sides[0], sides[1], None, (), 0, problem, choices)
    one = _side(known, asked[0], _environment(known, asked[1]))
    other = _side(known, asked[1], one.environment)
    if one.problem or other.problem:
        return Comparison(one, other, None, (), 0, one.problem or other.problem, choices)
    files, problem = _files(facts, one, other)
    commits, more = _commits(facts, one, other)
    shown, more_files = _bounded(files) if files else (None, 0)
    return Comparison(one, other, shown, commits, more, problem, choices, more_files)


def _environment(known: _Known, text: str) -> EnvironmentName | None:
    name = EnvironmentName(text)
    return name if name in known.statuses else None


def _side(known: _Known, asked: str, beside: EnvironmentName | None) -> Side:
    """What was asked for. `beside`: the environment that it is compared with, whose own runs are meant first."""
    if name := _environment(known, asked):
        status = known.statuses[name]
        if status.live is None:
            return _none(asked, f"nothing is live in {name}", name)
        side = _found(known.facts, asked, status.live.run_id, status.live.sha256)
        return replace(side, environment=name, declared=came_by(known.facts, status))
    if match := _RUN.fullmatch(asked):
        side = _of_run(known, asked, RunId(int(match[1])), beside)
        if not side.problem or not _DIGEST.fullmatch(asked):
            return side
    if match := _DIGEST.fullmatch(asked):
        return _of_digest(known, asked, match[1].lower(), beside)
    return _none(asked, f"{plain(asked, 80)} is no environment, no run's number, and no eight digits of a digest")


def _none(asked: str, problem: str, name: EnvironmentName | None = None) -> Side:
    return Side(plain(asked, NAME), name, None, None, "", "", problem)


def _found(facts: Facts, asked: str, run_id: RunId, sha256: Digest) -> Side:
    for source, run in facts.store.runs([run_id]).get(run_id, {}).items():
        if any(artifact.sha256 == sha256 for artifact in run.artifacts):
            url = facts.links.run(source, run_id)
            return Side(plain(asked, NAME), None, run_id, sha256, plain(run.commit, 80), url)
    return Side(plain(asked, NAME), None, run_id, sha256, "", "")


def _of_run(known: _Known, asked: str, run_id: RunId, beside: EnvironmentName | None) -> Side:
    """Of a run there may be several artifacts: one that was live in the environment beside it is meant first."""
    was = next((one for one in _lineage(known, beside) if one.run_id == run_id and one.sha256), None)
    if was and was.sha256:
        return replace(_found(known.facts, asked, run_id, was.sha256), declared=was.commit)
    runs = known.facts.store.runs([run_id]).get(run_id, {})
    digests = {sha256 for number, sha256 in known.live() if number == run_id} | _stated(runs)
    if len(digests) == 1:
        return _found(known.facts, asked, run_id, digests.pop())
    told = f"{len(digests)} artifacts are" if digests else "no artifact is"
    way = "name it by its digest, or beside an environment where it was live" if digests else ""
    return _none(asked, "; ".join(filter(None, (f"{told} known of run {run_id}", way))))


def _stated(runs: Mapping[str, Run]) -> set[Digest]:
    return {artifact.sha256 for run in runs.values() for artifact in run.artifacts if artifact.sha256}


def _lineage(known: _Known, name: EnvironmentName | None) -> tuple[Declared, ...]:
    return known.facts.recall.lineage(known.facts.store, known.statuses[name]) if name else ()


def _of_digest(known: _Known, asked: str, digits: str, beside: EnvironmentName | None) -> Side:
    found = {sha256: run_id for run_id, sha256 in known.live() if sha256.startswith(digits)}
    for one in _lineage(known, beside):
        if one.sha256 and one.run_id and one.sha256.startswith(digits):
            found.setdefault(one.sha256, one.run_id)
    if len(found) == 1:
        ((sha256, run_id),) = found.items()
        return _found(known.facts, asked, run_id, sha256)
    if not found and len(digits) == 64:
        return Side(plain(asked, NAME), None, None, Digest(digits), "", "")
    told = f"{len(found)} live artifacts begin" if found else "no live artifact begins"
    return _none(asked, f"{told} with {digits[:12]}; give all 64 digits")


def _files(facts: Facts, left: Side, right: Side) -> tuple[Changes | None, str]:
    assert left.sha256
    assert right.sha256
    contents = []
    for side, sha256 in ((left, left.sha256), (right, right.sha256)):
        found = facts.contents(sha256, _unpack(facts, side, left.environment or right.environment))
        if found is None:
            what = f"run {side.run}" if side.run else sha256[:12]
            return None, f"there is no copy of {what} in custody, or it can't be read: its files can't be compared"
        contents.append(found)
    return compare(contents[0], contents[1]), ""


def _unpack(facts: Facts, side: Side, other: EnvironmentName | None) -> Literal["outer", "inner"]:
    """As the environment unpacks it; a run by itself is unpacked as beside it."""
    name = side.environment or other
    if name is None or facts.catalog.tip is None:
        return "outer"
    try:
        reading = facts.catalog.get(name).reading
        declaration = reading.declaration if reading else None
    except ReconcilerError:
        declaration = None
    return declaration.artifact.unpack if declaration else "outer"


def _bounded(changes: Changes) -> tuple[Changes, int]:
    """At most `FILES` paths, with what hides in them spelled out."""
    room, parts = FILES, list[tuple[FileChange, ...]]()
    for part in (changes.added, changes.changed, changes.removed):
        parts.append(tuple(replace(one, path=escape(one.path)) for one in part[:room]))
        room -= len(parts[-1])
    shown = replace(changes, added=parts[0], changed=parts[1], removed=parts[2])
    return shown, changes.total - shown.total


def _commits(facts: Facts, left: Side, right: Side) -> tuple[tuple[DeclaredCommit, ...], int]:
    """What was let in between the two, newest first, whichever of them is the older one."""
    if left.declared is None or right.declared is None or left.declared == right.declared:
        return (), 0
    try:
        names = facts.repository.between(left.declared, right.declared, COUNTED)
        names = names or facts.repository.between(right.declared, left.declared, COUNTED)
    except ReconcilerError:
        return (), 0
    titles = Titles(facts.recall, facts.repository)
    return tuple(_declared(facts, name, titles) for name in names[:COMMITS]), max(0, len(names) - COMMITS)


def _declared(facts: Facts, name: CommitId, titles: Titles) -> DeclaredCommit:
    title = titles.of(name)
    try:
        author = plain(facts.repository.commit(name).author, NAME) if title else ""
    except ReconcilerError:
        author = ""
    return DeclaredCommit(name, title, author, facts.links.commit(name))


def _choices(known: _Known) -> tuple[str, ...]:
    """Environments in order of promotion, then runs that are live, the newest first."""
    others = frozenset(known.statuses.keys() - set(known.facts.catalog.environments))
    services = known.facts.recall.services(known.facts.catalog, others)
    names = [str(name) for service in services[:CHOICES] for name in service.members[:CHOICES]]
    runs = sorted({run_id for run_id, _ in known.live()}, reverse=True)[: CHOICES // 4]
    return (*names[: CHOICES - len(runs)], *(f"run {run_id}" for run_id in runs))
