"""A remote repository in memory, and the port that reads it. Commits are whole snapshots of the folder."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from reconciler.errors import PolicyDenied, Reason, Transient
from reconciler.model import BlobId, Change, Commit, CommitId, TreeEntry
from tests.simulation.faults import Faults

Files = Mapping[str, bytes]


class Written(Protocol):
    """A file as its writer means it."""

    @property
    def data(self) -> bytes: ...


@dataclass(frozen=True)
class Bar:
    """What an environment's file asks of its approvals. `only` empty: anybody."""

    required: int = 1
    only: tuple[str, ...] = ()
    allow_self: bool = False

    def text(self) -> str:
        only = f", from: [{', '.join(self.only)}]" if self.only else ""
        return f"{{required: {self.required}, allow_self: {str(self.allow_self).lower()}{only}}}"


@dataclass(frozen=True)
class File:
    """What the writer of an environment file means. The oracle reads this; the product reads `data`."""

    run: int
    sha256: str
    path: str
    bar: Bar | None = field(default_factory=Bar)
    """None: `approval: none`."""
    keep: int = 5
    suspend: bool = False
    comment: str = ""
    after: tuple[str, ...] = ()
    """What it promotes from."""
    soak: int = 0
    """Seconds; only where it promotes from somewhere."""
    activate: str = ""
    """`command` or `systemd`; empty: nothing is started."""
    config: str = ""
    """The value of CONFIG; only where something is started."""
    secret: str = ""
    """Where the value of SECRET is kept; only where something is started."""
    within: int = 0
    """Seconds in which it must become healthy; 0: nobody asks."""
    rollback: str = "auto"
    drift: str = "repair"

    @property
    def data(self) -> bytes:
        lines = [
            "version: 1",
            f"artifact: {{name: shop, run_id: {self.run}, sha256: {self.sha256}}}",
            *([f"promote: {{after: [{', '.join(self.after)}], soak: {self.soak}s}}"] if self.after else []),
            f"approval: {self.bar.text() if self.bar else 'none'}",
            f"target: {{type: directory, path: {self.path}, keep: {self.keep}}}",
            f"suspend: {str(self.suspend).lower()}",
            *self._running(),
        ]
        return "\n".join([*lines, f"# {self.comment}", ""] if self.comment else [*lines, ""]).encode()

    def _running(self) -> list[str]:
        started = {"command": "command: [./start], deliver: both", "systemd": "systemd: shop.service"}.get(
            self.activate
        )
        return [
            *([f"activate: {{{started}, within: 30s}}"] if started else []),
            *([f"config: {{CONFIG: {self.config!r}}}"] if started and self.config else []),
            *([f"secrets: {{SECRET: {{env: {self.secret}}}}}"] if started and self.secret else []),
            *([f"health: {{tcp: 'localhost:80', within: {self.within}s, every: 5s}}"] if self.within else []),
            *([f"rollback: {self.rollback}"] if self.rollback != "auto" else []),
            *([f"drift: {self.drift}"] if self.drift != "repair" else []),
        ]

    def meaning(self) -> dict[str, object]:
        """The fields that say something."""
        found = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "comment"}
        found = found if self.activate else {**found, "config": None, "secret": None}
        return found if self.after else {**found, "soak": None}


@dataclass(frozen=True)
class Node:
    """One commit."""

    id: CommitId
    parents: tuple[CommitId, ...]
    files: Files
    line: frozenset[CommitId]
    """Itself and everything that it descends from."""


class Git:
    """The remote: every object anybody pushed, and where the tracked branch points."""

    def __init__(self) -> None:
        self.nodes: dict[CommitId, Node] = {}
        self.tip: CommitId | None = None
        self.requests: dict[str, CommitId] = {}
        """Where the references of pull requests point."""
        self.meanings: dict[bytes, File] = {}
        """What the bytes of a file were written to mean; nothing for bytes that are no declaration."""
        self.policies: dict[bytes, Written] = {}
        """The same for policy files."""
        self.blobs: dict[BlobId, bytes] = {}
        """The contents of every file of every commit."""

    def write(self, parents: Iterable[CommitId], files: Files) -> CommitId:
        """Make a commit; the branch does not move."""
        parents = tuple(parents)
        name = CommitId(hashlib.sha1(f"{len(self.nodes)}{parents}".encode()).hexdigest())
        line = frozenset({name}).union(*(self.nodes[parent].line for parent in parents))
        self.nodes[name] = Node(name, parents, dict(files), line)
        self.blobs |= {_blob(data): data for data in files.values()}
        return name

    def edited(self, base: CommitId | None, edits: Mapping[str, Written | bytes | None]) -> dict[str, bytes]:
        """A commit's files after some edits; None removes one."""
        files = dict(self.nodes[base].files) if base else {}
        for path, new in edits.items():
            if new is None:
                files.pop(path, None)
            elif isinstance(new, File):
                files[path] = new.data
                self.meanings[new.data] = replace(new, comment="")
            elif isinstance(new, bytes):
                files[path] = new
            else:
                files[path] = new.data
                self.policies[new.data] = new
        return files

    def descends(self, new: CommitId, old: CommitId) -> bool:
        return old in self.nodes[new].line

    def parted(self, one: CommitId, other: CommitId) -> tuple[CommitId, ...]:
        """The newest commits that both descend from."""
        common = self.nodes[one].line & self.nodes[other].line
        older = {name for known in common for name in self.nodes[known].line if name != known}
        return tuple(sorted(common - older))

    def chain(self, upto: CommitId, after: CommitId | None = None) -> list[Node]:
        """First parents in `after..upto`, oldest first."""
        known = self.nodes[after].line if after else frozenset()
        found: list[Node] = []
        at: CommitId | None = upto
        while at is not None and at not in known:
            found.append(self.nodes[at])
            at = found[-1].parents[0] if found[-1].parents else None
        return found[::-1]

    def before(self, node: Node) -> Files:
        """The first parent's files."""
        return self.nodes[node.parents[0]].files if node.parents else {}


class FakeRepository:
    """`ports.Repository` over the remote. What was once fetched stays readable."""

    def __init__(self, git: Git, faults: Faults) -> None:
        self._git = git
        self._faults = faults
        self._fetched: set[CommitId] = set()
        self._proposals: dict[tuple[CommitId, CommitId], CommitId] = {}

    def lose_mirror(self) -> None:
        """Somebody deletes what was fetched."""
        self._fetched, self._proposals = set(), {}

    def head(self) -> CommitId | None:
        self._faults.at("repository:head")
        return self._git.tip

    def fetch(self, tip: CommitId) -> None:
        if tip in self._fetched:
            return
        self._faults.at("repository:fetch")
        self._fetched |= self._git.nodes[tip].line

    def tree(self, commit: CommitId) -> Mapping[str, TreeEntry]:
        self._faults.at("repository:tree")
        return {path: _entry(data) for path, data in self._node(commit).files.items()}

    def changed_paths(self, old: CommitId, new: CommitId) -> Set[str]:
        self._faults.at("repository:changed_paths")
        one, other = self._node(old).files, self._node(new).files
        return {path for path in {*one, *other} if one.get(path) != other.get(path)}

    def read_blobs(self, blobs: Iterable[BlobId], limit: int) -> Mapping[BlobId, bytes | None]:
        self._faults.at("repository:read_blobs")
        found = {blob: self._git.blobs[blob] for blob in set(blobs) if blob in self._git.blobs}
        return {blob: data if len(data) <= limit else None for blob, data in found.items()}

    def entry(self, commit: CommitId, path: str) -> TreeEntry | None:
        self._faults.at("repository:entry")
        data = self._node(commit).files.get(path)
        return None if data is None else _entry(data)

    def is_ancestor(self, old: CommitId, new: CommitId) -> bool:
        self._faults.at("repository:is_ancestor")
        return new in self._fetched and old in self._git.nodes[new].line

    def changes(self, path: str, after: CommitId | None, upto: CommitId) -> tuple[Change, ...]:
        self._faults.at("repository:changes")
        found = []
        for node in self._git.chain(upto, after):
            before, now = self._git.before(node).get(path), node.files.get(path)
            if before != now:
                parent = node.parents[0] if node.parents else None
                sides = (None if before is None else _entry(before), None if now is None else _entry(now))
                found.append(Change(node.id, parent, *sides))
        return tuple(found)

    def commit(self, commit: CommitId) -> Commit:
        self._faults.at("repository:commit")
        node = self._node(commit)
        return Commit(node.id, node.parents, "a <a@x>", "a <a@x>", "", None, b"")

    def between(self, base: CommitId, head: CommitId, limit: int) -> tuple[CommitId, ...]:
        self._faults.at("repository:between")
        return tuple(sorted(self._node(head).line - self._node(base).line))[: limit + 1]

    def merge_bases(self, one: CommitId, other: CommitId) -> tuple[CommitId, ...]:
        self._faults.at("repository:merge_bases")
        return self._git.parted(self._node(one).id, self._node(other).id)

    def retrieve(self, commit: CommitId, ref: str) -> None:
        if commit in self._fetched:
            return
        self._faults.at("repository:retrieve")
        tip = self._git.requests.get(ref)
        if tip is None or not self._git.descends(tip, commit):
            raise Transient(Reason.REPOSITORY_UNAVAILABLE, f"{ref} does not hold {commit}", "")
        self._fetched |= self._git.nodes[commit].line

    def references(self, pattern: str) -> Mapping[str, CommitId]:
        self._faults.at("repository:references")
        wanted = re.compile("[^/]*".join(map(re.escape, pattern.split("*"))))
        return {name: tip for name, tip in self._git.requests.items() if wanted.fullmatch(name)}

    def proposal(self, base: CommitId, head: CommitId, clone: Path | None = None) -> CommitId:
        """Merges file by file; both sides changing one to different contents is a conflict."""
        self._faults.at("repository:proposal")
        if clone is not None:
            self._fetched |= self._git.nodes[base].line | self._git.nodes[head].line
        ours, theirs = self._node(base), self._node(head)
        if head in ours.line:
            return base
        if (base, head) not in self._proposals:
            parted = self.merge_bases(base, head)
            if not parted:
                raise PolicyDenied(Reason.APPROVAL_STALE, f"{head} and {base} have no history in common", "")
            before = self._node(parted[0]).files
            files = {
                path: _merged(before.get(path), ours.files.get(path), theirs.files.get(path), path)
                for path in {*before, *ours.files, *theirs.files}
            }
            kept = {path: data for path, data in files.items() if data is not None}
            self._proposals[base, head] = self._git.write((base, head), kept)
        proposal = self._proposals[base, head]
        self._fetched |= self._git.nodes[proposal].line
        return proposal

    def watched(self) -> tuple[Path, ...]:
        return ()

    def _node(self, commit: CommitId) -> Node:
        if commit not in self._fetched:
            raise Transient(Reason.REPOSITORY_UNAVAILABLE, f"{commit} is not in the mirror", "")
        return self._git.nodes[commit]


def _merged(before: bytes | None, ours: bytes | None, theirs: bytes | None, path: str) -> bytes | None:
    if ours == theirs or theirs == before:
        return ours
    if ours == before:
        return theirs
    raise PolicyDenied(Reason.APPROVAL_STALE, f"a conflict in {path}", "bring the branch up to date")


@lru_cache(maxsize=4096)
def _blob(data: bytes) -> BlobId:
    return BlobId(hashlib.sha1(data).hexdigest())


def _entry(data: bytes) -> TreeEntry:
    return TreeEntry("100644", _blob(data))
