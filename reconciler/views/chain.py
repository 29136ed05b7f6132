"""The chain of proof from CI to the disk, out of what is remembered.

Nothing is looked at for a page: each link says who looked, and what was compared. One that nobody looked at is
`UNKNOWN`, and is never called proven because nothing speaks against it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from reconciler.core.declare import Declaration, Reading
from reconciler.core.folder import is_regular, read_entry
from reconciler.core.readable import counted, plain, short
from reconciler.core.yamltree import MAX_BYTES
from reconciler.errors import ReconcilerError
from reconciler.model import (
    Accepted,
    Attempt,
    CommitId,
    Declared,
    Gate,
    GateResult,
    Health,
    Release,
    Run,
    Status,
    Sync,
    Verdict,
)
from reconciler.views.cards import SENTENCE, people
from reconciler.views.facts import Facts


class Proof(StrEnum):
    """How much one link of the chain is worth."""

    PROVEN = "proven"
    BROKEN = "broken"
    UNKNOWN = "unknown"
    """Nobody looked, or it is not remembered."""


@dataclass(frozen=True, slots=True)
class Link:
    """One link of the chain from CI to the disk."""

    title: str
    """`CI built it`, `Declared in Git`, `Approved`, `In custody`, `On disk`, `Running`."""
    proof: Proof
    told: str
    """In one sentence: who says so, and what was compared."""
    digest: str = ""
    """What was seen there, in full; empty where there is none."""
    url: str = ""
    at: datetime | None = None
    entry: int | None = None
    """The number of the audit entry that has the evidence."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the links rest on."""

    status: Status
    live: Release
    accepted: Accepted | None
    reading: Reading | None
    """The file as it stands in the accepted commit; None: nobody can tell."""
    brought: Attempt | None
    """The last attempt that brought what is live; None: it is not remembered."""
    entry: int | None
    """Its outcome's place in the audit chain."""

    @property
    def declaration(self) -> Declaration | None:
        """What was accepted says."""
        return self.reading.declaration if self.reading else None

    @property
    def is_accepted(self) -> bool:
        """Whether what is live is what was let in last."""
        one, live = self.accepted, self.live
        return one is not None and (one.run_id, one.sha256) == (live.run_id, live.sha256)

    def word(self, gate: Gate) -> GateResult | None:
        """What a gate said of what is live when it passed."""
        words = [*(self.brought.gates if self.brought else ()), *self._latest()]
        return next((word for word in words if word.gate is gate and word.verdict is Verdict.PASSED), None)

    def _latest(self) -> tuple[GateResult, ...]:
        declared, live = self.status.declared, self.live
        return self.status.gates if declared == Declared(declared.commit, live.run_id, live.sha256) else ()


def chain(facts: Facts, evidence: Evidence) -> tuple[Link, ...]:
    """Every link, in the way of the data.

    Raises:
        ReconcilerError: `StoreUnavailable`.
    """
    return (
        _built(facts, evidence),
        _declared(facts, evidence),
        _approved(facts, evidence),
        _kept(facts, evidence),
        _on_disk(evidence),
        _running(evidence),
    )


def accepted_file(facts: Facts, path: str, commit: CommitId) -> Reading | None:
    """An environment's file as it stands in one commit; None: it is not there, or can't be read."""

    def read() -> Reading | None:
        entry = facts.repository.entry(commit, path)
        wanted = [entry.blob] if entry and is_regular(entry) else []
        return read_entry(path, entry, facts.repository.read_blobs(wanted, MAX_BYTES)) if entry else None

    try:
        return facts.recall.files.get((path, commit), read)
    except ReconcilerError:
        return None


def _built(facts: Facts, evidence: Evidence) -> Link:
    title, live, declaration = "CI built it", evidence.live, evidence.declaration
    known = facts.store.runs([live.run_id]).get(live.run_id, {})
    for source, run in known.items():
        if any(one.sha256 == live.sha256 for one in run.artifacts):
            told = f"{_run(run)}; the bytes that it stored had this SHA-256 when our copy was taken"
            return Link(title, Proof.PROVEN, told, live.sha256, facts.links.run(source, live.run_id), run.created)
    named = declaration.artifact.source if declaration else None
    if declaration and named and named in known and declaration.run_id == live.run_id:
        run, name = known[named], declaration.artifact.name
        if stated := next((one.sha256 for one in run.artifacts if one.name == name), None):
            told = f"{_run(run)}, and its artifact had another SHA-256 than what is live"
            return Link(title, Proof.BROKEN, told, stated, facts.links.run(named, live.run_id), run.created)
    return Link(title, Proof.UNKNOWN, f"nothing is remembered of what CI said of run {live.run_id}")


def _run(run: Run) -> str:
    where = plain(run.repository_name or run.repository, 100)
    how = f"{plain(run.workflow, 100)}, {plain(run.event, 40)} on {plain(run.branch, 100)}"
    return f"run {run.run_id} of {where} ({how}) built it from commit {short(plain(run.commit, 80))}"


def _declared(facts: Facts, evidence: Evidence) -> Link:
    title, live, accepted, reading = "Declared in Git", evidence.live, evidence.accepted, evidence.reading
    if accepted is None:
        return Link(title, Proof.UNKNOWN, "it is not remembered which commit let it in")
    url, at = facts.links.commit(accepted.commit), accepted.accepted_at
    commit = f"commit {accepted.commit[:12]}"
    if not evidence.is_accepted:
        told = f"{commit} lets in run {accepted.run_id}, and run {live.run_id} is live"
        return Link(title, Proof.BROKEN, told, accepted.sha256, url, at)
    if reading is None:
        return Link(title, Proof.UNKNOWN, f"{commit} let it in, and can't be read any more", accepted.sha256, url, at)
    declaration = reading.declaration
    said = (declaration.run_id, declaration.sha256) if declaration else None
    if reading.digest != accepted.declaration or said != (live.run_id, live.sha256):
        told = f"{reading.file} in {commit} is not the file that was let in"
        return Link(title, Proof.BROKEN, told, declaration.sha256 if declaration else "", url, at)
    told = f"{reading.file} in {commit} names run {live.run_id} and this SHA-256, read again out of the repository"
    return Link(title, Proof.PROVEN, told, live.sha256, url, at)


def _approved(facts: Facts, evidence: Evidence) -> Link:
    title, accepted = "Approved", evidence.accepted
    if accepted is None or not evidence.is_accepted:
        return Link(title, Proof.UNKNOWN, "it is not remembered who let in what is live", entry=evidence.entry)
    url, word = facts.links.request(accepted.request) if accepted.request else "", evidence.word(Gate.APPROVAL)
    if word and word.evidence:
        told = plain("; ".join(word.evidence), SENTENCE)
    elif accepted.approvers or accepted.request:
        told = plain(f"{', '.join(people(accepted.approvers)) or 'nobody was asked'} ({accepted.request})", SENTENCE)
        told += ", as was recorded when it was let in"
    else:
        return Link(title, Proof.UNKNOWN, "no word of an approval is remembered", entry=evidence.entry)
    return Link(title, Proof.PROVEN, told, "", url, accepted.accepted_at, evidence.entry)


def _kept(facts: Facts, evidence: Evidence) -> Link:
    title, live, word = "In custody", evidence.live, evidence.word(Gate.CUSTODY)
    there = facts.holds(live.sha256)
    still = "the copy is still there" if there else "the copy is gone by now"
    said = next((told for told in word.evidence if live.sha256 in told), "") if word else ""
    if said:
        at = evidence.brought.started if evidence.brought else None
        told = f"our own copy was hashed before it was unpacked: {plain(said, 200)}; {still}"
        return Link(title, Proof.PROVEN, told, live.sha256, at=at, entry=evidence.entry)
    told = "there is a copy by this name, and it is not remembered that it was hashed" if there else still
    return Link(title, Proof.UNKNOWN, told)


def _on_disk(evidence: Evidence) -> Link:
    title, status = "On disk", evidence.status
    if status.drift:
        told = f"{counted(len(status.drift), 'path')} not as put there, at the last look: {status.drift[0].path}"
        return Link(title, Proof.BROKEN, plain(told, SENTENCE))
    if status.sync is Sync.UNKNOWN or status.health is Health.UNKNOWN:
        return Link(title, Proof.UNKNOWN, plain(f"the target could not be looked at: {status.message}", SENTENCE))
    told = (
        f"every path of {evidence.live.id} was as its manifest says at the last look: content where sizes or times "
        "had changed, and every byte at a thorough look, every few hours"
    )
    return Link(title, Proof.PROVEN, told, evidence.live.sha256, at=status.live_since)


def _running(evidence: Evidence) -> Link:
    title, status, declaration = "Running", evidence.status, evidence.declaration
    if declaration is None or not declaration.is_run:
        why = "the file can't be read" if declaration is None else "files that nothing starts or asks for their health"
        return Link(title, Proof.UNKNOWN, why)
    if status.health is Health.HEALTHY and declaration.health is None:
        return Link(title, Proof.UNKNOWN, "it was started, and nothing asks for its health")
    if status.health is Health.HEALTHY:
        word = evidence.word(Gate.HEALTH)
        told = "; ".join(word.evidence) if word else "its checks pass"
        return Link(title, Proof.PROVEN, plain(told, SENTENCE), at=status.since)
    if status.health is Health.DEGRADED:
        return Link(title, Proof.BROKEN, plain(status.message, SENTENCE), at=status.since)
    return Link(title, Proof.UNKNOWN, "its first checks have not passed yet", at=status.since)
