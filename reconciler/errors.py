"""The taxonomy: every failure carries a stable reason, a hint, and what follows from it.

Three families say what happens next, so that nobody has to guess from an exception's type:
`Transient` is tried again, later and later; `PolicyDenied` holds until a fact changes and is looked
at again at each pass; `Terminal` is not tried again until the declaration changes or an operator
says `retry`. `IntegrityError` is the Terminal that means somebody should look at once.
"""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Stable codes, in the order of the gates that give them. Part of the JSON contract."""

    INVALID_DECLARATION = "InvalidDeclaration"
    BRANCH_REWRITTEN = "BranchRewritten"
    ENVIRONMENT_REMOVED = "EnvironmentRemoved"
    APPROVAL_MISSING = "ApprovalMissing"
    APPROVAL_STALE = "ApprovalStale"
    SELF_APPROVAL = "SelfApproval"
    APPROVER_NOT_ALLOWED = "ApproverNotAllowed"
    FORGE_UNAVAILABLE = "ForgeUnavailable"
    REVOKED = "Revoked"
    SUSPENDED = "Suspended"
    RUN_NOT_FOUND = "RunNotFound"
    RUN_NOT_SUCCESSFUL = "RunNotSuccessful"
    RUN_NOT_ALLOWED = "RunNotAllowed"
    ARTIFACT_MISSING = "ArtifactMissing"
    ARTIFACT_AMBIGUOUS = "ArtifactAmbiguous"
    ARTIFACT_EXPIRED = "ArtifactExpired"
    SOURCE_UNAVAILABLE = "SourceUnavailable"
    NOT_IN_UPSTREAM = "NotInUpstream"
    UPSTREAM_UNHEALTHY = "UpstreamUnhealthy"
    SOAKING = "Soaking"
    FROZEN = "Frozen"
    ACTIVATION_NOT_ALLOWED = "ActivationNotAllowed"
    SECRET_MISSING = "SecretMissing"  # noqa: S105 - a reason, not a secret
    CUSTODY_UNAVAILABLE = "CustodyUnavailable"
    DIGEST_MISMATCH = "DigestMismatch"
    ARTIFACT_UNSAFE = "ArtifactUnsafe"
    ARTIFACT_TOO_LARGE = "ArtifactTooLarge"
    TARGET_NOT_ALLOWED = "TargetNotAllowed"
    TARGET_UNAVAILABLE = "TargetUnavailable"
    FENCED_OFF = "FencedOff"
    DRIFTED = "Drifted"
    ACTIVATION_FAILED = "ActivationFailed"
    HEALTH_CHECK_FAILED = "HealthCheckFailed"
    INVALID_RUN = "InvalidRun"
    RUN_EXISTS = "RunExists"
    REPOSITORY_UNAVAILABLE = "RepositoryUnavailable"
    STORE_UNAVAILABLE = "StoreUnavailable"
    AUDIT_MISMATCH = "AuditMismatch"
    STATE_LOCKED = "StateLocked"
    INVALID_SETTINGS = "InvalidSettings"
    INTERNAL_ERROR = "InternalError"


BAD_BYTES = frozenset({Reason.DIGEST_MISMATCH, Reason.ARTIFACT_UNSAFE, Reason.ARTIFACT_TOO_LARGE})
"""Bytes that failed once fail always: not tried again until the declaration changes or `retry`."""

DID_NOT_RUN = frozenset({Reason.ACTIVATION_FAILED, Reason.HEALTH_CHECK_FAILED})
"""A release that did not come to life: not tried again here until its declaration changes or `retry`."""

WAITS_FOR_PEOPLE = (
    BAD_BYTES
    | DID_NOT_RUN
    | {
        *(Reason.APPROVAL_MISSING, Reason.APPROVAL_STALE, Reason.SELF_APPROVAL, Reason.APPROVER_NOT_ALLOWED),
        *(Reason.REVOKED, Reason.SUSPENDED, Reason.DRIFTED),
    }
)
"""Holds that only a person's next deed opens: nothing is gained by asking the forge every few seconds."""


class ReconcilerError(Exception):
    """A failure that is reported by its reason.

    Args:
        reason: The stable code.
        message: What was found, in one sentence, without secrets.
        hint: What a person can do about it.
    """

    def __init__(self, reason: Reason, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"


class Transient(ReconcilerError):
    """The world was out of reach; the same attempt may pass later. Retried with back-off."""


class CredentialsNeeded(Transient):
    """Credentials are missing, or not enough: it passes once somebody gives better ones."""

    @classmethod
    def of(cls, error: Transient) -> CredentialsNeeded:
        """The same failure, known to be one of credentials."""
        return cls(error.reason, error.message, error.hint)


class PolicyDenied(ReconcilerError):
    """A rule says no to these facts. Nothing is tried; looked at again when facts may have changed."""


class Terminal(ReconcilerError):
    """The same attempt can't pass. Not tried again until the declaration changes or `retry`."""


class IntegrityError(Terminal):
    """Bytes are not what was declared or recorded: tampering, corruption, or a lie on the way."""
