"""Every problem of environment files on disk, by the very rules that hold for those on the branch.

Needs no settings, repository or network. What it can't know, and the daemon judges later: whether the run
exists, who approves, and which places the operator allows. Overlaps are found among the files looked at.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from reconciler.cli.exits import ExitCode, Stop
from reconciler.core.declare import FOLDER, POLICY, Reading, environment_name
from reconciler.core.folder import policy_problem, read_entry, rivals
from reconciler.core.yamltree import MAX_BYTES, Malformed, Problem, parse
from reconciler.model import BlobId, EnvironmentName, TreeEntry

_BLOB = BlobId("file")
"""The name under which one file's content is handed over."""


@dataclass(frozen=True, slots=True)
class Findings:
    """How many files declare an environment, and all that is wrong, in order of place."""

    environments: int
    problems: tuple[Problem, ...]


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
    readings: dict[Path, dict[EnvironmentName, tuple[_File, Reading]]] = {}
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
    for named in readings.values():
        problems += _overlaps(named)
    problems.sort(key=lambda problem: (problem.file, problem.line, problem.column))
    return Findings(sum(map(len, readings.values())), tuple(problems))


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
    try:
        mode = file.shown.lstat().st_mode
        data = None
        if stat.S_ISREG(mode):
            with file.shown.open("rb") as stream:
                data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise Stop(ExitCode.USAGE, f"{file.shown}: {error.strerror}") from None
    kept = data if data is not None and len(data) <= MAX_BYTES else None
    reading = read_entry(file.path, TreeEntry(_git_mode(mode), _BLOB), {_BLOB: kept})
    return replace(reading, problems=tuple(replace(problem, file=str(file.shown)) for problem in reading.problems))


def _git_mode(mode: int) -> str:
    return {stat.S_IFREG: "100644", stat.S_IFLNK: "120000"}.get(stat.S_IFMT(mode), f"{mode:o}")


def _not_an_environment(file: _File) -> list[Problem]:
    if file.path == POLICY:
        return [policy_problem(str(file.shown))]
    if file.path.endswith(".json"):
        return []
    return [Problem(str(file.shown), 1, 1, "", f"the ending {file.shown.suffix!r}", "the ending .yaml")]


def _overlaps(named: dict[EnvironmentName, tuple[_File, Reading]]) -> Iterator[Problem]:
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
