"""Which environments are stages of one service, and in which order a release comes to them.

Environments of one folder are one service. Those without a folder are one where they declare the same artifact, or
where `promote.after` connects them. The work grows with the number of environments and of ways between them, however
long the way through a service is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from reconciler.model import EnvironmentName

After = Callable[[EnvironmentName], Iterable[EnvironmentName]]
"""The environments that one promotes from."""
_Name = TypeVar("_Name", bound=str)


@dataclass(frozen=True, slots=True)
class Service:
    """One service."""

    name: str
    """The folder of its environments, else its artifact's; its first environment's where nobody knows that, or where
    a folder or another service's environment is called so."""
    members: tuple[EnvironmentName, ...]
    """Each behind those that it promotes from, otherwise by name; the members of a circle come last."""


def services(
    names: Iterable[EnvironmentName], after: After, artifact: Callable[[EnvironmentName], str]
) -> tuple[Service, ...]:
    """Every service, in order of name.

    Args:
        names: All environments.
        after: The environments that one promotes from.
        artifact: The name of the artifact that one declares; empty: nobody knows.
    """
    folders: dict[str, list[EnvironmentName]] = {}
    for name in sorted(names):
        folders.setdefault(folder_of(name), []).append(name)
    flat = folders.pop("", [])
    found = [Service(folder, promotion_order(members, after)) for folder, members in folders.items()]
    taken = {*folders, *flat}
    for group in _connected(flat, after, artifact):
        members = promotion_order(group, after)
        called = next(filter(None, map(artifact, members)), "")
        free = called and (called not in taken or called in members)
        found.append(Service(called if free else members[0], members))
    return tuple(sorted(found, key=lambda service: service.name))


def folder_of(name: EnvironmentName) -> str:
    """The folder that an environment's file lies in; empty: in none."""
    return name.rpartition("/")[0]


def stage_of(name: EnvironmentName) -> str:
    """The last part of a name."""
    return name.rpartition("/")[2]


def promotion_order(names: Sequence[_Name], after: Callable[[_Name], Iterable[_Name]]) -> tuple[_Name, ...]:
    """These, each behind those among them that it promotes from; the members of a circle come last."""
    known = frozenset(names)
    before = {name: known.intersection(after(name)) - {name} for name in names}
    behind: dict[_Name, list[_Name]] = {}
    for name, others in before.items():
        for other in others:
            behind.setdefault(other, []).append(name)
    waits = {name: len(others) for name, others in before.items()}
    group, found = [name for name in names if not waits[name]], list[_Name]()
    while group:
        found += group
        group = sorted(_freed(group, behind, waits))
    placed = frozenset(found)
    return (*found, *(name for name in names if name not in placed))


def _freed(
    group: Iterable[_Name],
    behind: dict[_Name, list[_Name]],
    waits: dict[_Name, int],
) -> Iterator[_Name]:
    """Those that waited for nobody but these, and for whom came before."""
    for name in group:
        for other in behind.get(name, ()):
            waits[other] -= 1
            if not waits[other]:
                yield other


def _connected(
    names: Sequence[EnvironmentName], after: After, artifact: Callable[[EnvironmentName], str]
) -> Iterable[list[EnvironmentName]]:
    """Sets of environments of one artifact, or between which there are ways, whatever their direction."""
    heads = {name: name for name in names}
    firsts = dict[str, EnvironmentName]()

    def head(name: EnvironmentName) -> EnvironmentName:
        while heads[name] != name:
            heads[name] = name = heads[heads[name]]
        return name

    for name in names:
        alike = firsts.setdefault(called, name) if (called := artifact(name)) else name
        for other in (alike, *after(name)):
            if other in heads:
                heads[head(name)] = head(other)
    found: dict[EnvironmentName, list[EnvironmentName]] = {}
    for name in names:
        found.setdefault(head(name), []).append(name)
    return found.values()
