"""Requests that land as several commits, what people say later, and who loses or gains the right to write."""

from __future__ import annotations

from dataclasses import replace

from tests.simulation.git import File, Files
from tests.simulation.history import History
from tests.simulation.origins import BOT
from tests.simulation.world import GOOD, NOBODY, Edits, Said

PLENTY = Said(approved=("ann", "cid", "eve"), merged_by="bob")
SAID = (
    GOOD,
    GOOD,
    PLENTY,
    NOBODY,
    Said(approved=("fay",), merged_by=BOT),
    Said(approved=(), merged_by="fay"),
    Said(approved=("ann", "fay"), merged_by="dan"),
    Said(approved=("ann",), merged_by="dan", retargeted=True),
    Said(approved=("fay",), merged_by=BOT, early=("ann", "cid", "eve"), retargeted=True),
    Said(approved=(), merged_by=BOT, early=("ann", "cid", "eve"), retargeted=True),
    Said(approved=(), merged_by="dan", early=("ann",)),
    Said(authors=("dan", "ann"), approved=("ann", "cid"), merged_by=BOT),
)
"""Fay's right to write comes and goes. What concerns the policy is said by others: it is judged once and remembered."""


def rebased(h: History) -> str:
    """Several commits land by one request; for a while, perhaps, only some of them."""
    name, said, tip = h.name(), h.random.choice(SAID), h.world.git.tip
    if tip is None:
        return "no branch"
    edits = _edits(h, name)
    kind = h.random.randrange(8)
    forked = h.random.choice(h.world.git.chain(tip)).id if kind == 0 else None
    landed = h.world.rebase(edits, said, forked_at=forked, own=kind in (1, 2))
    told = f"{[one[:7] for one in landed]} {edits}, {said}"
    if h.random.random() < 0.5:
        h.landing = landed
        h.world.git.tip = landed[h.random.randrange(len(landed) - 1)]
        told = f"{told}, up to {h.world.git.tip[:7]} so far"
    return told


def _edits(h: History, name: str) -> list[Edits]:
    """What each commit of one request changes; what the last one leaves is a declaration, most often."""
    file, found = h.current(name), list[Edits]()
    for number in range(h.random.choice((2, 2, 3, 4))):
        file = h.altered(name, file)
        kind = h.random.randrange(8)
        path = f"{name}.yaml"
        if kind == 0:
            found.append({path: b"version: [" + str(len(h.told) + number).encode()})
        elif kind == 1:
            found.append({path: None})
        elif kind == 2:
            found.append({"README": f"version {len(h.told)}.{number}".encode()})
        else:
            found.append({path: file})
    if h.random.random() < 0.8:
        found[-1] = {f"{name}.yaml": h.random.choice((file, h.current(name), _first(found) or file))}
    return found


def _first(edits: list[Edits]) -> File | None:
    """The first declaration among some edits: what a later commit goes back to."""
    return next((one for edit in edits for one in edit.values() if isinstance(one, File)), None)


def rebased_badly(h: History) -> str:
    """What lands last is not what was reviewed."""
    name, tip = h.name(), h.world.git.tip
    if tip is None:
        return "no branch"
    landed = h.world.rebase(_edits(h, name), PLENTY)
    merge = h.world.forge.merges[landed[-1]]
    head = h.world.git.write([merge.head], h.world.git.edited(merge.head, {f"{name}.yaml": h.edit(name)}))
    h.world.note(landed[-1], head, PLENTY, landed, merge.began)
    return f"{[one[:7] for one in landed]} {name}, reviewed {head[:7]}"


def land_the_rest(h: History) -> str:
    """The branch goes on to the last commit of a request, or around it."""
    landed, h.landing, git = h.landing, (), h.world.git
    if not landed or git.tip is None:
        return "nothing to land"
    last, tip = landed[-1], git.tip
    if git.descends(tip, last):
        return "all of it is there"
    if git.descends(last, tip) and h.random.random() < 0.5:
        git.tip = last
        return last[:7]
    files: Files = git.nodes[h.random.choice((last, last, tip))].files
    git.tip = git.write([tip, last], files)
    if h.random.random() < 0.3:
        h.world.note(git.tip, last, h.random.choice(SAID), began=git.parted(tip, last))
    return f"{git.tip[:7]} around {last[:7]}"


def rights(h: History) -> str:
    """Fay may write from here on, or may not."""
    h.world.forge.readers ^= {"fay"}
    return f"{sorted(h.world.forge.readers)} only read"


def second_thoughts(h: History) -> str:
    """People say something else of a request that was merged already."""
    tip = h.world.git.tip
    merges = [h.world.forge.merges.get(node.id) for node in h.world.git.chain(tip)[-6:]] if tip else []
    known = [merge for merge in merges if merge and "policy.yaml" not in _touched(h, merge.landed or (merge.commit,))]
    if not known:
        return "nothing was merged"
    merge, said = h.random.choice(known), h.random.choice(SAID)
    h.world.note(merge.commit, merge.head, replace(said, authors=merge.authors), merge.landed, merge.began)
    return f"{merge.commit[:7]} {said}"


def _touched(h: History, commits: tuple[str, ...]) -> set[str]:
    git, found = h.world.git, set[str]()
    for node in (node for node in git.nodes.values() if node.id in commits):
        before = git.before(node)
        found |= {path for path in {*before, *node.files} if before.get(path) != node.files.get(path)}
    return found


def lose_mirror(h: History) -> str:
    """What was fetched is gone when the next process begins."""
    h.process = None
    h.world.repository.lose_mirror()
    return ""


def no_heads(h: History) -> str:
    """The heads of merged requests can't be fetched; or they can again."""
    h.world.faults.down ^= {"repository:retrieve"}
    return str(sorted(h.world.faults.down))


LANDINGS = (
    *(*(rebased,) * 10, rebased_badly, *(land_the_rest,) * 6),
    *(*(rights,) * 3, *(second_thoughts,) * 3, lose_mirror, no_heads),
)
