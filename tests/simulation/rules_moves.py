"""What can happen between environments in a random history: promotions, policies, clocks, rewrites, plans of merges."""

from __future__ import annotations

from dataclasses import replace

from reconciler.model import EnvironmentName
from tests.simulation import moves
from tests.simulation.foresight import act, compare, of
from tests.simulation.git import Bar
from tests.simulation.history import NAMES, History
from tests.simulation.landing_moves import PLENTY
from tests.simulation.moves import SAID
from tests.simulation.policy import PATH, Floor, Policy, Window
from tests.simulation.world import GOOD

AFTER = {"prod": (("dev",), ()), "shop/eu": (("prod",), ("dev",), ("dev", "prod"), ())}


def rule(h: History) -> str:
    """Prod and shop/eu get another rule for where they promote from."""
    name = h.random.choice(("prod", "shop/eu"))
    after = h.random.choice(AFTER[name])
    file = replace(h.current(name), after=after, soak=h.random.choice((0, 5, 20, 60)) if after else 0)
    return f"{h.world.merge({f'{name}.yaml': file}, h.random.choice((GOOD, PLENTY)))[:7]} {file}"


def promote(h: History) -> str:
    """What runs upstream is declared downstream."""
    name = h.random.choice(("prod", "shop/eu"))
    file = h.current(name)
    live = h.world.place(h.random.choice(file.after or ("dev",))).live
    if live is None:
        return "nothing to promote"
    file = replace(file, run=live.release.run_id, sha256=live.release.sha256)
    return f"{h.world.merge({f'{name}.yaml': file}, h.random.choice((GOOD, PLENTY)))[:7]} {file}"


def release(h: History) -> str:
    """On a good day: dev gets a new run, is watched, and prod gets it too, or both of the others."""
    h.world.faults.stop()
    h.push_forward_again()
    if h.oracle.rewritten or h.world.git.tip is None:
        return "no branch"
    dev = h.world.merge({"dev.yaml": h.bump(h.current("dev"))}, PLENTY)
    h.round()
    told = [f"dev {dev[:7]} {under_watch(h)}"]
    for name, upstream in (("prod", "dev"), ("shop/eu", "prod"))[: h.random.choice((1, 1, 2))]:
        if h.random.random() < 0.3:
            told.append(
                h.random.choice((behind_its_back, wall_clock, policy, policy, write_dev, write_dev, graceful_end))(h)
            )
        live = h.world.place(upstream).live
        if live:
            file = replace(h.current(name), run=live.release.run_id, sha256=live.release.sha256)
            commit = h.world.merge({f"{name}.yaml": file}, PLENTY)
            h.look()
            statuses = f"{h.run(name).reason}, {h.round()}"
            told.append(f"{name} {commit[:7]} run {file.run}: {statuses}; {under_watch(h)}")
    return "; ".join(told)


def write_dev(h: History) -> str:
    """Somebody writes into what dev runs."""
    return f"dev drifts: {h.world.drift('dev')}"


def back(h: History) -> str:
    """An earlier release is declared again."""
    name = h.name()
    place = h.world.targets.places.get(h.current(name).path)
    releases = list(place.releases.values()) if place else []
    if not releases:
        return "nothing to go back to"
    release = h.random.choice(releases).release
    file = replace(h.current(name), run=release.run_id, sha256=release.sha256)
    return f"{h.world.merge({f'{name}.yaml': file}, PLENTY)[:7]} {file}"


def policy(h: History) -> str:
    """The policy is changed, one way or another; now and then it is broken, or removed."""
    new = _policy(h)
    if h.random.random() < 0.3:
        return f"{h.world.push({PATH: new})[:7]} {new!r}, pushed"
    said = h.random.choice((*SAID, PLENTY, PLENTY))
    return f"{h.world.merge({PATH: new}, said)[:7]} {new!r}, {said}"


def _policy(h: History) -> Policy | bytes | None:
    tip = h.world.git.tip
    now = h.world.git.policies.get(h.world.git.nodes[tip].files.get(PATH, b"")) if tip else None
    old, kind, wall = now if isinstance(now, Policy) else Policy(), h.random.randrange(14), int(h.world.clock.wall)
    if kind < 4:
        start = wall + h.random.choice((-10, 0, 20))
        window = Window(start, start + h.random.choice((30, 120)), h.random.choice((("*",), ("prod",), ("shop/*",))))
        return replace(old, freeze=(*old.freeze[-2:], window))
    if kind < 8:
        name = h.name()
        live, file = h.world.place(name).live, h.current(name)
        if h.random.random() < 0.5 and live:
            return replace(old, digests=tuple(dict.fromkeys((*old.digests, live.release.sha256))))
        return replace(old, runs=tuple(dict.fromkeys((*old.runs, file.run))))
    if kind < 11:
        return replace(old, floors=(Floor(Bar(h.random.choice((1, 2, 3))), h.random.choice((("*",), ("prod",)))),))
    if kind == 11:
        return replace(old, comment=f"note {len(h.told)}")
    return None if kind == 12 else replace(old, runs=(), digests=()) if h.random.random() < 0.7 else b"version: ["


def mend_policy(h: History) -> str:
    return h.world.merge({PATH: Policy(comment=f"mended {len(h.told)}")}, PLENTY)[:7]


def time_goes_by(h: History) -> str:
    seconds = h.random.choice((3, 10, 30, 45, 200))
    h.world.clock.seconds += seconds
    return f"{seconds} s"


def under_watch(h: History) -> str:
    """A minute or so, with a pass of each environment every few seconds."""
    if h.process is None or h.process.catalog.tip is None:
        return "nobody watches"
    for _ in range(h.random.choice((1, 3))):
        h.world.clock.seconds += 12
        for name in NAMES:
            h.run(name)
    return f"until {h.world.clock.seconds}"


def wall_clock(h: History) -> str:
    kind, clock = h.random.randrange(6), h.world.clock
    if kind == 0:
        clock.stop_wall()
        return "stops"
    if kind < 3:
        clock.go_on()
        return "goes on"
    seconds = h.random.choice((3600, -3600, 365 * 86_400, -365 * 86_400, 20, -20))
    if abs(clock.ahead + seconds) < 3e8:
        clock.jump(seconds)
    return f"jumps by {seconds}"


def behind_its_back(h: History) -> str:
    name = h.name()
    h.world.replace_and_restore(name)
    return name


def graceful_end(h: History) -> str:
    if h.process:
        h.process.stop()
    h.process = None
    return ""


def chore(h: History) -> str:
    if h.process:
        h.process.chore()
    return ""


def accept_rewrite(h: History) -> str:
    faults = h.world.faults
    if not h.oracle.rewritten or h.world.git.tip is None or h.world.store.memory.tip is None:
        return "nothing to accept"
    if "store" in faults.down or faults.transient or faults.cut_at or faults.fail_at:
        return "no store"
    h.world.accept_rewrite()
    h.oracle.accepts_rewrite()
    return h.world.git.tip[:7]


def rewrite_and_accept(h: History) -> str:
    """Somebody rewrites the branch and means it."""
    moves.orphan(h)
    return f"{h.look()}; {accept_rewrite(h)}; {h.look()}"


def planned_merge(h: History) -> str:
    """A merge is planned, then done with everybody's approval; the pass does what the plan showed."""
    faults, name = h.world.faults, h.name()
    faults.stop()
    h.round()
    process, tip = h.alive(), h.world.git.tip
    if tip is None or h.oracle.rewritten or process.catalog.tip != tip:
        return "no branch to merge into"
    for one in NAMES:
        h.run(one)
    file = h.edit(name) if h.random.random() < 0.5 else h.current(name)
    if name in AFTER and h.random.random() < 0.5 and (live := h.world.place("dev").live):
        file = replace(file, run=live.release.run_id, sha256=live.release.sha256)
    head = h.world.git.write([tip], h.world.git.edited(tip, {f"{name}.yaml": file}))
    merge = process.parts.repository.proposal(tip, head, h.clone)
    accepted = of(h.world, name)
    process.chore()
    h.world.clock.seconds += 2
    planned = process.plan(name, merge, tip)
    h.world.clock.seconds -= 2
    commit = h.world.merge_head(head, h.world.git.nodes[merge].files, PLENTY)
    h.look()
    done = act(h.world, process, name)
    h.oracle.check()
    if process.catalog.tip == commit:
        compare(planned, done, accepted, merged=True)
    return f"{commit[:7]} {EnvironmentName(name)} {file}: {done.status.sync} {done.status.reason}"


GOVERNANCE = (
    *(rule,) * 3,
    *(release,) * 14,
    *(promote,) * 6,
    *(back,) * 4,
    *(policy,) * 7,
    *(mend_policy, mend_policy, graceful_end, chore, accept_rewrite, rewrite_and_accept),
    *(time_goes_by, *(under_watch,) * 6),
    *(wall_clock, wall_clock, behind_its_back, behind_its_back),
    *(planned_merge,) * 6,
    *(moves.pull_request,) * 3,
    *(moves.direct_push, moves.push_back, moves.push_of_a_comment, moves.remove_file, moves.operator, moves.foxtrot),
    *(moves.rewind, *(History.push_forward_again,) * 5),
    *moves.DISKS,
    *(moves.outage, *(moves.recovery,) * 4, moves.hiccups, *(moves.cut_the_power,) * 3, *(moves.fail_once,) * 2),
    *moves.STORE,
    *(*(History.round,) * 8, *(moves.run_one,) * 3, moves.restart),
)


def begin(h: History) -> str:
    """Prod promotes from dev, and shop/eu from prod."""
    for name, after, soak in (("prod", "dev", 20), ("shop/eu", "prod", 15)):
        h.world.merge({f"{name}.yaml": replace(h.current(name), after=(after,), soak=soak)}, PLENTY)
    return h.round()
