"""Many environments in a given mood, for views, pages and their screenshots: a real repository and a real store.

    with sampled(tmp_path, 30, mood="mixed") as facts:
        board(facts, BoardQuery())

What passes would have left is written straight into the store, so that ten thousand of them take seconds.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from heapq import heapify, heappop, heapreplace
from pathlib import Path
from typing import Literal

from sqlalchemy import Connection

from reconciler.bounds import Bounds
from reconciler.core.audit import Kind, attempted
from reconciler.core.contents import FileFact
from reconciler.declarations.catalog import Catalog
from reconciler.errors import Reason
from reconciler.git import Mirror
from reconciler.model import (
    Accepted,
    Action,
    Artifact,
    Attempt,
    CommitId,
    Declared,
    Digest,
    Drift,
    DriftKind,
    EnvironmentName,
    Gate,
    GateResult,
    Health,
    OperatorHand,
    Outcome,
    Readiness,
    Release,
    RunId,
    StageTime,
    Status,
    Sync,
    Verdict,
)
from reconciler.stores import sql, statements
from reconciler.views.facts import Facts, Links
from tests.factories import NOON, RUN, sha256

Mood = Literal["well", "held", "degraded", "drifted", "frozen", "suspended", "progressing", "unknown", "mixed"]
Layout = Literal["services", "flat", "folder"]
"""A folder for each service with three stages; all beside each other; all in one folder."""

STAGES = ("dev", "staging", "prod")
SERVICES = ("shop", "basket", "search", "payments", "accounts", "mail", "stock", "prices", "reviews", "images")
TOLD = 20
"""Services, or environments, that have a history; the others have what they stand at."""
NEWEST = 108
"""The run that the first stage has; each behind it has the one before."""
_MIXED: tuple[Mood, ...] = (
    *("well", "well", "held", "well", "well", "degraded", "well", "well", "frozen"),
    *("well", "progressing", "drifted", "well", "well", "suspended", "well", "unknown", "well"),
)
OLDEST = NEWEST - 8
"""The first run that anything had."""
REVIEWED = "# reviewed\n"
"""What every request adds."""
_TITLES = (
    "Take the discount before the tax",
    "Search by the maker's number",
    "Send the receipt once, not twice",
    "Fewer queries for the front page",
    "Let a basket outlive its session",
)


class At:
    """A clock that stands."""

    def __init__(self, moment: datetime = NOON) -> None:
        self.moment = moment

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return 0.0


@dataclass(frozen=True)
class Sampled:
    """One environment of a sample."""

    name: EnvironmentName
    stage: int
    mood: Mood
    after: EnvironmentName | None
    service: str

    @property
    def live(self) -> int:
        """The run that is live."""
        return NEWEST - self.stage

    @property
    def declared(self) -> int:
        """The run that is declared."""
        return self.live + (self.mood in ("held", "frozen", "progressing", "degraded"))

    def file(self, run: int) -> str:
        """What declares a run for it."""
        promote = f"promote: {{after: [{self.after}], soak: 30m}}\n" if self.after else ""
        approval = "approval: none\n" if self.stage == 0 else "approval: {required: 1}\n"
        return (
            f"version: 1\nartifact:\n  name: {self.service}\n  run_id: {run}\n"
            f"  sha256: {digest(self.service, run)}\n"
            f"{promote}{approval}target: {{type: directory, path: /srv/{self.name}}}\n"
        )


def digest(service: str, run: int) -> Digest:
    """Of a service's artifact of a run."""
    return sha256(f"{service} {run}".encode())


def environments(count: int, mood: Mood, layout: Layout) -> tuple[Sampled, ...]:
    """What a sample is of."""
    return tuple(_sampled(number, count, mood, layout) for number in range(count))


def _sampled(number: int, count: int, mood: Mood, layout: Layout) -> Sampled:
    if layout == "flat" and count > len(STAGES):
        name, stage, after = f"device-{number:05}", 0, ""
    elif layout == "flat":
        name, stage, after = STAGES[number], number, STAGES[number - 1] if number else ""
    elif layout == "folder":
        name, stage, after = f"edge/site-{number:05}", int(number > 0), "edge/site-00000" if number else ""
    else:
        service, stage = _service(number // 3), number % 3
        name, after = f"{service}/{STAGES[stage]}", f"{service}/{STAGES[stage - 1]}" if stage else ""
        return Sampled(EnvironmentName(name), stage, _mood(mood, number, stage), EnvironmentName(after), service)
    one = mood if mood != "mixed" else _MIXED[number % len(_MIXED)]
    return Sampled(EnvironmentName(name), stage, one, EnvironmentName(after) if after else None, "shop")


def _service(number: int) -> str:
    name, again = SERVICES[number % len(SERVICES)], number // len(SERVICES)
    return f"{name}-{again + 1}" if again else name


def _mood(mood: Mood, number: int, stage: int) -> Mood:
    """All but `mixed` and `frozen` are of the last stage: what comes there stands for what people look at."""
    if mood == "mixed":
        return _MIXED[number % len(_MIXED)]
    return mood if stage == len(STAGES) - 1 or (mood == "frozen" and stage) else "well"


# --- the repository -----------------------------------------------------------------------------


def origin(folder: Path, sample: tuple[Sampled, ...]) -> Path:
    """A bare repository with all files, and with the requests that changed some of them last."""
    place = folder / "origin.git"
    place.mkdir(parents=True)
    variables = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    for argv, stdin in (
        (("git", "init", "--quiet", "--bare", "--initial-branch=main", "."), b""),
        (("git", "fast-import", "--quiet"), _stream(sample)),
    ):
        done = subprocess.run(argv, cwd=place, env=variables, input=stdin, capture_output=True, timeout=120)
        assert done.returncode == 0, done.stderr.decode(errors="replace")
    return place


def promoted(one: Sampled, run: int) -> str:
    """The title of the request that brought a run."""
    return f"Promote {one.name} to run {run}"


def _stream(sample: tuple[Sampled, ...]) -> bytes:
    begin, known = NOON - timedelta(days=60), told(sample)
    out: list[bytes] = []
    mark = 0

    def commit(title: str, who: str) -> None:
        nonlocal mark
        mark += 1
        out.append(_commit("refs/heads/main", mark, begin, title, who))
        out.extend([f"from :{mark - 1}\n".encode()] if mark > 1 else ())

    for one in known:
        for run in range(OLDEST, one.live):
            commit(promoted(one, run), "Reviewer")
            out.append(_file(one, run))
    commit("Declare every environment", "Engineer")
    out += [_file(one, one.live) for one in sample]
    commit("Declare what is new", "Engineer")
    out += [_file(one, one.declared) for one in sample[len(known) :]]
    for number, one in enumerate(known):
        at = begin + timedelta(hours=number + 1)
        title = promoted(one, one.declared)
        what = f"{_TITLES[number % len(_TITLES)]}\n\n{title}"
        out.append(_commit("refs/heads/change", mark + 1, at, what, "Engineer"))
        out.append(f"from :{mark}\n".encode() + _file(one, one.declared, REVIEWED))
        message = f"Merge pull request #{number + 10} from acme/promote-{number}\n\n{title}"
        out.append(_commit("refs/heads/main", mark + 2, at, message, "Reviewer"))
        out.append(f"from :{mark}\nmerge :{mark + 1}\n".encode() + _file(one, one.declared, REVIEWED))
        mark += 2
    return b"".join(out)


def _commit(ref: str, mark: int, at: datetime, message: str, who: str) -> bytes:
    by = f"{who} <{who.lower()}@example.com> {int(at.timestamp())} +0000"
    text = message.encode()
    return f"commit {ref}\nmark :{mark}\nauthor {by}\ncommitter {by}\ndata {len(text)}\n".encode() + text + b"\n"


def _file(one: Sampled, run: int, more: str = "") -> bytes:
    text = (one.file(run) + more).encode()
    return f"M 100644 inline environments/{one.name}.yaml\ndata {len(text)}\n".encode() + text + b"\n"


def told(sample: tuple[Sampled, ...]) -> tuple[Sampled, ...]:
    """Those that have a history."""
    return sample[: 3 * TOLD]


# --- the memory ---------------------------------------------------------------------------------


@dataclass
class Memory:
    """Writes what passes would have left."""

    connection: Connection
    commits: dict[EnvironmentName, dict[int, CommitId]]
    """What brought each run."""
    first: CommitId
    tip: CommitId
    runs: dict[tuple[str, int], datetime] = field(default_factory=dict)

    def stand(self, one: Sampled, number: int) -> Status:
        """Where it stands now."""
        status = status_of(one, self.commits.get(one.name, {}).get(one.declared, self.tip), number)
        behind = one.declared != one.live
        commit = self.first if behind else status.declared.commit or self.tip
        text = one.file(one.live) + (REVIEWED if one.name in self.commits and not behind else "")
        accepted = Accepted(
            *(one.name, commit, sha256(text.encode()), RunId(one.live)),
            *(digest(one.service, one.live), status.request, status.approvers, NOON),
        )
        stand = statements.stand_of(status, accepted if status.live else None)
        statements.put_stand(self.connection, stand, status.since or NOON)
        return status

    def history(self, one: Sampled, status: Status, number: int) -> Iterator[datetime]:
        """How it came there: a deployment every three days, the last of them as the mood is.

        Yields:
            When the next one is, before it is written: what many do is remembered in the order of the time.
        """
        before: Release | None = None
        for run in range(OLDEST, one.live + 1):
            ago = timedelta(days=3 * (one.live - run) + 0.2 * one.stage, hours=3 + number % 7)
            attempt = self._attempt(one, run, NOON - ago, before, status)
            yield attempt.started
            self.runs.setdefault((one.service, run), attempt.started - timedelta(minutes=40 + 35 * one.stage))
            before = self._carried_out(attempt, Outcome.SUCCEEDED)
        if one.mood == "degraded":
            failed = self._attempt(one, one.declared, NOON - timedelta(hours=2), before, status)
            yield failed.started
            why = {"reason": Reason.HEALTH_CHECK_FAILED, "message": status.message, "output": "listening on 8080\n"}
            self._carried_out(failed, Outcome.FAILED, **why)
            broken = release(one.declared, digest(one.service, one.declared))
            back = self._attempt(one, one.live, NOON - timedelta(hours=1, minutes=58), broken, status)
            yield back.started
            unasked = tuple(
                GateResult(Gate.APPROVAL, Verdict.NOT_REACHED) if word.gate is Gate.APPROVAL else word
                for word in back.gates
            )
            back = replace(back, action=Action.ROLLBACK, gates=unasked, message=f"back from run {one.declared}")
            self._carried_out(back, Outcome.SUCCEEDED)
        if one.mood in ("held", "frozen"):
            refused = self._attempt(one, one.declared, status.since or NOON, before, status)
            yield refused.started
            ended = {"finished": refused.started, "reason": status.reason, "message": status.message}
            if status.reason is Reason.APPROVAL_MISSING:
                refused = replace(refused, request="", approvers=())
            refused = replace(refused, outcome=Outcome.REFUSED, gates=status.gates, **ended)  # type: ignore[arg-type]
            added = statements.add_attempt(self.connection, refused)
            statements.append(self.connection, attempted(Kind.REFUSED, added, refused.started))

    def _attempt(self, one: Sampled, run: int, at: datetime, before: Release | None, status: Status) -> Attempt:
        commit = self.commits[one.name].get(run, self.first)
        return Attempt(
            *(one.name, Action.DEPLOY, Declared(commit, RunId(run), digest(one.service, run))),
            *(before, at),
            request=status.request,
            approvers=status.approvers,
            gates=gates(one, run),
            token=7,
            plan="b" * 64,
        )

    def _carried_out(self, attempt: Attempt, outcome: Outcome, **ended: object) -> Release:
        added = statements.add_attempt(self.connection, attempt)
        statements.append(self.connection, attempted(Kind.INTENT, added, added.started))
        at = added.started + timedelta(seconds=7.5)
        times = (
            ("fetch", 2.4),
            ("verify", 0.3),
            ("release", 1.9),
            ("switch", 0.02),
            ("activate", 0.6),
            ("health", 2.1),
        )
        stages = tuple(StageTime(name, seconds) for name, seconds in times)
        done = replace(added, finished=at, outcome=outcome, stages=stages, **ended)  # type: ignore[arg-type]
        statements.end_attempt(self.connection, done)
        statements.append(self.connection, attempted(Kind.OUTCOME, done, at))
        run, content = done.declared.run_id, done.declared.sha256
        assert run
        assert content
        return release(run, content)


def in_order(histories: list[Iterator[datetime]]) -> None:
    """Have each of them written one by one, the oldest first."""
    waiting = [(next(one), number) for number, one in enumerate(histories)]
    heapify(waiting)
    while waiting:
        number = waiting[0][1]
        following = next(histories[number], None)
        if following is None:
            heappop(waiting)
        else:
            heapreplace(waiting, (following, number))


def release(run: int, content: Digest) -> Release:
    """As it is called on a target."""
    return Release(f"{run}-{content[:12]}", RunId(run), content)


def status_of(one: Sampled, commit: CommitId, number: int) -> Status:
    """Where an environment in its mood stands."""
    live = release(one.live, digest(one.service, one.live))
    wanted = Declared(commit, RunId(one.declared), digest(one.service, one.declared))
    since = NOON - timedelta(minutes=20 + number % 50)
    base = Status(
        *(one.name, Sync.SYNCED, Health.HEALTHY, None, f"{live.id} is live", "", wanted, live),
        live_since=NOON - timedelta(hours=3 + number % 7),
        gates=gates(one, one.declared),
        request=f"#{number + 10}" if one.stage else "",
        approvers=("reviewer@example.com",) if one.stage else (),
        target=f"/srv/{one.name}",
        since=since,
        rollback=Readiness(
            f"{one.live - 1}-{digest(one.service, one.live - 1)[:12]}",
            ready=number % 5 != 4,
            why="" if number % 5 != 4 else "lib/1.txt is missing",
        ),
    )
    return _in_mood(one, base, number)


def _in_mood(one: Sampled, base: Status, number: int) -> Status:
    match one.mood:
        case "held" if number % 2:
            told = f"{one.declared}-{base.declared.sha256 or '':.12} must be seen healthy for 30m without a break"
            hint = "wait: it goes on by itself, if what is before it stays as it is"
            return _held(base, Gate.PROMOTION, Reason.SOAKING, told, hint, NOON + timedelta(minutes=18))
        case "held":
            told = f"nobody approved run {one.declared}: the change came by a direct push"
            return _held(base, Gate.APPROVAL, Reason.APPROVAL_MISSING, told, "let somebody else merge it", None)
        case "frozen":
            told = "frozen until Monday: no changes over the weekend"
            return _held(base, Gate.FREEZE, Reason.FROZEN, told, "wait, or lift it", NOON + timedelta(hours=21))
        case "degraded":
            told = f"run {one.declared} did not become healthy within 60s: answered 503"
            hint = f"it is not tried again until the declaration changes or `reconciler retry {one.name}`"
            held = _held(base, Gate.HEALTH, Reason.HEALTH_CHECK_FAILED, told, hint, None)
            return replace(held, health=Health.DEGRADED)
        case "drifted":
            drift = (
                Drift("bin/app", DriftKind.CONTENT, digest("a", 1)[:12], digest("b", 1)[:12]),
                Drift("lib/extra.txt", DriftKind.FOREIGN, "", "file"),
                Drift("lib/1.txt", DriftKind.MISSING, "file", ""),
            )
            told = f"{base.live.id if base.live else ''} drifted: bin/app (content) and 2 more"
            state = {"sync": Sync.OUT_OF_SYNC, "health": Health.DEGRADED, "reason": Reason.DRIFTED, "message": told}
            return replace(base, drift=drift, hint=f"reconciler diff {one.name} shows it", **state)  # type: ignore[arg-type]
        case "suspended":
            return _held(base, Gate.SUSPENSION, Reason.SUSPENDED, "suspended by an operator", "", None)
        case "progressing":
            return replace(base, sync=Sync.PROGRESSING, health=Health.PROGRESSING, message="its first checks are made")
        case "unknown":
            state = {"sync": Sync.UNKNOWN, "health": Health.UNKNOWN, "reason": Reason.TARGET_UNAVAILABLE}
            return replace(base, message=f"{base.target} can't be looked at", hint="mount it", **state)  # type: ignore[arg-type]
    return base


def _held(base: Status, gate: Gate, reason: Reason, told: str, hint: str, until: datetime | None) -> Status:
    result = GateResult(gate, Verdict.HELD, reason, told, (), hint, until)
    place = list(Gate).index(gate)
    behind = tuple(GateResult(word.gate, Verdict.NOT_REACHED) for word in base.gates[place + 1 :])
    words = (*base.gates[:place], result, *behind)
    return replace(base, sync=Sync.HELD, reason=reason, message=told, hint=hint, gates=words)


def gates(one: Sampled, run: int) -> tuple[GateResult, ...]:
    """Every gate's word on a run that passed them all."""
    content = digest(one.service, run)
    evidence = {
        Gate.HISTORY: ("descends from dbd4356571c7",),
        Gate.SCHEMA: (f"environments/{one.name}.yaml, sha256 {sha256(one.file(run).encode())[:12]}",),
        Gate.APPROVAL: ("#12: merged, approved by reviewer@example.com",) if one.stage else ("no approval is needed",),
        Gate.PROVENANCE: (f"run {run} of acme/{one.service}: build.yml, push on main", "ended with success"),
        Gate.CUSTODY: (f"sha256 {content} over 48213 bytes",),
        Gate.TARGET: (f"{run}-{content[:12]} at /srv/{one.name}, token 7",),
        Gate.HEALTH: ("its checks pass",),
    }
    return tuple(GateResult(gate, Verdict.PASSED, evidence=evidence.get(gate, ())) for gate in Gate)


# --- all of it ----------------------------------------------------------------------------------


def contents(known: frozenset[Digest]) -> dict[Digest, dict[str, FileFact]]:
    """What is in the artifacts that there are copies of."""
    found: dict[Digest, dict[str, FileFact]] = {}
    for content in known:
        facts = {f"lib/module{n}.py": FileFact(900 + n, False, sha256(b"%d" % n)) for n in range(30)}
        facts["bin/app"] = FileFact(4_000 + int(content[:3], 16), True, content)
        found[content] = facts | {f"assets/{content[:8]}.js": FileFact(20_000, False, content)}
    return found


@contextmanager
def sampled(
    folder: Path, count: int, mood: Mood = "mixed", layout: Layout = "services", now: datetime = NOON
) -> Iterator[Facts]:
    """A sample below an empty folder, for as long as the block lasts.

    Args:
        folder: Where repository and store are made.
        count: How many environments; with `layout` three of each service.
        mood: How they stand: all as they should be, or the last stage of each service so, or something of everything.
        layout: How they are called.
        now: What time it is. All times of the sample are before NOON of `factories`.
    """
    sample = environments(count, mood, layout)
    mirror = Mirror(str(origin(folder, sample)), "main", "environments", folder / "git", Bounds(), lambda _: None)
    catalog = Catalog(mirror, Bounds())
    tip = mirror.head()
    assert tip
    mirror.fetch(tip)
    catalog.refresh(tip)
    store = sql.create(f"sqlite:///{folder}/state.db", At(), lambda _: None)
    try:
        statuses = _remember(store, sample, mirror, tip)
        there = contents(frozenset(digest(one.service, run) for one in told(sample) for run in range(100, NEWEST + 1)))
        yield Facts(
            statuses=lambda: dict(statuses),
            catalog=catalog,
            store=store,
            repository=mirror,
            clock=At(now),
            contents=lambda content, _: there.get(content),
            links=Links(
                request=lambda ref: f"https://git.example.com/acme/deploy/pull/{ref[1:]}" if ref[:1] == "#" else "",
                commit=lambda name: f"https://git.example.com/acme/deploy/commit/{name}",
                edit=lambda path: f"https://git.example.com/acme/deploy/edit/main/{path}",
                run=lambda _, run: f"https://git.example.com/acme/shop/actions/runs/{run}",
            ),
            holds=there.__contains__,
        )
    finally:
        store.close()


def _remember(
    store: sql.SqlStore, sample: tuple[Sampled, ...], mirror: Mirror, tip: CommitId
) -> dict[EnvironmentName, Status]:
    statuses: dict[EnvironmentName, Status] = {}
    commits: dict[EnvironmentName, dict[int, CommitId]] = {}
    first = tip
    for one in told(sample):
        *older, first, last = (change.commit for change in mirror.changes(f"{one.name}.yaml", None, tip))
        commits[one.name] = dict(enumerate(older, OLDEST)) | {one.live: first, one.declared: last}

    def write(connection: Connection) -> dict[tuple[str, int], datetime]:
        memory = Memory(connection, commits, first, tip)
        for number, one in enumerate(sample):
            statuses[one.name] = memory.stand(one, number)
        in_order([memory.history(one, statuses[one.name], number) for number, one in enumerate(told(sample))])
        return memory.runs

    runs = store._database.write("sample", write)
    for (service, run), created in runs.items():
        built = (Artifact(service, f"{service}.zip", 48_213, digest(service, run)),)
        commit = sha256(f"{service} {run}".encode())[:40]
        about = replace(RUN, repository=f"acme/{service}", head_repository=f"acme/{service}", commit=commit)
        store.save_run(service, replace(about, run_id=RunId(run), created=created, artifacts=built))
    for one in sample:
        if one.mood == "suspended" and one in told(sample):
            hand = OperatorHand(suspended=True, reason="the disk is being replaced", by="ops")
            store.save_hand(one.name, hand, "suspend", NOON - timedelta(minutes=30))
    return statuses
