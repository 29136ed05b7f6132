"""Which artifact is meant, and what speaks for it: CI's word for a promotion, the past for a rollback.

A rollback asks CI nothing: it may have forgotten the run, and a digest that was declared or live before is the only one
that may come back. Where the past was looked up is part of the evidence.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import cast

from reconciler import wiring
from reconciler.cli import memory
from reconciler.cli.exits import ExitCode, Stop
from reconciler.cli.progress import showing
from reconciler.cli.proposing.proposal import File, Tip, rules_at
from reconciler.cli.render import note
from reconciler.core import authoring
from reconciler.core.authoring import Pin
from reconciler.core.declare import ArtifactSpec, Declaration
from reconciler.core.provenance import Provenance, judge_run
from reconciler.core.readable import moment
from reconciler.custody.guard import Guarded
from reconciler.errors import PolicyDenied, Reason, ReconcilerError, Transient
from reconciler.machine.clock import SystemClock
from reconciler.model import Artifact, Attempt, Digest, EnvironmentName, Run, RunId
from reconciler.ports import Source
from reconciler.settings import Settings

_UNKNOWN = Digest("0" * 64)
"""Stands in for a digest that CI does not state, while everything else about the run is judged."""
_NAMED = 10
"""Runs that a hint names."""


@dataclass(frozen=True, slots=True)
class Found:
    """An artifact, and what speaks for it, one line each."""

    pin: Pin
    evidence: tuple[str, ...]


# --- promotion ------------------------------------------------------------------------------------


def of_run(settings: Settings, file: File, run_id: RunId) -> Found:
    """The artifact of a run that the environment names, with its digest.

    Raises:
        ReconcilerError: The run may not be promoted, or CI can't be asked.
    """
    with _source(settings, file.declaration) as (source, rules):
        with showing(f"asking CI for run {run_id}"):
            run = source.run(run_id)
        name = file.declaration.artifact.name
        stated = next((a.sha256 for a in run.artifacts if a.name == name and a.sha256), _UNKNOWN)
        artifact = judge_run(run, _with(file.declaration, Pin(run_id, stated)), rules, settings.bounds)
        if artifact.sha256 is not None:
            return Found(Pin(run_id, artifact.sha256), authoring.ci_facts(run, "as CI states it"))
        digest = hashed(source, run, artifact, settings)
        return Found(Pin(run_id, digest), authoring.ci_facts(run, "of the bytes that CI serves; it states none"))


def of_environment(settings: Settings, tip: Tip, file: File, upstream: str) -> Found:
    """What the tip declares for another environment, if CI stands by it.

    Raises:
        Stop: There is no such environment, or it runs another artifact.
        ReconcilerError: The run may not be promoted, or CI can't be asked.
    """
    other = tip.file(upstream)
    ours, theirs = file.declaration.artifact, other.declaration.artifact
    if (ours.source, ours.name) != (theirs.source, theirs.name):
        message = f"{upstream} declares the artifact {_named(theirs)}, {file.path} is about {_named(ours)}"
        raise Stop(ExitCode.USAGE, message, "promote between environments of one artifact, or name a run with --run")
    with _source(settings, file.declaration) as (source, rules):
        with showing(f"asking CI for run {other.pin.run_id}"):
            run = source.run(other.pin.run_id)
        # What another environment runs is in custody, so that CI may have thrown its own copy away by now.
        artifact = judge_run(run, _with(file.declaration, other.pin), rules, settings.bounds, in_custody=True)
    where = "as CI states it" if artifact.sha256 else f"as {upstream} declares it; CI states none"
    _remark_not_live(settings, EnvironmentName(upstream), other.pin)
    evidence = (authoring.fact("Promoted from", upstream), *authoring.ci_facts(run, where))
    return Found(other.pin, evidence)


def hashed(source: Source, run: Run, artifact: Artifact, settings: Settings) -> Digest:
    """The digest of an artifact of which CI states none: of every byte that it serves, and no byte less.

    Raises:
        PolicyDenied: `ArtifactTooLarge`. Transient: `SourceUnavailable`.
    """
    clock, bounds = SystemClock(), settings.bounds
    expires = clock.monotonic() + bounds.fetch_seconds
    note(f"CI states no digest of {artifact.name!r}: reading its {artifact.size} bytes")
    digest, size = hashlib.sha256(), 0
    with (
        showing(f"reading {artifact.name}") as progress,
        Guarded(lambda offset: source.open(run, artifact, offset), 0) as stream,
    ):
        for chunk in stream:
            size += len(chunk)
            if size > artifact.size:
                break
            if clock.monotonic() > expires:
                raise _cut(f"did not arrive within {bounds.fetch_seconds:g} s (bounds.fetch_seconds)", run, artifact)
            digest.update(chunk)
            progress.tell(f"reading {artifact.name}: {100 * size // artifact.size} %")
    if size != artifact.size:
        raise _cut(f"has not the {artifact.size} bytes that CI states", run, artifact)
    return Digest(digest.hexdigest())


def _cut(what: str, run: Run, artifact: Artifact) -> Transient:
    message = f"artifact {artifact.name!r} of run {run.run_id} {what}"
    return Transient(Reason.SOURCE_UNAVAILABLE, message, "try again; or declare the digest that the CI run printed")


@contextmanager
def _source(settings: Settings, declaration: Declaration) -> Iterator[tuple[Source, Provenance]]:
    """Where the declared artifact comes from, and the operator's rules for it; nothing is kept on disk."""
    sources = settings.source_settings()
    name = declaration.artifact.source or (next(iter(sources)) if len(sources) == 1 else "")
    if name not in sources:
        known = ", ".join(sorted(sources)) or "none"
        message = f"artifact.source {name!r} is not set up here; known: {known}"
        raise PolicyDenied(Reason.RUN_NOT_ALLOWED, message, "name the operator's settings with -c FILE")
    with tempfile.TemporaryDirectory(prefix="reconciler-author-") as scratch:
        made = wiring.makers(settings, Path(scratch))[f"sources.{name}"]()
        yield cast("Source", made), sources[name].provenance


def _with(declaration: Declaration, pin: Pin) -> Declaration:
    artifact = declaration.artifact.model_copy(update={"run_id": pin.run_id, "sha256": pin.sha256})
    return declaration.model_copy(update={"artifact": artifact})


def _named(artifact: ArtifactSpec) -> str:
    return f"{artifact.name!r} of source {artifact.source!r}" if artifact.source else repr(artifact.name)


def _remark_not_live(settings: Settings, upstream: EnvironmentName, pin: Pin) -> None:
    """Say so when the memory has not seen the artifact live and healthy upstream. The daemon judges by itself."""
    if not memory.exists(settings):
        return
    try:
        with memory.opened(settings) as store:
            status = store.statuses().get(upstream)
    except ReconcilerError as error:
        note(f"note: whether it is live in {upstream} is not known: {error.message}")
        return
    live = status.live if status else None
    if status and status.ready and live and live.sha256 == pin.sha256:
        return
    stands = f"{status.sync}, {status.health}, live is {f'run {live.run_id}' if live else 'nothing'}" if status else "-"
    note(f"note: run {pin.run_id} was not live and healthy in {upstream} at the last look ({stands});")
    note("  where a promotion needs that, it is held until it is so")


# --- rollback -------------------------------------------------------------------------------------


class Past:
    """What an environment ran, by the memory, and what was declared for it, by the history of its file."""

    def __init__(self, settings: Settings, tip: Tip, environment: EnvironmentName, file: File) -> None:
        self._settings = settings
        self._tip = tip
        self._environment = environment
        self._file = file

    def last_good(self) -> Found:
        """The release before the declared one, and not a revoked one.

        Raises:
            Stop: There is none.
        """
        declared = self._file.pin
        pin = authoring.last_good(self._pins, declared, self._revoked)
        if pin is not None:
            return Found(pin, (self._tell(pin),))
        raise Stop(
            ExitCode.REFUSED,
            f"there is no release of {self._environment} before run {declared.run_id} to go back to",
            self._known(),
        )

    def of_run(self, run_id: RunId) -> Found:
        """A run with the digest that it was live with; where no memory tells that, that it was declared with.

        What was only declared may be what nobody let in: where a memory knows what was live, that alone counts.

        Raises:
            Stop: It never was.
            PolicyDenied: `Revoked`.
        """
        if pin := authoring.of_run(self._pins, run_id):
            refuse_revoked(self._tip, pin)
            return Found(pin, (self._tell(pin),))
        message = f"run {run_id} was never live in {self._environment}, nor declared for it"
        if authoring.of_run(self._declared, run_id):
            message = f"run {run_id} was declared for {self._environment}, but was never live there"
        raise Stop(ExitCode.REFUSED, message, f"{self._known()}; a new run comes with `reconciler promote`")

    @property
    def _pins(self) -> tuple[Pin, ...]:
        """What may be gone back to, newest first."""
        return self._lived or self._declared

    def _tell(self, pin: Pin) -> str:
        return self._by_memory(pin) if self._lived else self._by_history(pin)

    @cached_property
    def _revoked(self) -> Callable[[Pin], bool]:
        return is_revoked(self._tip)

    @cached_property
    def _attempts(self) -> tuple[Attempt, ...]:
        if not memory.exists(self._settings):
            return ()
        try:
            with memory.opened(self._settings) as store:
                return store.succeeded(self._environment)
        except ReconcilerError as error:
            note(f"note: the memory can't be read: {error.message}")
            return ()

    @cached_property
    def _lived(self) -> tuple[Pin, ...]:
        return tuple(pin for attempt in self._attempts if (pin := _pin(attempt)))

    @cached_property
    def _declared(self) -> tuple[Pin, ...]:
        versions = self._tip.clone.versions(self._tip.commit, self._file.path)
        return authoring.declared_before(self._file.path, versions)

    def _by_memory(self, pin: Pin) -> str:
        at = next(attempt.finished for attempt in self._attempts if _pin(attempt) == pin)
        return authoring.fact("By the memory", f"run {pin.run_id} went live here on {moment(at)}")

    def _by_history(self, pin: Pin) -> str:
        text = f"it declared run {pin.run_id} before; no memory says that it was live"
        return authoring.fact(f"By the history of {self._file.path}", text)

    def _known(self) -> str:
        """Which runs `--to` takes, and which it does not."""
        others = [pin for pin in self._pins if pin.sha256 != self._file.pin.sha256]
        revoked = [pin for pin in others if self._revoked(pin)]
        allowed = [pin for pin in others if pin not in revoked]
        known = f"known are run {_runs(allowed)}: name one with --to" if allowed else ""
        left_out = f"run {_runs(revoked)}: revoked, so not to go back to" if revoked else ""
        nothing = f"nothing else was ever {'live' if self._lived else 'declared'} here"
        return "; ".join(filter(None, (known, left_out))) or nothing


def _runs(pins: Iterable[Pin]) -> str:
    return ", ".join(map(str, list(dict.fromkeys(pin.run_id for pin in pins))[:_NAMED]))


def _pin(attempt: Attempt) -> Pin | None:
    declared = attempt.declared
    return Pin(declared.run_id, declared.sha256) if declared.run_id and declared.sha256 else None


def is_revoked(tip: Tip) -> Callable[[Pin], bool]:
    """Whether the policy at the tip revokes an artifact."""
    rules = rules_at(tip)
    return lambda pin: rules.revoked(pin.run_id, pin.sha256) is not None


def refuse_revoked(tip: Tip, pin: Pin) -> None:
    """See that an artifact may be declared.

    Raises:
        PolicyDenied: `Revoked`: it would be held.
    """
    if is_revoked(tip)(pin):
        message = f"run {pin.run_id}, sha256 {pin.sha256[:12]}, is revoked by the policy on {tip.branch}"
        raise PolicyDenied(Reason.REVOKED, message, "choose another run; the policy file says why it is revoked")
