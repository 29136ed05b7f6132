"""Bringing a release to life: what its activation needs, the activation itself, and the checks behind it.

A switch says nothing of what runs. Behind it the release is activated, with config and secrets as they are then, and
is on probation until its first checks pass. What came of it stands on the target, beside what was let in there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from secrets import token_hex

from reconciler.core.declare import Declaration
from reconciler.core.delivery import fingerprint, render, secrets_fingerprint
from reconciler.errors import PolicyDenied, Reason
from reconciler.model import (
    Accepted,
    Activation,
    Checked,
    Drift,
    DriftKind,
    EnvironmentName,
    HealthState,
    Observation,
    Service,
)
from reconciler.pipeline.home import Home
from reconciler.pipeline.world import World
from reconciler.ports import Activator, Check, Checks, Job, Probe, Target

_SALT_BYTES = 16


@dataclass(frozen=True, slots=True)
class Needs:
    """All that an activation is given, read before the switch: what is missing holds while the old release serves."""

    declaration: Declaration
    salt: str
    secrets: str
    """A fingerprint of the values; empty for none."""
    file: bytes | None = field(repr=False)
    """What is delivered as a file; None: nothing is."""
    variables: Mapping[str, str] = field(repr=False)
    """What the process finds in its environment."""
    values: frozenset[str] = field(repr=False)
    """Of the secrets, to be masked."""

    @property
    def environment(self) -> str:
        """The fingerprint of the file; empty for none."""
        return fingerprint(self.salt, self.file) if self.file is not None else ""


def needs(world: World, environment: EnvironmentName, declaration: Declaration, service: Service | None) -> Needs:
    """Ask whether a release may be activated and checked as declared, and read its secrets.

    Raises:
        PolicyDenied: `ActivationNotAllowed`, `SecretMissing`.
    """
    may_run(world, environment, declaration)
    salt = service.salt if service else new_salt()
    values = world.secrets.read(environment, declaration.secrets) if declaration.secrets and world.secrets else {}
    given = {**declaration.config, **values}
    how = declaration.activate.deliver if declaration.activate else "file"
    return Needs(
        declaration,
        salt,
        secrets_fingerprint(salt, values),
        render(given) if given and how != "process" else None,
        given if how != "file" else {},
        frozenset(values.values()),
    )


def new_salt() -> str:
    """For a target that has none yet."""
    return token_hex(_SALT_BYTES)


def may_run(world: World, environment: EnvironmentName, declaration: Declaration) -> None:
    """Ask whether the operator lets an environment be activated and checked as declared.

    Raises:
        PolicyDenied: `ActivationNotAllowed`.
    """
    if declaration.activate:
        _activator(world, declaration).allow(environment, declaration.activate)
    if declaration.health:
        _probe(world, declaration).allow(environment, declaration.health)
    if declaration.secrets and world.secrets is None:
        raise _not_set_up("secrets", "secrets")


def due(declaration: Declaration, observed: Observation, given: Needs | None) -> str:
    """Why what is live must be activated anew; empty when it need not.

    Args:
        declaration: How it is to run.
        observed: What is there.
        given: What it would be given now; None: that can't be told from here, and counts as unchanged.
    """
    live, service = observed.live, observed.service
    if not declaration.is_run or live is None:
        return ""
    activation = service.activation if service else None
    if declaration.activate is None and activation is None:
        return ""  # it was live before anybody asked for its health
    if activation is None or activation.release != live.id:
        return f"{live.id} was not activated yet"
    if declaration.activate is None:
        return ""
    if activation.declared != declaration.activation:
        return "its settings changed"
    return "a secret changed" if given and activation.secrets != given.secrets else ""


def with_unit(world: World, environment: EnvironmentName, home: Home) -> Home:
    """What was observed, with what the activated unit itself says of how it runs.

    Not of one that was never healthy: there the checks decide, and starting it again and again would only put that off.
    """
    declaration, service = home.reading.declaration if home.reading else None, home.observed.service
    activate = declaration.activate if declaration else None
    if activate is None or declaration is None or due(declaration, home.observed, None) or activate.command:
        return home
    if service is None or not service.proven:
        return home
    activator = world.activators.get(activate.kind)
    found = activator.trouble(environment, activate) if activator else ""
    if not found:
        return home
    name = activate.systemd or activate.supervisor or ""
    drift = (*home.observed.drift, Drift(name, DriftKind.UNIT, "running", found))
    return replace(home, observed=replace(home.observed, drift=drift))


def start(
    world: World,
    environment: EnvironmentName,
    target: Target,
    observed: Observation,
    given: Needs,
    token: int,
    *,
    back: bool,
    anew: bool,
) -> tuple[Service, str]:
    """Deliver, activate and remember; returns what is remembered, and what the activation printed.

    Args:
        world: The parts.
        environment: Whose it is.
        target: Where it is live.
        observed: What is there.
        given: What it needs.
        token: Ours.
        back: Whether it is what was gone back to.
        anew: Whether it is a new try of what is declared: what failed before is of no more interest then.

    A crash anywhere in here leaves a release that counts as not activated: the next pass does all of it again.

    Raises:
        Terminal: `ActivationFailed`. PolicyDenied: `FencedOff`. Transient: `TargetUnavailable`.
    """
    declaration, live = given.declaration, observed.live
    assert live is not None
    target.deliver(given.file, token)
    output = ""
    if declaration.activate:
        job = _job(target, environment, live.id, given)
        output = _activator(world, declaration).activate(declaration.activate, job)
    activation = Activation(live.id, declaration.activation, given.secrets, world.clock.now(), given.environment)
    proven = declaration.health is None
    before = observed.service
    service = Service(
        salt=given.salt,
        activation=activation,
        proven=proven,
        back=back,
        good=observed.accepted if proven else before.good if before else None,
        failed=before.failed if before and not anew else None,
    )
    target.remember(service, token)
    return service, output


def keep_good(target: Target, home: Home, salt: str, token: int) -> None:
    """Before the accepted record moves on: remember which declaration worked here last."""
    good, service = last_good(home), home.observed.service
    if home.observed.accepted is None or good is None or (service and service.good == good):
        return
    target.remember(replace(service or Service(salt), good=good), token)


def last_good(home: Home) -> Accepted | None:
    """The declaration that worked here last: the accepted one where it did, or nothing was ever asked of it."""
    observed, service = home.observed, home.observed.service
    accepted, live = observed.accepted, observed.live
    declaration = home.reading.declaration if home.reading else None
    well = accepted and live and declaration and (accepted.run_id, accepted.sha256) == (live.run_id, live.sha256)
    started = declaration is not None and not due(declaration, observed, None)  # else it is another one that is proven
    if well and declaration and (not declaration.is_run or (started and service and service.proven)):
        return accepted
    return service.good if service else None


def checked(checks: Checks, target: Target, environment: EnvironmentName, home: Home) -> Checked | None:
    """What the checks of what is live came to; None where none are asked for, or it was not activated yet."""
    observed, declaration = home.observed, home.reading.declaration if home.reading else None
    asked = declaration is not None and declaration.health is not None and not due(declaration, observed, None)
    asked = asked and _is_live(observed)
    if not asked or declaration is None or declaration.health is None or observed.live is None:
        checks.forget(environment)
        return None
    activation = observed.service.activation if observed.service else None
    since = activation.at if activation else observed.live_since
    if since is None:
        return None
    # Health that is only asked for since the release was live decides about no rollback.
    proven = activation is None or bool(observed.service and observed.service.proven)
    return checks.expect(Check(declaration.health, _job(target, environment, observed.live.id, None), since, proven))


def on_probation(home: Home) -> bool:
    """Whether what is live still has to show that it is healthy, and did not fail to."""
    service, accepted = home.observed.service, home.observed.accepted
    declaration = home.reading.declaration if home.reading else None
    if service is None or service.proven or accepted is None or declaration is None or declaration.health is None:
        return False
    if not _is_live(home.observed) or due(declaration, home.observed, None):
        return False
    return not has_failed(service, accepted)


def unwell(home: Home, word: Checked | None) -> str:
    """Why what is live is not known to run well; empty when it is, or nothing is asked of it."""
    declaration, accepted = home.reading.declaration if home.reading else None, home.observed.accepted
    if accepted and has_failed(home.observed.service, accepted):
        return "it did not come to life"
    if word is None:
        return due(declaration, home.observed, None) if declaration else ""
    if word.state is HealthState.WAITING:
        return "its first checks have not passed yet"
    return "" if word.state is HealthState.HEALTHY else f"it is not healthy: {word.message}"


def unseen(home: Home, word: Checked | None) -> bool:
    """Whether what was healthy before is not asked anew yet, as after a restart: that is no word against it."""
    service = home.observed.service
    proven = service is None or service.activation is None or service.proven
    return word is not None and word.state is HealthState.WAITING and proven


def has_failed(service: Service | None, accepted: Accepted) -> bool:
    """Whether this very declaration is the one that did not work here."""
    failed = service.failed if service else None
    return failed is not None and (failed.commit, failed.declaration) == (accepted.commit, accepted.declaration)


def fell_back(service: Service | None, accepted: Accepted | None) -> bool:
    """Whether what was let in is what was gone back to, also where the process ended in the middle of that."""
    if service is None or accepted is None or service.failed is None or service.good is None:
        return False
    good = service.good
    return not has_failed(service, accepted) and (good.commit, good.declaration) == (
        accepted.commit,
        accepted.declaration,
    )


def was_started(observed: Observation) -> bool:
    """Whether what was let in was live once: it was what an activation started last."""
    accepted, activation = observed.accepted, observed.service.activation if observed.service else None
    if accepted is None or activation is None:
        return False
    started = next((one for one in observed.retained if one.id == activation.release), None)
    return started is not None and (started.run_id, started.sha256) == (accepted.run_id, accepted.sha256)


def _is_live(observed: Observation) -> bool:
    """Whether what is live is what was let in; not so where a switch did not come about."""
    live, accepted = observed.live, observed.accepted
    return accepted is None or (live is not None and (live.run_id, live.sha256) == (accepted.run_id, accepted.sha256))


def _job(target: Target, environment: EnvironmentName, release: str, given: Needs | None) -> Job:
    premises = target.premises
    variables = {"RECONCILER_ENVIRONMENT_FILE": str(premises.environment), **(given.variables if given else {})}
    return Job(environment, premises.releases / release, variables, given.values if given else frozenset())


def _activator(world: World, declaration: Declaration) -> Activator:
    assert declaration.activate is not None
    kind = declaration.activate.kind
    found = world.activators.get(kind)
    if found is None:
        raise _not_set_up(f"activation by {kind}", f"activators.{kind}")
    return found


def _probe(world: World, declaration: Declaration) -> Probe:
    assert declaration.health is not None
    kind = declaration.health.kind
    found = world.probes.get(kind)
    if found is None:
        raise _not_set_up(f"a health check by {kind}", f"probes.{kind}")
    return found


def _not_set_up(what: str, key: str) -> PolicyDenied:
    return PolicyDenied(
        Reason.ACTIVATION_NOT_ALLOWED,
        f"{what} is not set up here",
        f"allow it under {key} in the settings of the daemon, or take it out of the file",
    )
