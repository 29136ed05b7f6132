"""Every problem of environment files on disk, by the very rules that hold for those on the branch.

Needs no settings, repository or network. What it can't know, and the daemon judges later: whether the run
exists, who approves, and which places the operator allows. Overlaps are found among the files looked at; what
`promote.after` names is looked up in the whole folder of declarations, since a hook may name changed files only.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from reconciler.cli.exits import ExitCode, Stop
from reconciler.core.declare import FOLDER, POLICY, TEXT_PATHS, Reading, environment_name, upstreams
from reconciler.core.folder import policy_entry, read_entry, rivals, waiting_problems
from reconciler.core.policyfile import TEXT_PATHS as POLICY_PATHS
from reconciler.core.policyfile import FloorSpec, FreezeSpec, covers
from reconciler.core.yamltree import MAX_BYTES, Malformed, Problem, dotted, parse
from reconciler.core.yamltree import Path as YamlPath
from reconciler.model import BlobId, EnvironmentName, TreeEntry

_BLOB = BlobId("file")
"""The name under which one file's content is handed over."""
_Named = dict[EnvironmentName, tuple["_File", Reading]]


@dataclass(frozen=True, slots=True)
class Note:
    """Something that is allowed and may not be meant."""

    file: str
    line: int
    column: int
    at: str
    what: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.at}: {self.what}"


@dataclass(frozen=True, slots=True)
class Findings:
    """How many files declare an environment, and all that is wrong or worth a look, in order of place."""

    environments: int
    problems: tuple[Problem, ...]
    policies: int = 0
    """Policy files that were looked at."""
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True)
class _File:
    """A path as it is shown, and its place below the folder of declarations, however it was spelt."""

    shown: Path
    root: Path
    path: str


def validate(paths: Sequence[Path]) -> Findings:
    """Look at files, and at all files of folders.

    Raises:
        Stop: One of the paths is not there or can't be read.
    """
    files = {(found.root, found.path): found for path in paths for found in _files(path)}
    problems: list[Problem] = []
    readings: dict[Path, _Named] = {}
    policies = [file for file in files.values() if file.path == POLICY]
    for file in files.values():
        try:
            name = environment_name(file.path)
        except Malformed as malformed:
            problems += [replace(problem, file=str(file.shown)) for problem in malformed.problems]
            continue
        if name is None:
            problems += _not_an_environment(file)
            continue
        reading = _read(file)
        problems += reading.problems
        readings.setdefault(file.root, {})[name] = file, reading
    whole = {Path(os.path.abspath(path)) for path in paths if path.is_dir()}  # noqa: PTH100 - as in _files
    for root, named in readings.items():
        problems += _overlaps(named)
        problems += _upstream(root, named, root in whole)
    notes = [note for file in policies for note in _policy_notes(file, readings.get(file.root, {}), file.root in whole)]
    problems.sort(key=_place)
    return Findings(sum(map(len, readings.values())), tuple(problems), len(policies), tuple(sorted(notes, key=_place)))


def _place(found: Problem | Note) -> tuple[str, int, int]:
    return found.file, found.line, found.column


def _files(path: Path) -> Iterator[_File]:
    """A file, or every file below a folder; links are shown, not followed."""
    absolute = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links
    if path.is_dir() and not path.is_symlink():
        root = _root(absolute)
        for folder, folders, names in os.walk(path, onerror=_unreadable):
            links = [name for name in folders if (Path(folder) / name).is_symlink()]
            for name in sorted([*names, *links]):
                found = Path(folder) / name
                if name.endswith((".yaml", ".yml")):
                    yield _File(found, root, (absolute / found.relative_to(path)).relative_to(root).as_posix())
    elif path.is_symlink() or path.exists():
        root = _root(absolute.parent)
        yield _File(path, root, absolute.relative_to(root).as_posix())
    else:
        raise Stop(ExitCode.USAGE, f"{path}: no such file or folder", "name environment files, or their folder")


def _root(folder: Path) -> Path:
    """The folder of declarations that a folder is in: the innermost one of that name, else the folder itself."""
    return next((place for place in (folder, *folder.parents) if place.name == FOLDER), folder)


def _unreadable(error: OSError) -> None:
    raise Stop(ExitCode.USAGE, f"{error.filename}: {error.strerror}")


def _read(file: _File) -> Reading:
    """The file as a commit would hold it."""
    reading = read_entry(file.path, *_entry(file))
    return replace(reading, problems=_shown(file, reading.problems))


def _entry(file: _File) -> tuple[TreeEntry, dict[BlobId, bytes | None]]:
    try:
        mode = file.shown.lstat().st_mode
        data = None
        if stat.S_ISREG(mode):
            with file.shown.open("rb") as stream:
                data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise Stop(ExitCode.USAGE, f"{file.shown}: {error.strerror}") from None
    kept = data if data is not None and len(data) <= MAX_BYTES else None
    return TreeEntry(_git_mode(mode), _BLOB), {_BLOB: kept}


def _shown(file: _File, problems: tuple[Problem, ...]) -> tuple[Problem, ...]:
    return tuple(replace(problem, file=str(file.shown)) for problem in problems)


def _git_mode(mode: int) -> str:
    return {stat.S_IFREG: "100644", stat.S_IFLNK: "120000"}.get(stat.S_IFMT(mode), f"{mode:o}")


def _not_an_environment(file: _File) -> Sequence[Problem]:
    if file.path == POLICY:
        return _shown(file, policy_entry(*_entry(file)).problems)
    if file.path.endswith(".json"):
        return []
    return [Problem(str(file.shown), 1, 1, "", f"the ending {file.shown.suffix!r}", "the ending .yaml")]


def _overlaps(named: _Named) -> Iterator[Problem]:
    """Targets that are the same, or one inside another."""
    for name, others in rivals({name: (file.path, reading) for name, (file, reading) in named.items()}).items():
        file, reading = named[name]
        assert reading.declaration is not None
        place = parse(file.path, file.shown.read_bytes()).spans[("target", "path")]
        taken = ", ".join(str(named[other][0].shown) for other in others[:3])
        yield Problem(
            str(file.shown),
            place.line,
            place.column,
            "target.path",
            f"{reading.declaration.target.path}, which overlaps with that of {taken}",
            "a folder of its own for each environment",
        )


def _upstream(root: Path, named: _Named, whole: bool) -> Iterator[Problem]:
    """Environments that wait for one that is not there, for themselves, or in a circle.

    Args:
        root: The folder of declarations.
        named: The files that were looked at.
        whole: These are all there are below the folder.
    """
    if not any(map(_waits_for, named.values())) or not (whole or root.name == FOLDER):
        return
    everything = named if whole else {**_siblings(root), **named}
    after: dict[str, tuple[str, ...]] = {
        name: names for name, item in everything.items() if (names := _waits_for(item))
    }
    for name, text in waiting_problems(everything.keys(), after).items():
        if name not in named:
            continue
        file = named[name][0]
        place = parse(str(file.shown), file.shown.read_bytes(), TEXT_PATHS).spans[("promote", "after")]
        found = text.removeprefix("promote.after ").removeprefix("names ").removeprefix("goes in ")
        wanted = "environments that are declared here, and that don't wait for this one"
        yield Problem(str(file.shown), place.line, place.column, "promote.after", found, wanted)


def _waits_for(item: tuple[_File, Reading]) -> tuple[str, ...]:
    """What `promote.after` names: also in a file with other mistakes, so that a circle through it is told as well."""
    file, reading = item
    if reading.declaration:
        return reading.declaration.promote.after if reading.declaration.promote else ()
    data = _entry(file)[1][_BLOB]
    return upstreams(file.path, data) if data is not None else ()


def _policy_notes(file: _File, named: _Named, whole: bool) -> Iterator[Note]:
    """What the policy says for nobody, or twice.

    Args:
        file: The policy.
        named: The environments that were looked at in the same folder.
        whole: These are all there are below the folder.
    """
    policy = policy_entry(*_entry(file)).document
    if policy is None:
        return
    spans = parse(file.path, file.shown.read_bytes(), POLICY_PATHS).spans

    def note(at: YamlPath, what: str) -> Note:
        place = next(spans[at[:n]] for n in range(len(at), -1, -1) if at[:n] in spans)
        return Note(str(file.shown), place.line, place.column, dotted(at), what)

    names = {*named, *(() if whole else _siblings(file.root))}
    if whole or file.root.name == FOLDER:
        listed: dict[str, Sequence[FloorSpec | FreezeSpec]] = {"approval": policy.approval, "freeze": policy.freeze}
        for key, entries in listed.items():
            for n, entry in enumerate(entries):
                for m, pattern in enumerate(entry.environments):
                    if not any(covers((pattern,), name) for name in names):
                        yield note((key, n, "environments", m), f"{pattern!r} matches no environment so far")
    first: dict[object, int] = {}
    for n, revoked in enumerate(policy.revoked):
        if (at := first.setdefault(revoked.sha256 or revoked.run_id, n)) != n:
            yield note(("revoked", n), f"the same as revoked[{at}]; one entry is enough")


def _siblings(root: Path) -> _Named:
    """All environments below a folder; a file that is not well named declares none."""
    found: _Named = {}
    for file in _files(root):
        with contextlib.suppress(Malformed):
            name = environment_name(file.path)
            if name is not None:
                found[name] = file, _read(file)
    return found
