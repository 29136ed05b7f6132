"""What a merge would do, as it is shown to people: one environment after the other, and all of it under one digest.

The judgement is a `Plan`; here it gets the words around it. Nothing is judged again, and how it is printed is left
to the command line.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from reconciler.core.alterations import Setting
from reconciler.core.contents import Changes
from reconciler.core.plan import INSTALLS, Plan
from reconciler.core.rules import Frozen
from reconciler.core.strictjson import canonical
from reconciler.model import Action, CommitId, Declared, EnvironmentName, Gate, GateResult, Release, Verdict

VERSION = 1
"""Of what a whole plan's digest is made over."""


@dataclass(frozen=True, slots=True)
class Subject:
    """One commit that a run was built from, or that lies between two runs."""

    id: CommitId
    subject: str


@dataclass(frozen=True, slots=True)
class Commits:
    """What the two runs were built from. None: CI does not say any more."""

    before: str | None
    after: str | None
    subjects: tuple[Subject, ...] = ()
    """Those between, newest first; empty when the repository does not hold both."""
    more: bool = False
    """Whether there are further ones."""


@dataclass(frozen=True, slots=True)
class Files:
    """The artifact's files against those of what is live now."""

    changes: Changes | None = None
    unknown: str = ""
    """Why they can't be told."""


@dataclass(frozen=True, slots=True)
class Running:
    """What happens behind a switch: how the release comes to life, and what follows when it does not."""

    activation: str = ""
    """What is activated; empty: nothing is."""
    health: str = ""
    """What is asked; empty: nothing is."""
    within: str = ""
    """The time in which the first checks must pass."""
    good: str = ""
    """The release that worked here last; empty: there is none to go back to."""
    hold: bool = False
    """Whether the file says to go back nowhere."""


class WayBack(Enum):
    """Whether what is live now may be deployed again, once something else is."""

    OPEN = "open"
    CLOSED_HERE = "closed here"
    """The same merge revokes it."""
    CLOSED_BEFORE = "closed before"
    """It was revoked already."""


@dataclass(frozen=True, slots=True)
class EnvironmentPlan:
    """What the merge would do to one environment."""

    environment: EnvironmentName
    file: str
    was: Declared | None
    """Declared before the merge; None: nothing that can be read."""
    wanted: Declared | None
    """Declared after it; None: nothing that can be read, or the file goes."""
    live: Release | None
    live_unknown: str
    """Why nobody can tell what is live; empty when it is known."""
    plan: Plan | None
    gates: tuple[GateResult, ...]
    removed: bool = False
    """Whether the merge removes the file."""
    drifted: int = 0
    """Paths of the live release that are not as they were put there."""
    target: str = ""
    settings: tuple[Setting, ...] = ()
    commits: Commits | None = None
    files: Files | None = None
    running: Running | None = None
    """None: nothing is to be seen of how it runs, or nobody can tell."""
    way_back: WayBack = WayBack.OPEN

    @property
    def digest(self) -> str | None:
        """Of the act; None when there is none to name."""
        return self.plan.digest if self.plan else None

    @property
    def action(self) -> Action | None:
        """What is done once every gate lets it; None when nobody can tell."""
        return self.plan.action if self.plan else None

    @property
    def held(self) -> tuple[GateResult, ...]:
        """Every gate that would hold it after the merge."""
        return tuple(word for word in self.gates if word.verdict is Verdict.HELD)

    @property
    def approval(self) -> GateResult | None:
        """What is asked of the people who let it in."""
        return next((word for word in self.gates if word.gate is Gate.APPROVAL and word.message), None)


@dataclass(frozen=True, slots=True)
class Brief:
    """An environment that the merge concerns although its own file stays as it is."""

    environment: EnvironmentName
    digest: str | None
    action: Action | None
    held: tuple[GateResult, ...]
    frozen: Frozen | None = None
    """The freeze that is closed now by the rules after the merge; it holds the next promotion."""
    was_frozen: bool = False
    """Whether one is closed now by the rules before it."""


@dataclass(frozen=True, slots=True)
class PolicyChange:
    """What the merge does to the rules that are common to all environments."""

    before: str | None
    """The policy's digest; None: there is none."""
    after: str | None
    problems: tuple[str, ...]
    """Why it could not be read after the merge: then every environment holds."""
    settings: tuple[Setting, ...]
    approval: GateResult | None = None
    """What is asked of the people who let it in, or what keeps it from being let in; None: nobody can tell."""


@dataclass(frozen=True, slots=True)
class ChangePlan:
    """What one merge would do to everything."""

    base: CommitId
    head: CommitId
    branch: str
    as_of: datetime
    environments: tuple[EnvironmentPlan, ...]
    """Those whose file changes, in order of name."""
    concerned: tuple[Brief, ...] = ()
    more: int = 0
    """Further ones that it concerns, and that were not looked at."""
    policy: PolicyChange | None = None
    problems: tuple[str, ...] = ()
    """Files that look like declarations and can't be."""
    rewritten: str = ""
    """Why the branch may not be followed after the merge, so that everything holds; empty when it may."""

    @property
    def refused(self) -> bool:
        """Whether a gate would hold something of it after the merge."""
        held = (*(one.held for one in self.environments), *(one.held for one in self.concerned))
        return any(held) or bool(self.rewritten) or bool(self.policy and self.policy.problems)

    @property
    def digest(self) -> str:
        """SHA-256 in hex over the environments' digests, in order of name, and the policy's."""
        acts = {one.environment: one.digest for one in self.environments}
        acts |= {one.environment: one.digest for one in self.concerned}
        document = {
            "environments": [{"digest": acts[name], "name": name} for name in sorted(acts)],
            "policy": {"after": self.policy.after, "before": self.policy.before} if self.policy else None,
            "v": VERSION,
        }
        return hashlib.sha256(canonical(document).encode()).hexdigest()


# --- words ---------------------------------------------------------------------------------------


def release_name(declared: Declared) -> str:
    """What a release of this artifact is called, when no other of it is there."""
    return f"{declared.run_id}-{(declared.sha256 or '')[:12]}"


def act(one: EnvironmentPlan) -> str:
    """What is done, in a few words."""
    if one.removed:
        return "file removed"
    if one.plan is None:
        return "not known" if one.live_unknown else "held" if one.held else "nothing"
    if one.plan.action is Action.ACTIVATE and (names := _given(one)):
        return f"{_ACTS[Action.ACTIVATE]} ({'; '.join(names)})"
    return _ACTS[one.plan.action] if one.live or one.plan.action is not Action.DEPLOY else "first deployment"


def _given(one: EnvironmentPlan) -> tuple[str, ...]:
    """What an activation is given that changes, by name: nobody is shown a value."""
    found = []
    for kind in ("config", "secrets"):
        names = [item.path.partition(".")[2] for item in one.settings if item.path.startswith(f"{kind}.")]
        found += [f"{kind} {', '.join(names)}"] if names else []
    return tuple(found)


_ACTS = {
    Action.NONE: "nothing",
    Action.ACCEPT: "settings only",
    Action.DEPLOY: "deploy",
    Action.ROLLBACK: "roll back",
    Action.REPAIR: "repair",
    Action.ACTIVATE: "activate anew",
}


def on_merge(one: EnvironmentPlan) -> str:
    """What happens after the merge, as a sentence without its full stop."""
    stays = f"{one.live.id} stays live" if one.live else "nothing is live"
    if one.removed:
        return f"nothing is torn down: {stays}, and the environment is held until the file is back"
    if one.live_unknown:
        return "what is live can't be told from here, so neither can what it does; the daemon judges it where it runs"
    if one.plan is None:
        return f"nothing changes: {stays}"
    effect = _effect(one, one.plan)
    if not one.held or one.plan.action is Action.NONE:
        return effect
    *others, last = (word.gate.value for word in one.held)
    gates = f"the gates {', '.join(others)} and {last} pass" if others else f"the gate {last} passes"
    until = earliest(one)
    when = f", at the earliest at {until:%Y-%m-%d %H:%M:%SZ}" if until else ""
    return f"nothing changes until {gates}{when}; then it {effect}"


def _effect(one: EnvironmentPlan, plan: Plan) -> str:
    new = release_name(Declared(None, plan.wanted.run_id, plan.wanted.sha256))
    before = plan.before.id if plan.before else ""
    return _switch(one, plan, new, before) + _life(one, plan)


def _switch(one: EnvironmentPlan, plan: Plan, new: str, before: str) -> str:
    match plan.action:
        case Action.DEPLOY if not before:
            return f"installs {new} at {plan.target}, the first release there, and makes it current"
        case Action.DEPLOY:
            return f"installs {new} beside {before} at {plan.target} and switches current"
        case Action.ROLLBACK:
            return f"switches current from {before} back to {new} at {plan.target}"
        case Action.REPAIR:
            return f"installs {new} anew at {plan.target}, where {one.drifted} paths are not as they were put there"
        case Action.ACCEPT:
            return f"keeps {new} live at {plan.target} and takes up the new settings"
        case Action.ACTIVATE:
            why = f": {' and '.join(names)} change" if (names := _given(one)) else ""
            how = f" ({one.running.activation})" if one.running and one.running.activation else ""
            return f"keeps {new} live at {plan.target} and activates it anew{how}{why}"
    return "changes nothing: this is live already"


def _life(one: EnvironmentPlan, plan: Plan) -> str:
    """How it comes to life behind the switch, as the end of a sentence."""
    running = one.running
    if running is None or plan.action in (Action.NONE, Action.ACCEPT):
        return ""
    told = f"; then activates it ({running.activation})" if running.activation else ""
    told = "" if plan.action is Action.ACTIVATE else told
    if running.health:
        told += f"{' and' if told else '; then'} gives it {running.within} to pass its health check ({running.health})"
    return told


def on_failure(one: EnvironmentPlan) -> str:
    """What stands when it does not come about; empty when nothing can fail."""
    if one.plan is None or one.plan.action in (Action.NONE, Action.ACCEPT):
        return ""
    before, then = one.plan.before, _on_dead(one, one.plan)
    if one.plan.action is Action.ACTIVATE:
        return then
    if before is None:
        told = "nothing is live, as now; current appears only once every file was verified"
    else:
        told = f"live stays {before.id}; current is switched only once every file was verified"
    return f"{told}; {then}" if then else told


def _on_dead(one: EnvironmentPlan, plan: Plan) -> str:
    """What follows when it is live and does not run; empty where nothing is to be seen of that."""
    running = one.running
    if running is None:
        return ""
    dead = "if it does not run with that" if plan.action is Action.ACTIVATE else "if it is live and does not run"
    stays = f"{dead}, it stays so, Degraded, for people to look at"
    if running.hold:
        return f"{stays}: rollback is set to hold"
    if plan.action is Action.ROLLBACK:
        return f"{stays}: a rollback is never rolled back"
    if not running.good or plan.action is Action.REPAIR:
        return f"{stays}: there is nothing to go back to"
    back = f"{running.good} is brought back by itself"
    if plan.action is Action.ACTIVATE:
        back = f"{running.good} is activated by itself with the settings of before"
    return f"{dead}, {back}, and this is not tried again until its file changes"


def undo(one: EnvironmentPlan) -> str:
    """How it is taken back; a command where there is one, empty when there is nothing to take back."""
    if one.removed:
        return "put the file back"
    if one.plan is None or one.plan.action is Action.NONE:
        return ""
    if one.plan.action in INSTALLS and one.plan.before:
        return _back_to(one, one.plan.before)
    if one.plan.action in INSTALLS:
        return "revert the merge; what it installed stays until somebody removes it"
    return "revert the merge"


def _back_to(one: EnvironmentPlan, before: Release) -> str:
    match one.way_back:
        case WayBack.CLOSED_HERE:
            return f"revert the merge, which also lifts the revocation of run {before.run_id}"
        case WayBack.CLOSED_BEFORE:
            return f"promote another run; run {before.run_id}, which is live now, is revoked"
    return f"reconciler rollback {one.environment} --to {before.run_id}"


def earliest(one: EnvironmentPlan) -> datetime | None:
    """When all that holds may have passed; None when that is not known of each."""
    times = [word.not_before for word in one.held]
    return max((at for at in times if at), default=None) if all(times) else None
