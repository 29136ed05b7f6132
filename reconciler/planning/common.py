"""What a merge does to the rules that are common to all environments, and what follows from it for one of them.

Who may let the change in is the rulebook's word. Until then the stricter of the two policies counts, and the gates
were asked so; but the merge is what a plan is about, so nothing here reproaches it for not being let in yet.
"""

from __future__ import annotations

from dataclasses import replace

from reconciler.core import strict
from reconciler.core.alterations import entries_altered
from reconciler.core.declare import POLICY
from reconciler.core.plandoc import PolicyChange, WayBack
from reconciler.core.rules import PolicyReading, Rules
from reconciler.declarations.catalog import Catalog
from reconciler.errors import ReconcilerError
from reconciler.model import CommitId, GateResult, Release, Verdict
from reconciler.pipeline import Fleet, Rulebook, World


class CommonRules:
    """The rules before a merge and after it.

    Args:
        world: The parts.
        fleet: Its catalog stands at the merge.
        before: The catalog at what is merged into.
        merge: What comes out.
    """

    def __init__(self, world: World, fleet: Fleet, before: Catalog, merge: CommitId) -> None:
        self._policies = before.policy, fleet.catalog.policy
        self._asked: GateResult | None = None
        now = _rules(fleet.rulebook)
        self._pending = now.pending if now else None
        self.before: Rules | None = now
        """None: nobody can tell."""
        self.after: Rules | None = now
        """Once the change is let in; what else is not let in yet still counts. None: nobody can tell."""
        document = fleet.catalog.policy.document
        if now is None or document is None or before.policy.digest == fleet.catalog.policy.digest:
            return
        self.before = _rules(Rulebook(world, before, remember=False))
        if not fleet.catalog.rewritten:
            self._asked = _asked(fleet.rulebook, merge)
        if self._asked and self._asked.verdict is not Verdict.HELD:
            self.after = Rules((document,), world.floors)

    @property
    def change(self) -> PolicyChange | None:
        """What the merge changes of the policy; None when it does not."""
        before, after = self._policies
        if before.digest == after.digest:
            return None
        problems = tuple(str(problem) for problem in after.problems)
        settings = entries_altered(_entries(before), _entries(after)) if after.document else ()
        return PolicyChange(before.digest, after.digest, problems, settings, self._asked)

    def told(self, word: GateResult) -> GateResult:
        """A gate's word; what it says of the policy is said as it stands before the merge is let in."""
        if self._asked is None or self._pending is None:
            return word
        said = (self._said(text, self._asked, self._pending.message) for text in word.evidence)
        return replace(word, evidence=tuple(filter(None, said)))

    @staticmethod
    def _said(text: str, asked: GateResult, reproach: str) -> str:
        if reproach not in text:
            return text
        match asked.verdict:
            case Verdict.PENDING:
                return f"the change of {POLICY} waits for approval, by {asked.message}; until then the stricter counts"
            case Verdict.HELD:
                return text.replace(reproach, asked.message)
        return ""

    def way_back(self, live: Release | None) -> WayBack:
        """Whether what is live now may come back once something else was deployed."""
        if live is None or self.after is None or self.after.revoked(live.run_id, live.sha256) is None:
            return WayBack.OPEN
        before = self.before.revoked(live.run_id, live.sha256) if self.before else None
        return WayBack.CLOSED_BEFORE if before else WayBack.CLOSED_HERE


def _rules(rulebook: Rulebook) -> Rules | None:
    try:
        return rulebook.rules()
    except ReconcilerError:
        return None  # the gates say why


def _asked(rulebook: Rulebook, merge: CommitId) -> GateResult | None:
    try:
        return rulebook.asked_of_policy(merge)
    except ReconcilerError:
        return None


def _entries(reading: PolicyReading) -> dict[str, object]:
    """What a policy lists, by the list."""
    policy = reading.document
    if policy is None:
        return {}
    lists = {"approval": policy.approval, "freeze": policy.freeze, "revoked": policy.revoked}
    return {name: tuple(_given(strict.leaves(entry)) for entry in entries) for name, entries in lists.items()}


def _given(fields: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value is not None}
