"""How what is live runs, as the target remembers it, and the file that delivers config and secrets to it.

Both lie beside the accepted record and are written by `remember` and `deliver` alone: what differs here is mended by
these two, never by installing a release again. Nothing said here shows what was delivered, nor a digest of it.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from reconciler.core.delivery import fingerprint
from reconciler.errors import Reason
from reconciler.machine.disk import Folder
from reconciler.model import Activation, CommitId, Digest, Drift, DriftKind, Failed, RunId, Service
from reconciler.targets import records
from reconciler.targets.layout import ENVIRONMENT, OWN, RECORD_MODE, SERVICE
from reconciler.targets.manifest import kind_of

MAX_ENVIRONMENT_BYTES = 32 * 1024 * 1024
"""Bytes of what is delivered that are looked at: more than 200 config values and 200 secrets come to."""

_SALT = re.compile(r"[0-9a-f]{32}")


def encode(service: Service) -> bytes:
    """What is remembered, as it is stored."""
    return records.seal(
        {
            "version": records.VERSION,
            "salt": service.salt,
            "activation": service.activation and _activation_fields(service.activation),
            "proven": service.proven,
            "back": service.back,
            "good": service.good and records.accepted_fields(service.good),
            "failed": service.failed and _failed_fields(service.failed),
        }
    )


def decode(data: bytes) -> Service:
    """What is remembered. Fields of later versions are passed over; those that are missing stand at their defaults.

    Raises:
        Damaged: It is not whole.
    """
    head = records.unseal(data)
    with records.shape():
        salt = str(head["salt"])
        if not _SALT.fullmatch(salt):
            raise ValueError("no salt")
        activation, good, failed = head.get("activation"), head.get("good"), head.get("failed")
        return Service(
            salt=salt,
            activation=_activation(activation) if activation else None,
            proven=head.get("proven") is True,
            back=head.get("back") is True,
            good=records.accepted_from(good) if good else None,
            failed=_failed(failed) if failed else None,
        )


def read(own: Folder) -> tuple[Service | None, tuple[Drift, ...]]:
    """What is remembered, and in which ways what lies there is not as it was put."""
    service, differences = _remembered(own)
    return service, (*differences, *_delivered(own, service))


def delivers(own: Folder, data: bytes | None) -> bool:
    """Whether just this is delivered."""
    found = own.lstat(ENVIRONMENT)
    if found is None or data is None:
        return found is None and data is None
    if not stat.S_ISREG(found.st_mode) or stat.S_IMODE(found.st_mode) != RECORD_MODE:
        return False
    return found.st_size == len(data) and own.read(ENVIRONMENT, len(data) + 1) == data


def _remembered(own: Folder) -> tuple[Service | None, tuple[Drift, ...]]:
    if own.lstat(SERVICE) is None:
        return None, ()
    data = own.read(SERVICE, records.HEAD_BYTES)
    try:
        return decode(data or b""), ()
    except records.Damaged as damaged:
        return None, (Drift(f"{OWN}/{SERVICE}", DriftKind.CONTENT, "a whole record", str(damaged)),)


def _delivered(own: Folder, service: Service | None) -> tuple[Drift, ...]:
    """The file against what the last activation took. Without one nothing says what it should hold."""
    path, found = f"{OWN}/{ENVIRONMENT}", own.lstat(ENVIRONMENT)
    activation = service.activation if service else None
    wanted = activation.environment if activation else ""
    if found is None:
        return (Drift(path, DriftKind.MISSING, "a file", "nothing"),) if wanted else ()
    if activation and not wanted:
        return (Drift(path, DriftKind.FOREIGN, "nothing", kind_of(found)),)
    if not stat.S_ISREG(found.st_mode):
        return (Drift(path, DriftKind.KIND, "a file", kind_of(found)),)
    mode = stat.S_IMODE(found.st_mode)
    if mode != RECORD_MODE:
        return (Drift(path, DriftKind.MODE, f"{RECORD_MODE:04o}", f"{mode:04o}"),)
    if service and wanted and not _is(own, service.salt, wanted):
        return (Drift(path, DriftKind.CONTENT, "what was delivered", "something else"),)
    return ()


def _is(own: Folder, salt: str, wanted: str) -> bool:
    data = own.read(ENVIRONMENT, MAX_ENVIRONMENT_BYTES)
    return data is not None and fingerprint(salt, data) == wanted


def _activation_fields(activation: Activation) -> Mapping[str, object]:
    return {
        "release": activation.release,
        "declared": activation.declared,
        "secrets": activation.secrets,
        "at": activation.at.isoformat(),
        "environment": activation.environment,
    }


def _activation(head: Mapping[str, Any]) -> Activation:
    return Activation(
        release=str(head["release"]),
        declared=Digest(str(head["declared"])),
        secrets=str(head["secrets"]),
        at=records.when(head["at"]),
        environment=str(head.get("environment", "")),
    )


def _failed_fields(failed: Failed) -> Mapping[str, object]:
    return {
        "commit": failed.commit,
        "declaration": failed.declaration,
        "run_id": failed.run_id,
        "sha256": failed.sha256,
        "reason": failed.reason,
        "message": failed.message,
        "at": failed.at.isoformat(),
    }


def _failed(head: Mapping[str, Any]) -> Failed:
    at: datetime = records.when(head["at"])
    reason = str(head["reason"])
    return Failed(
        commit=CommitId(str(head["commit"])),
        declaration=Digest(str(head["declaration"])),
        run_id=RunId(int(head["run_id"])),
        sha256=Digest(str(head["sha256"])),
        # A later version's reason must not make this one try again what failed.
        reason=Reason(reason) if reason in set(Reason) else Reason.ACTIVATION_FAILED,
        message=str(head["message"]),
        at=at,
    )
