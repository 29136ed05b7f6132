"""CI throws away what it knew, at any time; our copies are collected; and requests are planned while they are open."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from reconciler.errors import Reason, ReconcilerError
from tests.simulation import rules_moves
from tests.simulation.git import File
from tests.simulation.history import NAMES, TIMED, History
from tests.simulation.landing_moves import PLENTY
from tests.simulation.world import GOOD

KINDS = (Reason.RUN_NOT_FOUND, Reason.ARTIFACT_MISSING, Reason.ARTIFACT_EXPIRED)


def forget(h: History) -> str:
    """CI throws away a run, an artifact, or its bytes: of what is declared, or kept somewhere."""
    run, how = h.random.choice(_runs(h)), h.random.choice(KINDS)
    h.world.ci.forget(run, how)
    return f"run {run}: {how}"


def _runs(h: History) -> list[int]:
    kept = [one.release.run_id for place in h.world.targets.places.values() for one in place.releases.values()]
    return sorted({*kept, *(h.current(name).run for name in NAMES)})


def forget_much(h: History) -> str:
    """The end of CI's retention: all runs but the last few."""
    how = h.random.choice(KINDS)
    for run in range(1, h.runs - h.random.choice((0, 1, 2))):
        h.world.ci.forgot.setdefault(run, how)
    return str(how)


def remember_again(h: History) -> str:
    h.world.ci.forgot.clear()
    return ""


def collect(h: History) -> str:
    """The daemon's chore; what is declared, live or kept for a rollback stays, and what a told plan would deploy."""
    if h.process is None or h.process.catalog.tip is None:
        return "nothing is known yet"
    before, seen = dict(h.world.custody.copies), h.process.catalog.tip
    gone = 0
    with suppress(ReconcilerError):
        gone = h.process.collect()
    git = h.world.git
    files = (git.meanings.get(git.nodes[seen].files.get(f"{name}.yaml", b"")) for name in NAMES)
    needed = {file.sha256 for file in files if file}
    for environment, base in h.oracle.base.items():
        where = git.meanings[git.nodes[base.commit].files[f"{environment}.yaml"]].path
        place = h.world.targets.places[where]
        known = environment in h.world.store.memory.statuses and git.descends(seen, base.commit)
        if place.accepted == base and known and environment not in h.oracle.unsure:
            needed |= {str(base.sha256), *(str(one.release.sha256) for one in place.releases.values())}
    needed |= {digest for told in h.world.store.memory.told_plans.values() for digest in told.artifacts}
    h.oracle.vouching.collected(before, needed)
    return f"{gone} went"


def borrow(h: History) -> str:
    """A run is declared with the digest of another one's bytes, which are in custody, or were once."""
    name = h.name()
    file = h.bump(h.current(name))
    h.world.ci.build(file.run, says_digest=h.random.random() < 0.2)
    if h.random.random() < 0.3:
        h.world.ci.forget(file.run, h.random.choice(KINDS))
    other = h.random.choice([str(digest) for digest in h.world.custody.copies] or [file.sha256])
    file = replace(file, sha256=other)
    return f"{h.world.merge({f'{name}.yaml': file}, PLENTY)[:7]} {file}"


def forgotten_back(h: History) -> str:
    """An earlier release is declared again, when CI knows nothing of it any more."""
    told = rules_moves.back(h)
    forgotten = [run for run in _runs(h) if h.random.random() < 0.8]
    for run in forgotten:
        h.world.ci.forget(run, h.random.choice(KINDS))
    return f"{told}; CI forgot {forgotten}"


# --- open requests ------------------------------------------------------------------------------


def open_request(h: History) -> str:
    """Somebody asks for a change, and a plan of it is told."""
    tip, name = h.world.git.tip, h.name()
    if tip is None:
        return "no branch"
    file, number = h.bump(h.current(name)), len(h.told)
    head = h.world.git.write([tip], h.world.git.edited(tip, {f"{name}.yaml": file}))
    request = h.world.open_requests.ask(number, head)
    h.world.git.requests[request.head_ref] = head
    return f"#{number} {head[:7]} {file}; {tell(h)}"


def tell(h: History) -> str:
    if h.process is None or h.process.catalog.tip is None:
        return "nobody tells"
    done = h.process.tell()
    return f"{'told' if done else 'not told'} of {sorted(h.world.store.memory.told_plans)}"


def merge_request(h: History) -> str:
    """A request is merged, most often when CI has forgotten what it deploys."""
    requests, tip = h.world.open_requests.requests, h.world.git.tip
    if not requests or tip is None:
        return "none is open"
    number = h.random.choice(sorted(requests))
    head = requests.pop(number).head
    changed = {
        path: file
        for path, data in h.world.git.nodes[head].files.items()
        if h.world.git.before(h.world.git.nodes[head]).get(path) != data and (file := h.world.git.meanings.get(data))
    }
    for file in changed.values():
        if h.random.random() < 0.7:
            h.world.ci.forget(file.run, h.random.choice(KINDS))
    said = h.random.choice((GOOD, PLENTY))
    commit = h.world.merge_head(head, h.world.git.edited(tip, changed), said)
    h.world.note(commit, head, said, began=h.world.git.parted(tip, head))
    return f"#{number} as {commit[:7]}"


def close_request(h: History) -> str:
    requests = h.world.open_requests.requests
    return f"#{requests.popitem()[0]}" if requests else "none is open"


# --- what waits ---------------------------------------------------------------------------------


def forgotten_while_it_waits(h: History) -> str:
    """Dev gets a new run, prod is let in to follow, and CI forgets the run before prod's time has come."""
    h.world.faults.stop()
    h.push_forward_again()
    if h.oracle.rewritten or h.world.git.tip is None:
        return "no branch"
    h.world.merge({"dev.yaml": h.bump(h.current("dev"))}, PLENTY)
    h.round()
    live, name = h.world.place("dev").live, h.random.choice(("prod", "prod", "shop/eu"))
    if live is None:
        return "nothing to promote"
    run, file = live.release.run_id, h.current(name)
    new: File = replace(file, run=run, sha256=live.release.sha256, after=("dev",), soak=h.random.choice((5, 20)))
    commit = h.world.merge({f"{name}.yaml": new}, PLENTY)
    h.look()
    reason = h.run(name).reason
    h.world.ci.forget(run, h.random.choice(KINDS))
    told = f"{name} {commit[:7]} run {run}: {reason}; {collect(h)}; {rules_moves.under_watch(h)}"
    return f"{told}; then {h.run(name).reason}, it {'waited' if reason in TIMED else 'did not wait'}"


FORGETTING = (
    *(*(forget,) * 5, forget_much, remember_again, *(collect,) * 4, *(borrow,) * 3, *(forgotten_back,) * 4),
    *(*(open_request,) * 3, tell, *(merge_request,) * 3, close_request),
)
WAITING = (
    *(*(forgotten_while_it_waits,) * 6, *(forget,) * 2, *(collect,) * 2),
    *(*(forgotten_back,) * 2, borrow, forget_much),
)
