"""What a merge would do, gathered: the merge of two commits, the judgement, and the evidence around it.

The judgement is the pipeline's own, asked of a commit that nobody pushed. Nothing is written but what a pass may
find useful: the mirror's objects, and our copy of the artifact. What can't be told from here is said to be so, and
the rest goes on.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from reconciler.core.alterations import altered
from reconciler.core.declare import FOLDER, Declaration, Reading
from reconciler.core.plan import INSTALLS, Proposed
from reconciler.core.plandoc import Brief, ChangePlan, EnvironmentPlan, Running, release_name
from reconciler.declarations.catalog import Catalog
from reconciler.declarations.catalog import Declared as DeclaredFile
from reconciler.declarations.tracker import rewritten
from reconciler.errors import Reason, Transient
from reconciler.model import CommitId, Declared, EnvironmentName, Gate, GateResult, Verdict
from reconciler.pipeline import Fleet, Planned, Planner, Rulebook, Soaks, World
from reconciler.pipeline.gates import Gates
from reconciler.pipeline.living import last_good
from reconciler.pipeline.world import Held
from reconciler.planning.common import CommonRules
from reconciler.planning.evidence import Before, Evidence, Listings
from reconciler.prober import Remembered

CONCERNED = 50
"""Environments that are looked at although their own file stays as it is."""


def gather(
    world: World,
    catalog: Catalog,
    branch: str,
    spool: Path,
    head: CommitId,
    base: CommitId | None = None,
    clone: Path | None = None,
    *,
    remember: bool = False,
) -> ChangePlan:
    """What merging `head` would do.

    Args:
        world: The parts.
        catalog: One that was not refreshed yet, and that nobody else reads; stands at the merge afterwards.
        branch: The tracked branch, for people.
        spool: A folder for temporary copies.
        head: What is merged.
        base: What is merged into; None: the tracked branch's tip at the remote.
        clone: The git directory of a clone that has both; None: the mirror has them.
        remember: Whether what CI says of a run is remembered with our copy of its artifact.

    Raises:
        ReconcilerError: The tracked branch is not there, the repository can't be read, or the two don't merge.
    """
    seen = world.store.tip()  # before the remote is asked: a daemon may go on meanwhile
    tip = world.repository.head()
    if tip is None:
        hint = "check repository.branch"
        raise Transient(Reason.REPOSITORY_UNAVAILABLE, f"there is no branch {branch!r} at the repository", hint)
    world.repository.fetch(tip)
    onto = base or tip
    merge = world.repository.proposal(onto, head, clone)
    catalog.rewritten = _rewritten(world, seen, onto, merge)
    rulebook = Rulebook(world, catalog, remember=False)
    fleet = Fleet(catalog, rulebook, Soaks(world.store, world.clock, world.gap, token=0), Remembered(world.store))
    return Gathering(world, fleet, Listings(world, spool, remember=remember), onto, merge).plan(head, branch)


def _rewritten(world: World, seen: CommitId | None, onto: CommitId, merge: CommitId) -> str:
    """Why a pass would not follow the branch after the merge, as the tracker would find; empty when it would."""
    if seen is None or world.repository.is_ancestor(seen, merge):
        return ""
    return rewritten(onto, seen)


class Gathering:
    """The evidence for one merge.

    Args:
        world: The parts.
        fleet: Of a catalog that was not refreshed yet.
        listings: Reads artifacts.
        base: What is merged into; its declarations are those of before.
        merge: What comes out; `base` itself when nothing does.
    """

    def __init__(self, world: World, fleet: Fleet, listings: Listings, base: CommitId, merge: CommitId) -> None:
        self._world = world
        self._fleet = fleet
        self._catalog = fleet.catalog
        self._listings = listings
        self._base = base
        self._merge = merge

    def plan(self, head: CommitId, branch: str) -> ChangePlan:
        """All of it."""
        before = Catalog(self._world.repository, self._world.bounds)
        before.refresh(self._base)
        before.rewritten = self._catalog.rewritten
        self._catalog.refresh(self._base)
        touched = self._catalog.refresh(self._merge)
        rules = CommonRules(self._world, self._fleet, before, self._merge)
        own = [name for name in sorted(touched) if self._differs(name)]
        others = [name for name in sorted(touched) if name not in set(own)]
        return ChangePlan(
            base=self._base,
            head=head,
            branch=branch,
            as_of=self._world.clock.now(),
            environments=tuple(self._environment(name, before.get(name).reading, rules) for name in own),
            concerned=tuple(self._brief(name, rules) for name in others[:CONCERNED]),
            more=len(others[CONCERNED:]),
            policy=rules.change,
            problems=tuple(str(problem) for problem in self._catalog.misnamed if problem not in before.misnamed),
            rewritten=self._catalog.rewritten,
        )

    def _differs(self, name: EnvironmentName) -> bool:
        """Whether the file itself does."""
        path, repository = self._catalog.get(name).path, self._world.repository
        return repository.entry(self._base, path) != repository.entry(self._merge, path)

    def _planned(self, name: EnvironmentName) -> Planned:
        hand, merge = self._world.store.hand(name), self._merge if self._merge != self._base else None
        return Planner(self._world, self._fleet, self._catalog.get(name), hand, merge).plan()

    def _brief(self, name: EnvironmentName, rules: CommonRules) -> Brief:
        planned, now = self._planned(name), self._world.clock.now()
        held = tuple(rules.told(word) for word in planned.gates if word.verdict is Verdict.HELD)
        plan = planned.plan
        return Brief(
            environment=name,
            digest=plan.digest if plan else None,
            action=plan.action if plan else None,
            held=held,
            frozen=rules.after.frozen(name, now) if rules.after else None,
            was_frozen=bool(rules.before and rules.before.frozen(name, now)),
        )

    def _environment(self, name: EnvironmentName, before: Reading | None, rules: CommonRules) -> EnvironmentPlan:
        planned, file = self._planned(name), self._catalog.get(name)
        away = _out_of_sight(planned)
        if away is not None:
            planned = self._from_afar(planned, file)
        old, new = before.declaration if before else None, file.reading.declaration if file.reading else None
        home, plan = planned.home, planned.plan
        gates = tuple(rules.told(word) for word in planned.gates)
        live = plan.before if plan else home.observed.live if home else None
        one = EnvironmentPlan(
            environment=name,
            file=f"{FOLDER}/{file.path}",
            was=_declared(self._base, old),
            wanted=_declared(self._merge, new),
            live=live,
            live_unknown=away or "",
            plan=plan,
            gates=tuple(_explained(word) for word in gates) if plan else gates,
            removed=file.reading is None,
            drifted=len(home.observed.drift) if home else 0,
            target=plan.target if plan else home.path if home else "",
            settings=altered(old.leaves(), new.leaves()) if old and new else (),
            running=_running(planned, new) if new else None,
            way_back=rules.way_back(live),
        )
        if new is None or (plan is None and away is None) or (plan and plan.action not in INSTALLS):
            return one
        return self._with_evidence(one, planned, old, new)

    def _with_evidence(
        self, one: EnvironmentPlan, planned: Planned, old: Declaration | None, new: Declaration
    ) -> EnvironmentPlan:
        """Commits and files against what is live; against what is declared where nobody can tell what is live."""
        before = None
        if one.live:
            let_in = planned.home.reading if planned.home else None
            before = Before(one.live.run_id, one.live.sha256, let_in.declaration if let_in else None)
        elif one.live_unknown and old:
            before = Before(old.run_id, old.sha256, old)
            if (old.run_id, old.sha256) == (new.run_id, new.sha256):
                return one
        evidence = Evidence(self._world, self._listings, self._merge, new, planned.origin, before)
        files, custody = evidence.files()
        gates = tuple(custody if custody and word.gate is Gate.CUSTODY else word for word in one.gates)
        return replace(one, commits=evidence.commits(), files=files, gates=gates)

    def _from_afar(self, planned: Planned, file: DeclaredFile) -> Planned:
        """What can be asked without the target: everything about the change, nothing about what is there."""
        gates = Gates(self._world, self._fleet, file, None)
        origin = None
        try:
            gates.history()
            declaration = gates.schema()
            gates.proposed(self._merge)
            assert file.reading is not None
            gates.revocation(Proposed(file.reading.digest, declaration.run_id, declaration.sha256))
            origin = gates.provenance(declaration)
        except Held as held:
            gates.keep(held.result)
        gates.keep(GateResult(Gate.TARGET, Verdict.NOT_REACHED, message="not known from here"))
        return replace(planned, gates=gates.results(), origin=origin)


def _running(planned: Planned, declaration: Declaration) -> Running | None:
    """How it comes to life, and what an automatic rollback would go back to; None: nothing is to be seen of that."""
    activate, health, home = declaration.activate, declaration.health, planned.home
    if not declaration.is_run:
        return None
    good, live = last_good(home) if home else None, home.observed.live if home else None
    is_live = good and live and (good.run_id, good.sha256) == (live.run_id, live.sha256)
    name = live.id if is_live and live else release_name(Declared(None, good.run_id, good.sha256)) if good else ""
    return Running(
        activation=activate.words if activate else "",
        health=health.words if health else "",
        within=health.within if health else "",
        good=name,
        hold=declaration.rollback == "hold",
    )


def _explained(word: GateResult) -> GateResult:
    """The last gates are the act itself and what follows it, which no plan reaches."""
    if word.verdict is not Verdict.NOT_REACHED or word.message or word.gate not in _LATER:
        return word
    return replace(word, message=_LATER[word.gate])


_LATER = {Gate.TARGET: "answers when it is carried out", Gate.HEALTH: "answers once it is live"}


def _out_of_sight(planned: Planned) -> str | None:
    """Why nobody can tell from here what is live; None when it is known, or is no question of from where."""
    words = (word for word in planned.gates if word.reason is Reason.TARGET_UNAVAILABLE)
    return None if planned.home or planned.plan else next((word.message for word in words), None)


def _declared(commit: CommitId, declaration: Declaration | None) -> Declared | None:
    return Declared(commit, declaration.run_id, declaration.sha256) if declaration else None
