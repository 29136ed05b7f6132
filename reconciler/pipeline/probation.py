"""The end of a probation: a release that was activated either shows that it is healthy in time, or does not."""

from __future__ import annotations

from dataclasses import replace

from reconciler.core.durations import in_words
from reconciler.errors import Reason
from reconciler.model import (
    Attempt,
    Checked,
    Gate,
    GateResult,
    HealthState,
    Outcome,
    Service,
    Verdict,
)
from reconciler.pipeline.effects import Effects
from reconciler.pipeline.gates import Gates
from reconciler.pipeline.home import Home
from reconciler.pipeline.living import has_failed, on_probation
from reconciler.pipeline.scene import Scene
from reconciler.pipeline.world import Held, gate


def conclude(scene: Scene, effects: Effects) -> bool:
    """Do what the checks decided; True when something changed, and is to be looked at anew.

    Raises:
        Held: The target, or its fence, says no.
        ReconcilerError: `StoreUnavailable`.
    """
    home, word = scene.home, scene.checked
    service = home.observed.service if home else None
    if home is None or word is None or service is None or service.proven or home.observed.accepted is None:
        return False
    if word.state is HealthState.HEALTHY:
        _prove(scene, home, service, word)
        return True
    if word.state is not HealthState.FAILED or has_failed(service, home.observed.accepted):
        return False
    intent = scene.open_intents[0] if scene.open_intents else None
    if service.back and intent is None:
        return False  # told already: what a rollback brought is never rolled back in turn
    gates = Gates(scene.world, scene.fleet, scene.file, home)
    for kept in intent.gates if intent else ():
        gates.keep(kept)
    message = _message(home, word)
    effects.did_not_run(
        intent,
        home,
        gates,
        Held(GateResult(Gate.HEALTH, Verdict.HELD, Reason.HEALTH_CHECK_FAILED, message, (), _HINT)),
        back=service.back,
    )
    return True


def goes_on(intent: Attempt, home: Home | None) -> bool:
    """Whether an intent without an outcome is that of the release on probation: it gets its outcome from the checks."""
    if home is None or home.observed.accepted is None or not on_probation(home):
        return False
    accepted, live = home.observed.accepted, home.observed.live
    declared = (intent.declared.commit, intent.declared.run_id, intent.declared.sha256)
    return declared == (accepted.commit, accepted.run_id, accepted.sha256) and (
        live is not None and (live.run_id, live.sha256) == (accepted.run_id, accepted.sha256)
    )


def _prove(scene: Scene, home: Home, service: Service, word: Checked) -> None:
    """It is healthy: from now on it is what a later one falls back to."""
    accepted = home.observed.accepted
    assert accepted is not None
    failed = None if has_failed(service, accepted) else service.failed
    with gate(Gate.TARGET):
        home.target.remember(replace(service, proven=True, good=accepted, failed=failed), scene.token(home))
    healthy = GateResult(Gate.HEALTH, Verdict.PASSED, evidence=(_in_time(home, word),))
    for intent in scene.open_intents:
        gates = tuple(healthy if one.gate is Gate.HEALTH else one for one in intent.gates)
        scene.close(replace(intent, gates=gates), Outcome.SUCCEEDED, intent.message)


def _in_time(home: Home, word: Checked) -> str:
    activation = home.observed.service.activation if home.observed.service else None
    if activation is None:
        return "healthy"
    return f"healthy {in_words(max(0.0, (word.since - activation.at).total_seconds()))} after it was activated"


def _message(home: Home, word: Checked) -> str:
    live, declaration = home.observed.live, home.reading.declaration if home.reading else None
    within = declaration.health.within if declaration and declaration.health else "its time"
    return f"{live.id if live else 'it'} did not become healthy within {within}: {word.message}"


_HINT = "look at the log of the service; fix it and promote another run, or try this one again with reconciler retry"
