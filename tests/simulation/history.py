"""Random histories: what people, CI, the disks and the daemon do, drawn from a seed and played on the real product.

What happens is drawn from one source of randomness and faults from another, so that the same story can be played with
and without faults. The story is kept in words, to be printed when an oracle objects.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

from reconciler.errors import ReconcilerError
from reconciler.model import Status
from tests.simulation.faults import PowerCut
from tests.simulation.git import Bar, File
from tests.simulation.oracle import Oracle
from tests.simulation.origins import BOT
from tests.simulation.world import GOOD, NOBODY, FakeWorld, Process, Said

NAMES = ("dev", "prod", "shop/eu")
BARS = (Bar(), Bar(2), Bar(only=("ann", "cid")), Bar(allow_self=True), None)
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
    *("custody:place", "source:chunk", "forge:facts", "repository:fetch"),
)


class History:
    """One story. `steps` moves long, then faults end and the promises of liveness are checked."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.world = FakeWorld()
        self.world.faults.random = Random(-seed - 1)
        self.oracle = Oracle(self.world)
        self.told: list[str] = []
        self.runs = 0
        self.backup = self.world.store.memory
        self.process: Process | None = None
        self.world.push({"README": b"shop"})
        self.world.merge({f"{name}.yaml": self._bump(File(0, "", f"/srv/{name}")) for name in NAMES})

    def play(self, steps: int, moves: tuple[Callable[[History], str], ...]) -> None:
        """Tell the story."""
        self.tell(round_)
        for _ in range(steps):
            self.tell(self.random.choice(moves))

    def tell(self, move: Callable[[History], str]) -> None:
        """One move, and the oracle's look behind it."""
        self.told.append(move.__name__)
        try:
            self.told[-1] += f": {move(self)}"
        except PowerCut as cut:
            self.told[-1] += f": power cut at {cut}"
            self.process = None
            self.world.faults.current = None
        self.oracle.check()

    def end(self) -> None:
        """Faults are over: two looks, each with its passes, then the timers' pass, then nothing may write any more."""
        self.world.faults.stop()
        if self.random.random() < 0.8:
            self.tell(push_forward_again)
        process = self.alive()
        for _ in range(2):
            self.tell(round_)
        self.oracle.check_converged(process, timers=False)
        for _ in range(2):
            for name in process.everything():
                self.run(name)
        self.oracle.check_converged(process, timers=True)
        self.oracle.check_record()
        self._check_idle(process)

    def _check_idle(self, process: Process) -> None:
        self.world.writes.clear()
        self.tell(round_)
        for name in process.everything():
            self.run(name)
        assert not self.world.writes, f"L3: an idle round wrote: {dict(self.world.writes)}"

    # --- what the moves share -------------------------------------------------------------------

    def alive(self) -> Process:
        """The process; a new one behind a crash.

        Raises:
            ReconcilerError: The store is out of reach.
        """
        if self.process is None:
            self.process = self.world.boot()
        return self.process

    def run(self, name: str) -> Status:
        """One pass, and the oracle's look behind it."""
        status = self.alive().run(name)
        self.oracle.check()
        return status

    def name(self) -> str:
        return self.random.choice(NAMES)

    def current(self, name: str) -> File:
        """The file at the tip; one like it when it is broken or gone."""
        tip = self.world.git.tip
        data = self.world.git.nodes[tip].files.get(f"{name}.yaml", b"") if tip else b""
        return self.world.git.meanings.get(data) or self._bump(File(0, "", f"/srv/{name}"))

    def edit(self, name: str) -> File:
        """Another declaration, most often of a new run."""
        file = self.current(name)
        kind = self.random.randrange(10)
        if kind == 0:
            return replace(file, keep=self.random.choice((3, 4, 5)))
        if kind == 1:
            return replace(file, bar=self.random.choice(BARS))
        if kind == 2:
            return replace(file, suspend=not file.suspend)
        if kind == 3:
            return replace(file, path=self.random.choice((f"/srv/{name}", f"/srv/{name}-2")))
        return self._bump(file)

    def _bump(self, file: File) -> File:
        self.runs += 1
        new = self.world.file("any", self.runs)
        kind = self.random.randrange(20)
        if kind == 0:
            self.world.ci.fail(self.runs)
        elif kind == 1:
            self.world.ci.fork(self.runs)
        elif kind == 2:
            self.world.ci.tamper(self.runs)
        return replace(file, run=new.run, sha256=new.sha256)


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


def push_forward_again(h: History) -> str:
    """Back to the newest tip that was followed."""
    if h.oracle.followed and h.oracle.rewritten:
        h.world.git.tip = h.oracle.followed
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


def look(h: History) -> str:
    try:
        done = h.alive().look()
    except ReconcilerError as error:
        return f"no start: {error}"
    if "repository:head" not in h.world.faults.struck and done:
        h.oracle.looked()
    return f"{done}, due {sorted(h.alive().due)}"


def run_one(h: History) -> str:
    """A timer's pass of one environment."""
    if h.process is None or h.process.catalog.tip is None:
        return "nothing is known yet"
    status = h.run(h.name())
    return f"{status.environment} {status.sync} {status.reason}"


def round_(h: History) -> str:
    told = look(h)
    if h.process is None or h.process.catalog.tip is None:
        return told
    statuses = [h.run(name) for name in sorted(h.process.due)]
    return f"{told}; " + ", ".join(f"{one.environment} {one.sync} {one.reason or ''}" for one in statuses)


def restart(h: History) -> str:
    h.process = None
    return ""


PEOPLE = (
    *(pull_request,) * 16,
    *(pull_request_for_two, stale_pull_request, direct_push, direct_push, push_of_a_comment, push_back, push_back),
    *(break_file, remove_file, unrelated, evil_merge, operator, operator),
)
REWRITES = (foxtrot, rewind, orphan, delete_branch, *(push_forward_again,) * 8)
DISKS = (write_into_live, remove_current, rot)
FAULTS = (outage, outage, *(recovery,) * 5, hiccups, hiccups, *(cut_the_power,) * 8, *(fail_once,) * 6)
STORE = (back_up_store, restore_store, lose_store)
DAEMON = (*(look,) * 4, *(round_,) * 30, *(run_one,) * 8, restart)
EVERYTHING = PEOPLE + REWRITES + DISKS + FAULTS + STORE + DAEMON
