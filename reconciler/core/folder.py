"""What a folder of declarations holds, entry by entry: readings, overlaps, and the policy file.

The same rules for a commit's tree and for files on disk, so that `validate` and the daemon can't disagree.
"""

from __future__ import annotations

from collections.abc import Mapping

from reconciler.core.declare import FOLDER, POLICY, Reading, read
from reconciler.core.yamltree import MAX_BYTES, Problem
from reconciler.model import BlobId, Digest, EnvironmentName, TreeEntry

_REGULAR = frozenset({"100644", "100755"})
_KINDS = {"120000": "a symbolic link", "160000": "a submodule"}
NO_DIGEST = Digest("0" * 64)
"""Of a file that has no bytes to judge; equals the digest of no content."""


def is_regular(entry: TreeEntry) -> bool:
    """Whether a path is a file: what else a tree may hold (links, submodules) is never followed or read."""
    return entry.mode in _REGULAR


def read_entry(path: str, entry: TreeEntry, contents: Mapping[BlobId, bytes | None]) -> Reading:
    """One path of a commit as a reading; what is not a regular, small file is a problem of that file."""
    file = f"{FOLDER}/{path}"
    if not is_regular(entry):
        found = _KINDS.get(entry.mode, f"an entry of mode {entry.mode}")
        return Reading(file, NO_DIGEST, None, (Problem(file, 1, 1, "", found, "a regular file"),))
    data = contents.get(entry.blob)
    if data is None:
        found = f"more than {MAX_BYTES} bytes"
        return Reading(file, NO_DIGEST, None, (Problem(file, 1, 1, "", found, f"at most {MAX_BYTES} bytes"),))
    return read(file, data)


def rivals(
    files: Mapping[EnvironmentName, tuple[str, Reading]],
) -> dict[EnvironmentName, tuple[EnvironmentName, ...]]:
    """Environments whose target paths are the same, or one inside another."""
    places = sorted(
        (reading.declaration.target.path + "/", name) for name, (_, reading) in files.items() if reading.declaration
    )
    found: dict[EnvironmentName, set[EnvironmentName]] = {}
    outer: list[tuple[str, EnvironmentName]] = []
    for place, name in places:
        while outer and not place.startswith(outer[-1][0]):
            outer.pop()
        for _, other in outer:
            found.setdefault(name, set()).add(other)
            found.setdefault(other, set()).add(name)
        outer.append((place, name))
    return {name: tuple(sorted(others)) for name, others in found.items()}


def policy_problem(file: str) -> Problem:
    """A policy that this version can't read is no policy to pass over: every environment holds while it is there."""
    wanted = "no policy file: this version has none, and does not pass over rules that it can't read"
    return Problem(file, 1, 1, "", "a policy file", wanted, "remove it, or upgrade")


def policy_reading() -> Reading:
    """What every environment's file is read as while there is a policy."""
    problem = policy_problem(f"{FOLDER}/{POLICY}")
    return Reading(problem.file, NO_DIGEST, None, (problem,))
