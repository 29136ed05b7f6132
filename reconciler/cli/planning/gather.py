"""What a merge would do, gathered: the two revisions out of a clone, the judgement, and the evidence around it.

The judgement is the pipeline's own, asked of a commit that nobody pushed. Nothing is written but what a pass may
find useful: the mirror's objects, and our copy of the artifact. What can't be told from here is said to be so, and
the rest goes on.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

from reconciler import wiring
from reconciler.catalog import Catalog
from reconciler.catalog import Declared as DeclaredFile
from reconciler.cli.exits import ExitCode, Stop
from reconciler.cli.planning.common import CommonRules
from reconciler.cli.planning.evidence import Before, Evidence, Listings
from reconciler.core.alterations import altered
from reconciler.core.declare import FOLDER, Declaration, Reading
from reconciler.core.plan import INSTALLS, Proposed
from reconciler.core.plandoc import Brief, ChangePlan, EnvironmentPlan
from reconciler.errors import Reason
from reconciler.model import CommitId, Declared, EnvironmentName, Gate, GateResult, Verdict
from reconciler.pipeline import Fleet, Planned, Planner, World
from reconciler.pipeline.gates import Gates
from reconciler.pipeline.world import Held
from reconciler.tracker import rewritten

CONCERNED = 50
"""Environments that are looked at although their own file stays as it is."""
_GIT_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Clone:
    """A clone of the repository on this machine, and where its objects are."""

    folder: Path
    git_dir: Path

    @classmethod
    def at(cls, folder: Path) -> Clone:
        """The clone that a folder is in.

        Raises:
            Stop: It is in none.
        """
        found = _git(folder, "rev-parse", "--path-format=absolute", "--git-common-dir")
        if found is None:
            hint = "go into your clone of the repository with the declarations, or name it with --repo DIR"
            raise Stop(ExitCode.USAGE, f"{folder.absolute()} is in no git repository", hint)
        return cls(folder, Path(found))

    def commit(self, revision: str) -> CommitId:
        """The full name of a commit.

        Raises:
            Stop: The clone knows no such revision.
        """
        found = _git(self.folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
        if found is None:
            hint = "name a branch, a tag or a commit of it; fetch it first when it is on a server"
            raise Stop(ExitCode.USAGE, f"{revision!r} is no commit of the clone at {self.folder}", hint)
        return CommitId(found)


def _git(folder: Path, *arguments: str) -> str | None:
    """One question to the user's own git about their own clone; None for a no."""
    argv = ("git", "-C", str(folder), *arguments)
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=_GIT_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Stop(ExitCode.FAILED, f"git could not be asked about {folder}: {type(error).__name__}") from None
    return done.stdout.strip() if done.returncode == 0 else None


def gather(system: wiring.System, clone: Clone, base: str | None, head: str) -> ChangePlan:
    """What merging `head` would do.

    Args:
        system: The parts.
        clone: Where the revisions are.
        base: A revision of the clone; None: the tracked branch's tip at the remote.
        head: A revision of the clone.

    Raises:
        Stop: A revision, or the tracked branch, is not there.
        ReconcilerError: The repository can't be read, or the two don't merge.
    """
    world, branch = system.world, system.settings.repository.branch
    seen = world.store.tip()  # before the remote is asked: a daemon may go on meanwhile
    tip = world.repository.head()
    if tip is None:
        raise Stop(ExitCode.FAILED, f"there is no branch {branch!r} at the repository", "check repository.branch")
    world.repository.fetch(tip)
    onto, what = clone.commit(base) if base else tip, clone.commit(head)
    merge = world.repository.proposal(onto, what, clone.git_dir)
    system.catalog.rewritten = _rewritten(world, seen, onto, merge)
    gathering = Gathering(world, system.fleet, system.settings.state / "plan", onto, merge)
    return gathering.plan(what, branch)


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
        spool: A folder for temporary copies.
        base: What is merged into; its declarations are those of before.
        merge: What comes out; `base` itself when nothing does.
    """

    def __init__(self, world: World, fleet: Fleet, spool: Path, base: CommitId, merge: CommitId) -> None:
        self._world = world
        self._fleet = fleet
        self._catalog = fleet.catalog
        self._listings = Listings(world, spool)
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


def _explained(word: GateResult) -> GateResult:
    """The last gate is the act itself, which no plan reaches."""
    if word.gate is Gate.TARGET and word.verdict is Verdict.NOT_REACHED and not word.message:
        return replace(word, message="answers when it is carried out")
    return word


def _out_of_sight(planned: Planned) -> str | None:
    """Why nobody can tell from here what is live; None when it is known, or is no question of from where."""
    words = (word for word in planned.gates if word.reason is Reason.TARGET_UNAVAILABLE)
    return None if planned.home or planned.plan else next((word.message for word in words), None)


def _declared(commit: CommitId, declaration: Declaration | None) -> Declared | None:
    return Declared(commit, declaration.run_id, declaration.sha256) if declaration else None
