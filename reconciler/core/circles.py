"""Circles in a graph of names, in time and memory of its size, and without recursion."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Mapping

Graph = Mapping[str, Collection[str]]


def circles(graph: Graph) -> Iterator[frozenset[str]]:
    """The largest sets, of more than one name, in which each name leads to each other.

    S. R. Kosaraju's way: what leads back to the name that was finished last is in a circle with it.
    """
    back: dict[str, list[str]] = {}
    for name, others in graph.items():
        for other in others:
            back.setdefault(other, []).append(name)
    seen: set[str] = set()
    for last in reversed(_finished(graph)):
        if last in seen:
            continue
        circle, waiting = {last}, [last]
        while waiting:
            fresh = set(back.get(waiting.pop(), ())) - seen - circle
            circle |= fresh
            waiting += fresh
        seen |= circle
        if len(circle) > 1:
            yield frozenset(circle)


def _finished(graph: Graph) -> list[str]:
    """All names, each behind everything that it leads to and that does not lead back to it."""
    seen: set[str] = set()
    order: list[str] = []
    for root in graph:
        path = [] if root in seen else [(root, iter(graph[root]))]
        seen.add(root)
        while path:
            others = path[-1][1]
            onward = next((other for other in others if other not in seen), None)
            if onward is None:
                order.append(path.pop()[0])
            else:
                seen.add(onward)
                path.append((onward, iter(graph.get(onward, ()))))
    return order


def way_around(name: str, circle: Collection[str], graph: Graph) -> list[str]:
    """A shortest way from a name back to itself within its circle, the name at both ends."""
    came_from: dict[str, str] = {}
    queue = deque([name])
    while queue:
        at = queue.popleft()
        for other in graph.get(at, ()):
            if other == name:
                way = [at]
                while way[-1] != name:
                    way.append(came_from[way[-1]])
                return [*reversed(way), name]
            if other in circle and other not in came_from:
                came_from[other] = at
                queue.append(other)
    return [name]
