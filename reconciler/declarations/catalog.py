"""All declarations at the tip of the tracked branch, kept current by reading only what changed.

It leaves the reading of one file to `core.declare` and every verdict to the gates. Events only wake:
`refresh` compares the remote's tip with the one it knows, and says which environments differ. Of each file it keeps
what the others have to know of it; what it says in full is read when somebody asks, and the last ones are kept.
"""

from __future__ import annotations

import gc
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from reconciler.bounds import Bounds
from reconciler.core.declare import FOLDER, POLICY, Declaration, Reading, environment_name
from reconciler.core.folder import NO_DIGEST, is_regular, policy_entry, read_entry
from reconciler.core.relations import Outline, Relations
from reconciler.core.rules import NO_POLICY, PolicyReading
from reconciler.core.yamltree import MAX_BYTES, Malformed, Problem
from reconciler.declarations.outlines import Filed, Outlines
from reconciler.errors import PolicyDenied, Reason
from reconciler.model import BlobId, CommitId, Digest, EnvironmentName, TreeEntry
from reconciler.ports import Repository

READINGS_KEPT = 1_200
"""Files kept in memory as they were read, some 5 KB each: a commit may change a thousand, and each is read once."""

_ONE_BY_ONE = 20
"""Up to so many changed paths, each is looked up alone; above, the whole folder is listed once."""
_TOGETHER = 500
"""Files that are read at once."""


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
class _File:
    """What is kept of one file."""

    path: str
    entry: TreeEntry
    digest: Digest
    outline: Outline


@dataclass(frozen=True, slots=True)
class _View:
    """One consistent state of all declarations; replaced as a whole, so that readers never see half of a move."""

    tip: CommitId
    files: Mapping[EnvironmentName, _File]
    names: tuple[EnvironmentName, ...]
    relations: Relations
    misnamed: Mapping[str, Problem]
    policy: PolicyReading


class _Readings:
    """Files in full, read when they are asked for. Safe to use from several threads."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._kept: OrderedDict[tuple[str, TreeEntry], Reading] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, files: Iterable[tuple[str, TreeEntry]]) -> Iterator[Reading]:
        """Read some of them, all at once.

        Raises:
            ReconcilerError: The repository can't be read.
        """
        files = tuple(files)
        contents = self._repository.read_blobs([entry.blob for _, entry in files if is_regular(entry)], MAX_BYTES)
        for path, entry in files:
            reading = read_entry(path, entry, contents)
            with self._lock:
                self._kept[path, entry] = reading
                while len(self._kept) > READINGS_KEPT:
                    self._kept.popitem(last=False)
            yield reading

    def get(self, path: str, entry: TreeEntry) -> Reading:
        """One of them, out of memory where it is there.

        Raises:
            ReconcilerError: The repository can't be read.
        """
        with self._lock:
            if (path, entry) in self._kept:
                self._kept.move_to_end((path, entry))
                return self._kept[path, entry]
        (reading,) = self.read([(path, entry)])
        return reading


class Unread(Reading):
    """A file whose digest is known, and that is read when somebody asks what it says.

    Asking may raise a `ReconcilerError`, when the repository can't be read. Two are equal when they are of the same
    place and content, which needs no reading.
    """

    __slots__ = ("_entry", "_path", "_readings")
    _entry: TreeEntry
    _path: str
    _readings: _Readings

    def __init__(self, readings: _Readings, file: _File) -> None:
        parts = {"file": f"{FOLDER}/{file.path}", "digest": file.digest}
        for name, value in {**parts, "_path": file.path, "_entry": file.entry, "_readings": readings}.items():
            object.__setattr__(self, name, value)

    @property
    def declaration(self) -> Declaration | None:
        """The declaration; None when there are problems."""
        return self._read().declaration

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Why there is no declaration."""
        return self._read().problems

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Unread):
            return (self._path, self._entry) == (other._path, other._entry)
        return isinstance(other, Reading) and self._read() == other

    def __hash__(self) -> int:
        return hash((self.file, self.digest))

    def _read(self) -> Reading:
        return self._readings.get(self._path, self._entry)


class Catalog:
    """The declarations, by environment. One thread refreshes; any thread reads."""

    def __init__(self, repository: Repository, bounds: Bounds, cache: Path | None = None) -> None:
        """Prepare; nothing is read yet.

        Args:
            repository: Where the declarations are.
            bounds: How many there may be.
            cache: A file below the state folder that makes the next start quicker; it may be removed at any time.
        """
        self._repository = repository
        self._bounds = bounds
        self._readings = _Readings(repository)
        self._outlines = Outlines(cache)
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
        return self._view.names if self._view else ()

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
        return self._view.relations.soaks if self._view else {}

    def get(self, environment: EnvironmentName) -> Declared:
        """What is declared for one environment, also when its file is gone.

        The file itself is read when `reading` is asked what it says; see `Unread`.
        """
        view = self._view
        assert view is not None
        file = view.files.get(environment)
        return Declared(
            environment,
            file.path if file else f"{environment}.yaml",
            view.tip,
            Unread(self._readings, file) if file else None,
            view.relations.rivals.get(environment, ()),
            self.rewritten,
            view.relations.problems.get(environment, ""),
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

    def upstreams(self, name: EnvironmentName) -> tuple[EnvironmentName, ...]:
        """The environments that one promotes from, declared or not, as its file names them. Reads no file."""
        outline = self._view.relations.outlines.get(name) if self._view else None
        return tuple(map(EnvironmentName, outline.after)) if outline else ()

    def artifact(self, name: EnvironmentName) -> str:
        """The name of the artifact that one declares; empty where its file can't be read. Reads no file."""
        outline = self._view.relations.outlines.get(name) if self._view else None
        return outline.artifact if outline else ""

    def waiters(self, name: EnvironmentName) -> tuple[EnvironmentName, ...]:
        """Those that promote from one, in order of name. Reads no file."""
        return tuple(sorted(self._view.relations.waiters.get(name, ()))) if self._view else ()

    def _upstreams(self, name: EnvironmentName) -> frozenset[EnvironmentName]:
        return frozenset(self.upstreams(name))

    def refresh(self, tip: CommitId) -> frozenset[EnvironmentName]:
        """Move to `tip`, already fetched, and return the environments whose declaration changed.

        Raises:
            ReconcilerError: The repository can't be read; what was known before stays in force.
        """
        if self._view is None:
            with _nothing_collected():
                return self._refreshed(tip)
        return self._refreshed(tip) if tip != self._view.tip else frozenset()

    def _refreshed(self, tip: CommitId) -> frozenset[EnvironmentName]:
        before, entries = self._view, self._entries(tip)
        misnamed, named = _by_environment(entries)
        moved = self._files(named)
        found = dict(before.files) if before else {}
        for name, file in moved.items():
            if file is None:
                found.pop(name, None)
            else:
                found[name] = file
        self._bound(tip, len(found))
        kept = {path: problem for path, problem in (before.misnamed if before else {}).items() if path not in entries}
        policy = self._policy(entries[POLICY]) if POLICY in entries else self.policy
        relations, concerned = _moved(before, moved)
        same = before is not None and before.files.keys() == found.keys()
        names = before.names if before and same else tuple(sorted(found))
        self._view = _View(tip, found, names, relations, {**kept, **misnamed}, policy)
        everything = found.keys() if before and before.policy != policy else ()
        return frozenset(moved).union(concerned, everything)

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

    def _files(
        self, named: Mapping[EnvironmentName, tuple[str, TreeEntry | None]]
    ) -> dict[EnvironmentName, _File | None]:
        """What is to be kept of each; None: it is gone. Read is only what nothing is known of."""
        regular = [entry.blob for _, entry in named.values() if entry and is_regular(entry)]
        known = self._outlines.known(regular)
        files = dict[EnvironmentName, _File | None]()
        unknown: list[tuple[EnvironmentName, str, TreeEntry]] = []
        for name, (path, entry) in named.items():
            files[name] = None
            if entry is not None and is_regular(entry) and (filed := known.get(entry.blob)):
                files[name] = _File(path, entry, filed.digest, filed.outline)
            elif entry is not None:
                unknown.append((name, path, entry))
        fresh: dict[BlobId, Filed] = {}
        for start in range(0, len(unknown), _TOGETHER):
            part = unknown[start : start + _TOGETHER]
            readings = self._readings.read((path, entry) for _, path, entry in part)
            for (name, path, entry), reading in zip(part, readings, strict=True):
                files[name] = file = _File(path, entry, reading.digest, Outline.of(reading))
                if is_regular(entry) and reading.digest != NO_DIGEST:
                    fresh[entry.blob] = Filed(file.digest, file.outline)
        self._outlines.keep(fresh, max(len(files), len(self._view.files) if self._view else 0))
        return files


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """All that the first look makes stays: searching it for garbage again and again takes a quarter of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _moved(
    before: _View | None, moved: Mapping[EnvironmentName, _File | None]
) -> tuple[Relations, frozenset[EnvironmentName]]:
    """How all stand to each other after a move, and whom that concerns although their own file is the same."""
    if before is None:
        return Relations.of({name: file.outline for name, file in moved.items() if file}), frozenset()
    return before.relations.moved({name: file.outline if file else None for name, file in moved.items()})


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
