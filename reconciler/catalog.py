"""All declarations at the tip of the tracked branch, kept current by reading only what changed.

It leaves the reading of one file to `core.declare` and every verdict to the gates. Events only wake:
`refresh` compares the remote's tip with the one it knows, and says which environments differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from reconciler.bounds import Bounds
from reconciler.core.declare import POLICY, Reading, environment_name
from reconciler.core.folder import (
    is_regular,
    policy_entry,
    read_entry,
    rivals,
    upstream_problems,
)
from reconciler.core.rules import NO_POLICY, PolicyReading
from reconciler.core.yamltree import MAX_BYTES, Malformed, Problem
from reconciler.errors import PolicyDenied, Reason
from reconciler.model import CommitId, EnvironmentName, TreeEntry
from reconciler.ports import Repository

_ONE_BY_ONE = 20
"""Up to so many changed paths, each is looked up alone; above, the whole folder is listed once."""


@dataclass(frozen=True, slots=True)
class Declared:
    """One environment file at the tip. `rivals` are environments that declare an overlapping target path."""

    environment: EnvironmentName
    path: str
    tip: CommitId
    reading: Reading | None
    """None: the file is gone."""
    rivals: tuple[EnvironmentName, ...] = ()
    rewritten: str = ""
    """Why the branch may not be followed; empty when it may."""
    upstream_problem: str = ""
    """Why nothing can be promoted here: `promote.after` names nobody, or goes in a circle. Empty when it is fine."""
    policy_problems: tuple[Problem, ...] = ()
    """Why the policy can't be read: rules that can't be read are not passed over."""


@dataclass(frozen=True, slots=True)
class _View:
    """One consistent state of all declarations; replaced as a whole, so that readers never see half of a move."""

    tip: CommitId
    files: Mapping[EnvironmentName, tuple[str, Reading]]
    rivals: Mapping[EnvironmentName, tuple[EnvironmentName, ...]]
    misnamed: Mapping[str, Problem]
    policy: PolicyReading
    upstream_problems: Mapping[EnvironmentName, str]
    soaks: Mapping[EnvironmentName, float]


class Catalog:
    """The declarations, by environment. One thread refreshes; any thread reads."""

    def __init__(self, repository: Repository, bounds: Bounds) -> None:
        self._repository = repository
        self._bounds = bounds
        self._view: _View | None = None
        self.rewritten = ""
        """Why the branch may not be followed, for people; while set, every environment holds."""

    @property
    def tip(self) -> CommitId | None:
        """The commit that the declarations were read at; None before the first refresh."""
        return self._view.tip if self._view else None

    @property
    def environments(self) -> tuple[EnvironmentName, ...]:
        """Every environment that is declared, in order of name."""
        return tuple(sorted(self._view.files)) if self._view else ()

    @property
    def misnamed(self) -> tuple[Problem, ...]:
        """Files that look like declarations but whose names can't be environments'."""
        return tuple(self._view.misnamed[path] for path in sorted(self._view.misnamed)) if self._view else ()

    @property
    def policy(self) -> PolicyReading:
        """The policy file at the tip; an empty one when there is none."""
        return self._view.policy if self._view else NO_POLICY

    @property
    def soaks(self) -> Mapping[EnvironmentName, float]:
        """Environments that others promote from, and the longest soak in seconds that one of those asks for."""
        return self._view.soaks if self._view else {}

    def get(self, environment: EnvironmentName) -> Declared:
        """What is declared for one environment, also when its file is gone."""
        view = self._view
        assert view is not None
        path, reading = view.files.get(environment, (f"{environment}.yaml", None))
        return Declared(
            environment,
            path,
            view.tip,
            reading,
            view.rivals.get(environment, ()),
            self.rewritten,
            view.upstream_problems.get(environment, ""),
            view.policy.problems,
        )

    def in_order(self, names: Iterable[EnvironmentName]) -> Iterator[tuple[EnvironmentName, ...]]:
        """Environments in groups, each behind those that it promotes from; the members of a circle come last."""
        left = dict.fromkeys(names)
        while left:
            group = tuple(name for name in left if not self._upstreams(name) & left.keys()) or tuple(left)
            yield group
            for name in group:
                del left[name]

    def _upstreams(self, name: EnvironmentName) -> frozenset[EnvironmentName]:
        reading = self.get(name).reading
        promote = reading.declaration.promote if reading and reading.declaration else None
        return frozenset(EnvironmentName(upstream) for upstream in promote.after) if promote else frozenset()

    def refresh(self, tip: CommitId) -> frozenset[EnvironmentName]:
        """Move to `tip`, already fetched, and return the environments whose declaration changed.

        Raises:
            ReconcilerError: The repository can't be read; what was known before stays in force.
        """
        before = self._view
        if before and tip == before.tip:
            return frozenset()
        entries = self._entries(tip)
        misnamed, named = _by_environment(entries)
        readings = self._read(named)
        files = dict(before.files) if before else {}
        for name, (path, reading) in readings.items():
            if reading is None:
                files.pop(name, None)
            else:
                files[name] = (path, reading)
        self._bound(tip, len(files))
        kept = {path: problem for path, problem in (before.misnamed if before else {}).items() if path not in entries}
        policy = self._policy(entries[POLICY]) if POLICY in entries else self.policy
        problems = upstream_problems(files)
        self._view = view = _View(tip, files, rivals(files), {**kept, **misnamed}, policy, problems, _soaks(files))
        return frozenset(readings) | _differences(before, view)

    def _bound(self, tip: CommitId, count: int) -> None:
        if count > self._bounds.environments:
            raise PolicyDenied(
                Reason.INVALID_DECLARATION,
                f"commit {tip[:12]} declares {count} environments, more than the allowed {self._bounds.environments}",
                "raise bounds.environments in the settings if there are meant to be so many",
            )

    def _entries(self, tip: CommitId) -> Mapping[str, TreeEntry | None]:
        """What may differ from the known state: all of it at first, later only the changed paths."""
        if self._view is None:
            return self._repository.tree(tip)
        paths = self._repository.changed_paths(self._view.tip, tip)
        if len(paths) > _ONE_BY_ONE:
            tree = self._repository.tree(tip)
            return {path: tree.get(path) for path in paths}
        return {path: self._repository.entry(tip, path) for path in paths}

    def _policy(self, entry: TreeEntry | None) -> PolicyReading:
        wanted = [entry.blob] if entry and is_regular(entry) else []
        return policy_entry(entry, self._repository.read_blobs(wanted, MAX_BYTES))

    def _read(
        self, named: Mapping[EnvironmentName, tuple[str, TreeEntry | None]]
    ) -> dict[EnvironmentName, tuple[str, Reading | None]]:
        wanted = [entry.blob for _, entry in named.values() if entry and is_regular(entry)]
        contents = self._repository.read_blobs(wanted, MAX_BYTES)
        return {
            name: (path, read_entry(path, entry, contents) if entry else None) for name, (path, entry) in named.items()
        }


def _differences(before: _View | None, after: _View) -> frozenset[EnvironmentName]:
    """Environments that the move concerns although their own file did not change."""
    if before is None:
        return frozenset()
    if before.policy != after.policy:
        return frozenset(after.files)
    return _changed(before.rivals, after.rivals) | _changed(before.upstream_problems, after.upstream_problems)


def _changed(
    before: Mapping[EnvironmentName, object], after: Mapping[EnvironmentName, object]
) -> frozenset[EnvironmentName]:
    return frozenset(name for name in {*before, *after} if before.get(name) != after.get(name))


def _soaks(files: Mapping[EnvironmentName, tuple[str, Reading]]) -> dict[EnvironmentName, float]:
    longest: dict[EnvironmentName, float] = {}
    for _, reading in files.values():
        promote = reading.declaration.promote if reading.declaration else None
        for name in promote.after if promote else ():
            upstream = EnvironmentName(name)
            longest[upstream] = max(longest.get(upstream, 0.0), promote.soak_seconds if promote else 0.0)
    return longest


def _by_environment(
    entries: Mapping[str, TreeEntry | None],
) -> tuple[dict[str, Problem], dict[EnvironmentName, tuple[str, TreeEntry | None]]]:
    misnamed: dict[str, Problem] = {}
    named: dict[EnvironmentName, tuple[str, TreeEntry | None]] = {}
    for path, entry in entries.items():
        try:
            name = environment_name(path)
        except Malformed as malformed:
            if entry is not None:
                misnamed[path] = malformed.problems[0]
            continue
        if name is not None:
            named[name] = (path, entry)
    return misnamed, named
