"""What can happen in a random history, one function each, and how often: the tables at the end."""

from __future__ import annotations

from dataclasses import replace

from reconciler.errors import ReconcilerError
from tests.simulation.history import NAMES, History
from tests.simulation.origins import BOT
from tests.simulation.world import GOOD, NOBODY, Said

SAID = (
    GOOD,
    GOOD,
    GOOD,
    NOBODY,
    Said(approved=("ann", "cid")),
    Said(approved=("ann",), merged_by="dan"),
    Said(approved=(), stale=("ann",), merged_by=BOT),
    Said(approved=("ann",), withdrew=("ann",), merged_by=BOT),
)
CRASHES = (
    *(f"target:{step}" for step in ("fence", "unpack", "place", "accept", "switch", "prune", "observe")),
    *(f"target:{step}:done" for step in ("fence", "place", "accept", "switch")),
    *(f"store:{step}" for step in ("intent", "outcome", "refuse", "tip")),
    *(f"store:{step}:done" for step in ("intent", "outcome", "refuse", "tip")),
    *("custody:place", "source:chunk", "forge:facts", "repository:fetch", "repository:retrieve"),
    *("store:run", "store:run:done", "store:told_plan"),
)


# --- what people do -----------------------------------------------------------------------------


def pull_request(h: History) -> str:
    name = h.name()
    file, said = h.edit(name), h.random.choice(SAID)
    merge = h.random.choice((h.world.merge, h.world.squash))
    commit = merge({f"{name}.yaml": file}, said)
    return f"{commit[:7]} {file}, {said}"


def pull_request_for_two(h: History) -> str:
    names = h.random.sample(NAMES, 2)
    commit = h.world.merge({f"{name}.yaml": h.edit(name) for name in names}, h.random.choice(SAID))
    return f"{commit[:7]} {names}"


def stale_pull_request(h: History) -> str:
    """Its branch left an older commit, and its merge takes in what came between."""
    name, tip = h.name(), h.world.git.tip
    if tip is None:
        return "no branch"
    forked = h.random.choice(h.world.git.chain(tip)).id
    commit = h.world.merge({f"{name}.yaml": h.edit(name)}, forked_at=forked)
    return f"{commit[:7]} {name} from {forked[:7]}"


def direct_push(h: History) -> str:
    name = h.name()
    file = h.edit(name)
    return f"{h.world.push({f'{name}.yaml': file})[:7]} {file}"


def push_of_a_comment(h: History) -> str:
    name = h.name()
    return h.world.push({f"{name}.yaml": replace(h.current(name), comment=f"note {len(h.told)}")})[:7] + f" {name}"


def push_back(h: History) -> str:
    """Directly to an older content of the file."""
    name, tip = h.name(), h.world.git.tip
    older = h.random.choice(h.world.git.chain(tip)).files.get(f"{name}.yaml") if tip else None
    return f"{h.world.push({f'{name}.yaml': older})[:7]} {name} {h.world.git.meanings.get(older or b'')}"


def break_file(h: History) -> str:
    name = h.name()
    way = h.random.choice((h.world.push, h.world.merge))
    return f"{way({f'{name}.yaml': b'version: [' + str(len(h.told)).encode()})[:7]} {name} by {way.__name__}"


def remove_file(h: History) -> str:
    name = h.name()
    way = h.random.choice((h.world.push, h.world.merge))
    return f"{way({f'{name}.yaml': None})[:7]} {name} by {way.__name__}"


def unrelated(h: History) -> str:
    return h.world.push({"README": f"version {len(h.told)}".encode()})[:7]


def evil_merge(h: History) -> str:
    """People reviewed one thing, the merge holds another."""
    name, tip = h.name(), h.world.git.tip
    if tip is None:
        return "no branch"
    head = h.world.git.write([tip], h.world.git.edited(tip, {f"{name}.yaml": h.edit(name)}))
    commit = h.world.merge_head(head, h.world.git.edited(tip, {f"{name}.yaml": h.edit(name)}))
    return f"{commit[:7]} {name}"


def foxtrot(h: History) -> str:
    """A merge whose first parent is a side line of direct pushes, with either side's content."""
    name, tip = h.name(), h.world.git.tip
    if tip is None:
        return "no branch"
    base = h.random.choice(h.world.git.chain(tip)).id
    side = h.world.git.write([base], h.world.git.edited(base, {f"{name}.yaml": h.edit(name)}))
    content = h.world.git.nodes[h.random.choice((side, tip))].files
    h.world.git.tip = h.world.git.write([side, tip], content)
    return f"{h.world.git.tip[:7]} {name} over {side[:7]} from {base[:7]}"


def rewind(h: History) -> str:
    tip = h.world.git.tip
    if tip:
        h.world.git.tip = h.random.choice(h.world.git.chain(tip)[-4:]).id
    return str(h.world.git.tip)[:7]


def orphan(h: History) -> str:
    h.world.git.tip = h.world.git.write([], h.world.git.edited(h.world.git.tip, {}))
    return h.world.git.tip[:7]


def delete_branch(h: History) -> str:
    h.world.git.tip = None
    return ""


def operator(h: History) -> str:
    name, what = h.name(), h.random.choice(("suspend", "resume", "resume", "retry"))
    try:
        if what == "retry":
            h.world.retry(name)
        else:
            h.world.hand(name, what, suspended=what == "suspend")
    except ReconcilerError:
        return f"{what} {name}: no store"
    return f"{what} {name}"


# --- what breaks --------------------------------------------------------------------------------


def write_into_live(h: History) -> str:
    name = h.name()
    return f"{name}: {h.world.drift(name)}"


def remove_current(h: History) -> str:
    name = h.name()
    h.world.drop_current(name)
    return name


def rot(h: History) -> str:
    h.world.custody.copies = dict.fromkeys(h.world.custody.copies, b"rotten")
    return ""


def outage(h: History) -> str:
    port = h.random.choice(("forge", "source", "target", "repository", "store", "custody"))
    h.world.faults.down ^= {port}
    return str(sorted(h.world.faults.down))


def recovery(h: History) -> str:
    h.world.faults.stop()
    return ""


def hiccups(h: History) -> str:
    h.world.faults.transient = h.random.choice((0.02, 0.1, 0.3))
    return str(h.world.faults.transient)


def cut_the_power(h: History) -> str:
    h.world.faults.cut_at = h.random.choice(CRASHES)
    return f"at the next {h.world.faults.cut_at}"


def fail_once(h: History) -> str:
    h.world.faults.fail_at = h.random.choice(CRASHES)
    return f"at the next {h.world.faults.fail_at}"


def back_up_store(h: History) -> str:
    h.backup = h.world.store.memory
    return ""


def restore_store(h: History) -> str:
    h.process, h.world.store.memory = None, h.backup
    h.oracle.forgets_tip()
    return ""


def lose_store(h: History) -> str:
    h.process = None
    h.world.lose_store()
    h.oracle.forgets_tip()
    return ""


# --- what the daemon does -----------------------------------------------------------------------


def run_one(h: History) -> str:
    """A timer's pass of one environment."""
    if h.process is None or h.process.catalog.tip is None:
        return "nothing is known yet"
    status = h.run(h.name())
    return f"{status.environment} {status.sync} {status.reason}"


def restart(h: History) -> str:
    h.process = None
    return ""


PEOPLE = (
    *(pull_request,) * 16,
    *(pull_request_for_two, stale_pull_request, direct_push, direct_push, push_of_a_comment, push_back, push_back),
    *(break_file, remove_file, unrelated, evil_merge, operator, operator),
)
REWRITES = (foxtrot, rewind, orphan, delete_branch, *(History.push_forward_again,) * 8)
DISKS = (write_into_live, remove_current, rot)
FAULTS = (outage, outage, *(recovery,) * 5, hiccups, hiccups, *(cut_the_power,) * 8, *(fail_once,) * 6)
STORE = (back_up_store, restore_store, lose_store)
DAEMON = (*(History.look,) * 4, *(History.round,) * 30, *(run_one,) * 8, restart)
EVERYTHING = PEOPLE + REWRITES + DISKS + FAULTS + STORE + DAEMON
