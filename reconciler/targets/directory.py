"""The directory target: releases beside each other, `current` pointing at the live one.

`observe` looks and never writes. `apply` goes through these steps, in this order; docs/adr/0005 says why:

    fence → clear → unpack → sync → manifest → place → accept → settle → switch → prune

Nothing appears under `releases/` before every byte of it was verified and is durable, and nothing else
than one rename ever changes `current`. Each step can be stopped, and done again. The layout is told in
`layout`, the right to act in `fence`, the installation of one release in `install`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from reconciler.core.approve import Approval
from reconciler.core.declare import Declaration
from reconciler.core.verify import VerifiedArtifact
from reconciler.errors import IntegrityError, Reason
from reconciler.machine.disk import Disk, Folder, faults
from reconciler.model import Digest, EnvironmentName, Observation, Readiness, RunId, Service
from reconciler.ports import Parts, Premises, Target, Targets
from reconciler.targets import fence, records
from reconciler.targets.glance import Glances
from reconciler.targets.install import Installer, kept
from reconciler.targets.layout import (
    CURRENT,
    DISPLACED,
    ENVIRONMENT,
    FENCE,
    MANIFESTS,
    OWN,
    PRIVATE_MODE,
    PUBLIC_MODE,
    RELEASES,
    Place,
    ReleaseId,
    locate,
    normal_roots,
    not_allowed,
    open_real,
)
from reconciler.targets.service import delivers, encode
from reconciler.targets.survey import Survey, drift, drift_around, look, look_again, observation, readiness


class Options(BaseModel):
    """What the operator allows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    roots: tuple[Path, ...] = Field((), description="Folders below which targets may lie; none are allowed by default.")


def create(options: Mapping[str, Any], parts: Parts) -> Targets:
    """Directory targets within the operator's roots.

    A root below our own state directory is made when it is missing; any other is the operator's, and may be
    a disk that is not mounted.

    Raises:
        pydantic.ValidationError: The options are not those above.
        Transient: `TargetUnavailable`: a root below the state directory can't be made.
    """
    roots = normal_roots(Options.model_validate(dict(options)).roots)
    (state,) = normal_roots([parts.state])
    for root in roots:
        if state in root.parents:
            with faults(root):
                root.mkdir(parents=True, exist_ok=True)
    return DirectoryTargets(roots, parts)


class DirectoryTargets:
    """Makes the target of each environment."""

    def __init__(self, roots: tuple[Path, ...], parts: Parts) -> None:
        self._roots = roots
        self._parts = parts
        self._disk = Disk(parts.trace)
        self._glances = Glances()

    def target(self, environment: EnvironmentName, declaration: Declaration) -> Target:
        """See `ports.Targets`."""
        place = locate(self._roots, declaration.target.path)
        with faults(str(place)):
            folder = place.open()
            if folder is not None:
                with folder:
                    pass  # only the way there was to be checked
        return DirectoryTarget(place, environment, declaration, self._disk, self._parts, self._glances)


class DirectoryTarget:
    """One environment's folder."""

    def __init__(
        self,
        place: Place,
        environment: EnvironmentName,
        declaration: Declaration,
        disk: Disk,
        parts: Parts,
        glances: Glances,
    ) -> None:
        self._place = place
        self._environment = environment
        self._keep = declaration.target.keep
        self._unpack = declaration.artifact.unpack
        self._disk = disk
        self._glances = glances
        self._bounds = parts.bounds
        self._spool = parts.state / "directory"

    @property
    def premises(self) -> Premises:
        """See `ports.Target`."""
        path = Path(str(self._place))
        return Premises(current=path / CURRENT, releases=path / RELEASES, environment=path / OWN / ENVIRONMENT)

    def glance(self) -> bytes | None:
        """See `ports.Target`, and `targets.glance` for what it can't see."""
        return self._glances.at(self._place)

    def observe(self, *, thorough: bool = False, around: bool = False) -> Observation:
        """See `ports.Target`."""
        with faults(str(self._place)):
            folder = self._place.open()
            if folder is None:
                return Observation(live=None, accepted=None)
            with folder:
                found = look(folder, self._place, self._environment)
                if around:
                    return observation(found, drift_around(found, self._unpack))
                return observation(found, drift(folder, found, self._unpack, thorough=thorough))

    def readiness(self, run_id: RunId, sha256: Digest) -> Readiness | None:
        """See `ports.Target`."""
        with faults(str(self._place)):
            folder = self._place.open()
            if folder is None:
                return None
            with folder:
                return readiness(folder, look(folder, self._place, self._environment), run_id, sha256)

    def apply(self, artifact: VerifiedArtifact, approval: Approval, token: int) -> Observation:
        """See `ports.Target`."""
        self._check_approval(approval)
        if artifact.digest != approval.sha256:
            raise IntegrityError(
                Reason.DIGEST_MISMATCH,
                f"the approval is for sha256 {approval.sha256}, the artifact has {artifact.digest}",
                "this should not happen: report it with the audit log",
            )
        with faults(str(self._place)):
            before, settled = self._settled(approval, token)
            if settled is not None:
                return settled
            with self._turn(token, before) as (folder, turn):
                found = look(folder, self._place, self._environment)
                installer = Installer(self._disk, folder, turn, found, self._bounds)
                record = None if records.same(found.accepted, approval) else records.encode_accepted(approval, token)
                release = installer.provide(artifact, approval, self._unpack, self._spool, record)
                # Before the switch: after a crash in between an older release than the accepted one is live, never
                # a release that no record accounts for.
                if record is not None:
                    turn.accept(record)
                installer.settle()
                self._switch(folder, turn, found, release)
                heads = installer.prune(release, self._keep)
                accepted = records.decode_accepted(record) if record else found.accepted
                # Not compared once more: `provide` just compared every path, under this same turn.
                found = look_again(folder, self._place, found, token, accepted, heads)
                return observation(found, drift_around(found, self._unpack))

    def accept(self, approval: Approval, token: int) -> None:
        """See `ports.Target`."""
        self._check_approval(approval)
        with faults(str(self._place)), self._turn(token) as (folder, turn):
            if not records.same(look(folder, self._place, self._environment).accepted, approval):
                turn.accept(records.encode_accepted(approval, token))

    def deliver(self, data: bytes | None, token: int) -> None:
        """See `ports.Target`."""
        with faults(str(self._place)):
            if not self._as_wanted(token, lambda own, _: delivers(own, data), nothing_does=data is None):
                with self._turn(token) as (_, turn):
                    turn.deliver(data)

    def remember(self, service: Service, token: int) -> None:
        """See `ports.Target`."""
        with faults(str(self._place)):
            if not self._as_wanted(token, lambda _, found: found.service == service):
                with self._turn(token) as (_, turn):
                    turn.remember(encode(service))

    def _as_wanted(self, token: int, holds: Callable[[Folder, Survey], bool], *, nothing_does: bool = False) -> bool:
        """Whether what is to be put beside the releases is there already: then nothing is written."""
        folder = self._place.open()
        if folder is None:
            return nothing_does
        with folder:
            found = look(folder, self._place, self._environment)
            fence.check(found.tokens, token)
            own = open_real(folder, OWN, str(self._place))
            if own is None:
                return nothing_does
            with own:
                return not found.unfinished and holds(own, found)

    def _check_approval(self, approval: Approval) -> None:
        if approval.environment != self._environment:
            raise not_allowed(
                f"an approval for {approval.environment} was brought to the target of {self._environment}",
                "this should not happen: report it with the audit log",
            )

    def _settled(self, approval: Approval, token: int) -> tuple[Survey | None, Observation | None]:
        """How it stands; and what is told when nothing is to be done. Then nothing is written, not even a token."""
        folder = self._place.open()
        if folder is None:
            return None, None
        with folder:
            found = look(folder, self._place, self._environment)
            fence.check(found.tokens, token)
            head = found.head(found.live)
            if head is None or (head.release.run_id, head.sha256) != (approval.run_id, approval.sha256):
                return found, None
            surplus = {other.release for other in found.heads} - kept(found, head.release, self._keep)
            if found.stray or surplus or not records.same(found.accepted, approval):
                return found, None
            # Every byte is hashed: what the thorough look alone could see must not be called settled here.
            differences = drift(folder, found, self._unpack, thorough=True)
            return found, observation(found, differences) if set(differences) <= set(found.service_drift) else None

    @contextmanager
    def _turn(self, token: int, before: Survey | None = None) -> Iterator[tuple[Folder, fence.Turn]]:
        """The target's folder, made where it is missing, and the right to change what is in it.

        Args:
            token: Ours.
            before: A look of a moment ago; without one we look here, before the first thing is written: is it ours,
                and can it be told who acts here?
        """
        with self._place.create(self._disk) as folder:
            fence.largest((before or look(folder, self._place, self._environment)).tokens)
            self._lay_out(folder)
            with folder.folder(OWN) as own, fence.take_turn(self._disk, own, token) as turn:
                yield folder, turn

    def _lay_out(self, folder: Folder) -> None:
        """The folders that each step below relies on. A crash leaves some of them, empty."""
        disk, step = self._disk, "target:layout"
        if folder.lstat(OWN) is None or folder.lstat(RELEASES) is None:
            disk.make_folder(step, folder, OWN, PRIVATE_MODE)
            disk.make_folder(step, folder, RELEASES, PUBLIC_MODE)
            disk.sync(f"{step}:settle", folder)
        with folder.folder(OWN) as own:
            if stat.S_IMODE(os.fstat(own.fd).st_mode) != PRIVATE_MODE:
                disk.set_mode(f"{step}:mode", own, PRIVATE_MODE)
            missing = [name for name in (MANIFESTS, FENCE, DISPLACED) if own.lstat(name) is None]
            for name in missing:
                disk.make_folder(step, own, name, PRIVATE_MODE)
            if missing:
                disk.sync(f"{step}:settle", own)

    def _switch(self, folder: Folder, turn: fence.Turn, found: Survey, release: ReleaseId) -> None:
        """The one effect that changes what is live."""
        if found.link is not None and found.link.sound and found.live == release:
            return
        if found.link is not None and not found.link.is_link:
            turn.displace(folder, CURRENT)
        turn.check()
        # Even when the process sleeps here and another one takes over: the link's folder is gone then,
        # and the rename below fails.
        self._disk.put_link("target:switch", turn.work, folder, CURRENT, f"{RELEASES}/{release}")
