"""What somebody can do now for one environment: the exact command, and what would come of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

from reconciler.core.declare import Declaration
from reconciler.core.durations import in_words
from reconciler.core.readable import moment, plain
from reconciler.core.rules import Rules
from reconciler.errors import BAD_BYTES, DID_NOT_RUN, Reason
from reconciler.model import Digest, EnvironmentName, Health, OperatorHand, Release, RunId, Soak, Status, Sync
from reconciler.views.cards import SENTENCE
from reconciler.views.facts import Facts

BACK = 3
"""Runs that are offered for going back."""
UPSTREAMS = 20


@dataclass(frozen=True, slots=True)
class Move:
    """What somebody can do now: a command to type, or a page where it is done."""

    title: str
    """`Promote run 103 from staging`, `Roll back to run 101`."""
    command: str
    url: str = ""
    note: str = ""
    """What would happen, or why it would be held."""


@dataclass(frozen=True, slots=True)
class Stand:
    """Where an environment stands, and those before it."""

    status: Status
    hand: OperatorHand
    declaration: Declaration | None
    statuses: Mapping[EnvironmentName, Status]
    edit: str
    """Where its file is edited and proposed; empty where there is no such page."""

    @property
    def name(self) -> EnvironmentName:
        """Its own."""
        return self.status.environment


def moves(facts: Facts, stand: Stand) -> tuple[Move, ...]:
    """What makes sense now, what is most wanted first.

    Raises:
        ReconcilerError: `StoreUnavailable`.
    """
    return (*_operators(stand), *_promotions(facts, stand), *_rollbacks(facts, stand), *_explanation(stand))


def _operators(stand: Stand) -> Iterator[Move]:
    status, name = stand.status, stand.name
    if stand.hand.suspended:
        yield Move("Go on", f"reconciler resume {name}", note="the next pass brings it to what is declared then")
    elif status.reason is Reason.SUSPENDED:
        note = "its file says `suspend: true`: take that line out, and have it reviewed"
        yield Move("Go on", "", stand.edit, note)
    if status.sync is not Sync.SYNCED and status.reason in BAD_BYTES | DID_NOT_RUN:
        run = status.declared.run_id
        yield Move(f"Try run {run} again", f"reconciler retry {name}", note="it is not tried again by itself")
    if status.drift:
        yield Move("See what differs", f"reconciler diff {name}", note="path by path, looked at anew")


def _promotions(facts: Facts, stand: Stand) -> Iterator[Move]:
    status, name = stand.status, stand.name
    upstreams = facts.catalog.upstreams(name)[:UPSTREAMS]
    here = {status.declared.sha256, status.live.sha256 if status.live else None}
    for upstream in upstreams:
        there = stand.statuses.get(upstream)
        live = there.live if there else None
        if there and live and live.sha256 not in here and not _is_revoked(facts, live.run_id, live.sha256):
            title = f"Promote run {live.run_id} from {upstream}"
            note = _promoted(facts, stand, there, live)
            yield Move(title, f"reconciler promote {name} --from {upstream}", stand.edit, note)
    if not upstreams and stand.declaration:
        note = f"puts the run and its SHA-256 into a request; {_approval(stand.declaration)}"
        yield Move("Bring another run here", f"reconciler promote {name} --run RUN", stand.edit, note)


def _promoted(facts: Facts, stand: Stand, upstream: Status, live: Release) -> str:
    """What would come of it, as far as can be told before somebody proposes it."""
    name, declaration = upstream.environment, stand.declaration
    told = [_approval(declaration)] if declaration else []
    others = [one for one in facts.catalog.upstreams(stand.name) if one != name]
    lacking = [one for one in others if not _runs(stand.statuses.get(one), live)]
    if upstream.health is not Health.HEALTHY:
        told.append(f"held for now: {name} is {upstream.health}")
    if lacking:
        told.append(f"held for now: {', '.join(lacking)} must run it too")
    if declaration and declaration.promote and declaration.promote.soak_seconds:
        told.append(_soaked(facts, declaration.promote.soak_seconds, facts.store.soak(name), live, name))
    if stand.hand.suspended:
        told.append("nothing is done while it is suspended")
    if stand.status.reason is Reason.FROZEN:
        told.append("held while it is frozen")
    return "; ".join(told)


def _runs(status: Status | None, live: Release) -> bool:
    return status is not None and status.live is not None and status.live.sha256 == live.sha256


def _soaked(facts: Facts, wanted: float, soak: Soak | None, live: Release, upstream: EnvironmentName) -> str:
    earned = soak.earned if soak and soak.sha256 == live.sha256 else 0.0
    if earned >= wanted:
        return f"seen healthy in {upstream} for {in_words(earned)}, which is enough"
    at = facts.clock.now() + timedelta(seconds=wanted - earned)
    return f"needs {in_words(wanted)} healthy in {upstream}: not before {moment(at)}"


def _approval(declaration: Declaration) -> str:
    if declaration.approval == "none":
        return "nobody has to approve it"
    required = declaration.approval.required
    return f"{required} {'person has' if required == 1 else 'people have'} to approve it, no author among them"


def _rollbacks(facts: Facts, stand: Stand) -> Iterator[Move]:
    """To what was live before, newest first."""
    status, live = stand.status, stand.status.live
    if live is None:
        return
    seen = {live.sha256}
    offered = 0
    for one in facts.recall.lineage(facts.store, status):
        if one.sha256 is None or one.sha256 in seen or one.run_id is None or offered == BACK:
            continue
        seen.add(one.sha256)
        if _is_revoked(facts, one.run_id, one.sha256):
            continue
        offered += 1
        note = _readiness(status, f"{one.run_id}-{one.sha256[:12]}")
        approval = f"; {_approval(stand.declaration)}" if stand.declaration else ""
        command = f"reconciler rollback {stand.name} --to {one.run_id}"
        yield Move(f"Roll back to run {one.run_id}", command, stand.edit, note + approval)


def _is_revoked(facts: Facts, run_id: RunId, sha256: Digest) -> bool:
    """By the policy at the tip: what tightens a rule holds at once."""
    document = facts.catalog.policy.document
    return document is not None and Rules((document,)).revoked(run_id, sha256) is not None


def _readiness(status: Status, release: str) -> str:
    ready, free = status.rollback, "no soak and no freeze holds it"
    if ready is None or ready.release.partition(".")[0] != release:
        return f"{free}; nobody looked whether it is kept here"
    if ready.ready:
        return f"{free}; every byte of it is kept here, and was looked at"
    return plain(f"it may not work right now: {ready.why}", SENTENCE)


def _explanation(stand: Stand) -> Iterator[Move]:
    if reason := stand.status.reason:
        yield Move(f"What {reason} means", f"reconciler explain {reason}", note="and what can be done about it")
