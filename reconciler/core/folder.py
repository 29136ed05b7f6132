"""What a folder of declarations holds, entry by entry: readings, the policy, overlaps, and who waits for whom.

The same rules for a commit's tree and for files on disk, so that `validate` and the daemon can't disagree.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Set

from reconciler.core.circles import circles, way_around
from reconciler.core.declare import FOLDER, Reading, read
from reconciler.core.policyfile import NO_POLICY, PolicyReading, read_policy
from reconciler.core.yamltree import MAX_BYTES, Problem
from reconciler.model import BlobId, Digest, EnvironmentName, TreeEntry

_REGULAR = frozenset({"100644", "100755"})
_KINDS = {"120000": "a symbolic link", "160000": "a submodule"}
_SHOWN = 20
"""Environments of a circle that are told one by one."""
NO_DIGEST = Digest("0" * 64)
"""Of a file that has no bytes to judge; equals the digest of no content."""


def is_regular(entry: TreeEntry) -> bool:
    """Whether a path is a file: what else a tree may hold (links, submodules) is never followed or read."""
    return entry.mode in _REGULAR


def read_entry(path: str, entry: TreeEntry, contents: Mapping[BlobId, bytes | None]) -> Reading:
    """One path of a commit as a reading; what is not a regular, small file is a problem of that file."""
    file = f"{FOLDER}/{path}"
    content = _content(file, entry, contents)
    return Reading(file, NO_DIGEST, None, (content,)) if isinstance(content, Problem) else read(file, content)


def policy_entry(entry: TreeEntry | None, contents: Mapping[BlobId, bytes | None]) -> PolicyReading:
    """The policy file of a commit as a reading; None: the commit has none."""
    if entry is None:
        return NO_POLICY
    file = NO_POLICY.file
    content = _content(file, entry, contents)
    if isinstance(content, Problem):
        return PolicyReading(file, NO_DIGEST, None, (content,))
    return read_policy(file, content)


def _content(file: str, entry: TreeEntry, contents: Mapping[BlobId, bytes | None]) -> bytes | Problem:
    if not is_regular(entry):
        found = _KINDS.get(entry.mode, f"an entry of mode {entry.mode}")
        return Problem(file, 1, 1, "", found, "a regular file")
    data = contents.get(entry.blob)
    if data is None:
        return Problem(file, 1, 1, "", f"more than {MAX_BYTES} bytes", f"at most {MAX_BYTES} bytes")
    return data


def rivals(
    files: Mapping[EnvironmentName, tuple[str, Reading]],
) -> dict[EnvironmentName, tuple[EnvironmentName, ...]]:
    """Environments whose target paths are the same, or one inside another."""
    return overlaps(
        sorted(
            (reading.declaration.target.path + "/", name) for name, (_, reading) in files.items() if reading.declaration
        )
    )


def overlaps(places: Iterable[tuple[str, EnvironmentName]]) -> dict[EnvironmentName, tuple[EnvironmentName, ...]]:
    """The same, of the places that they claim: in order, with a slash behind each."""
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


def waiting_problems(
    names: Set[EnvironmentName], after: Mapping[str, Collection[str]], declared: Set[EnvironmentName] | None = None
) -> dict[EnvironmentName, str]:
    """Environments that wait for one that no file declares, for themselves, or in a circle: each with a sentence.

    One that only leads into a circle is none of them: it waits for what is refused itself.

    Args:
        names: All, or some with everything that they wait for, directly or not.
        after: Whom each of them waits for.
        declared: All names; left out: those are all.
    """
    known = names if declared is None else declared
    found = {name: text for name in names if (text := _no_upstream(name, after.get(name, ()), known))}
    for circle in circles(after):
        found.update((name, _circle(name, circle, after)) for name in names & circle if name not in found)
    return found


def _no_upstream(name: EnvironmentName, after: Collection[str], names: Set[EnvironmentName]) -> str:
    unknown = [other for other in after if other not in names]
    told = [f"{_listed(unknown)}, which no file declares"] if unknown else []
    told += ["the environment itself"] if name in after else []
    return f"promote.after names {', and '.join(told)}" if told else ""


def _circle(name: str, circle: frozenset[str], after: Mapping[str, Collection[str]]) -> str:
    if len(circle) > _SHOWN:
        return f"promote.after goes in a circle of {len(circle)} environments"
    return "promote.after goes in a circle: " + " → ".join(way_around(name, circle, after))


def _listed(names: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
