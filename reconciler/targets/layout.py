"""Where things stand on a directory target, and which places may be one at all.

<path>/current -> releases/<id>       relative, the only thing that a program behind it reads
<path>/releases/<id>/                 the artifact's files, nothing else
<path>/.reconciler/                   0700, ours
    accepted.json                     the last declaration that this target was driven towards
    service.json                      how what is live runs: see `service`
    environment                       0600, config and secrets for what is activated
    manifests/<id>.json               what a release must look like
    fence/<token>/                    the right to act, and the place to prepare each effect: see `fence`
    displaced/<n>                     what stood in the way of `current` and was not ours
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from reconciler.errors import PolicyDenied, Reason, Transient
from reconciler.machine.disk import Disk, Folder
from reconciler.model import Digest, RunId

CURRENT = "current"
RELEASES = "releases"
OWN = ".reconciler"
ACCEPTED = "accepted.json"
SERVICE = "service.json"
ENVIRONMENT = "environment"
MANIFESTS = "manifests"
FENCE = "fence"
DISPLACED = "displaced"

PUBLIC_MODE = 0o755
PRIVATE_MODE = 0o700
RECORD_MODE = 0o600

_RELEASE_ID = re.compile(r"([1-9][0-9]{0,18})-([0-9a-f]{12})(?:\.([1-9][0-9]{0,8}))?")


@dataclass(frozen=True, slots=True)
class ReleaseId:
    """A release's name taken apart: `<run_id>-<first 12 of sha256>[.<generation from 2>]`."""

    run_id: RunId
    prefix: str
    generation: int

    @classmethod
    def parse(cls, text: str) -> ReleaseId | None:
        """None for what can't be a release of ours."""
        match = _RELEASE_ID.fullmatch(text)
        if match is None or match[3] == "1":
            return None
        return cls(RunId(int(match[1])), match[2], int(match[3] or 1))

    @classmethod
    def of(cls, run_id: RunId, sha256: Digest, generation: int = 1) -> ReleaseId:
        """The name for some installation of an artifact."""
        return cls(run_id, sha256[:12], generation)

    def __str__(self) -> str:
        return f"{self.run_id}-{self.prefix}" + (f".{self.generation}" if self.generation > 1 else "")


def not_allowed(message: str, hint: str) -> PolicyDenied:
    """This place may not be touched."""
    return PolicyDenied(Reason.TARGET_NOT_ALLOWED, message, hint)


@dataclass(frozen=True, slots=True)
class Place:
    """A target's path as the allowed root, which the operator vouches for, and the names below it."""

    root: Path
    below: tuple[str, ...]
    path: str
    """The two joined."""

    def __str__(self) -> str:
        return self.path

    def open(self) -> Folder | None:
        """The target's folder, reached through real folders only; None where there is none yet.

        Raises:
            PolicyDenied: `TargetNotAllowed`: something else than a folder is on the way, or another target.
            Transient: the root is missing.
        """
        return self._walk(None)

    def create(self, disk: Disk) -> Folder:
        """The same, and folders that are missing below the root are made."""
        folder = self._walk(disk)
        if folder is None:
            raise FileNotFoundError(str(self))  # somebody removed what was made a moment ago
        return folder

    def _walk(self, disk: Disk | None) -> Folder | None:
        folder, above = self._open_root(), str(self.root)
        for name in self.below:
            with folder:
                if folder.lstat(OWN) is not None:
                    raise not_allowed(f"{self} lies inside of another target, {above}", "choose a path beside it")
                if disk is not None and folder.lstat(name) is None:
                    disk.make_folder("target:create", folder, name, PUBLIC_MODE)
                    disk.sync("target:create:settle", folder)
                inner = open_real(folder, name, above)
            if inner is None:
                return None
            folder, above = inner, f"{above}/{name}"
        return folder

    def _open_root(self) -> Folder:
        try:
            return Folder.at(self.root)
        except FileNotFoundError:
            hint = "create this folder, mount its disk, or correct the roots in the settings"
            raise Transient(Reason.TARGET_UNAVAILABLE, f"the allowed root {self.root} does not exist", hint) from None


def open_real(parent: Folder, name: str, above: str) -> Folder | None:
    """A folder that must be a real one; None where nothing stands.

    Raises:
        PolicyDenied: `TargetNotAllowed`: a link or a file stands there. Whoever put it there could
            otherwise choose where we write.
    """
    try:
        return parent.folder(name)
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        message = f"{above}/{name} is not a real folder but a link or a file"
        raise not_allowed(message, "replace it with a folder, or choose another target.path") from None


def locate(roots: Iterable[Path], path: str) -> Place:
    """The place of a declared path, strictly below an allowed root.

    Raises:
        PolicyDenied: `TargetNotAllowed`.
    """
    wanted = PurePosixPath(path)
    allowed = [root for root in roots if PurePosixPath(root) in wanted.parents]
    if not wanted.is_absolute() or ".." in wanted.parts or not allowed:
        known = ", ".join(map(str, roots)) or "none"
        raise not_allowed(
            f"{path} is not below a root that the operator allows ({known})",
            "choose a target.path below such a root, or have the operator add one: targets, directory, roots",
        )
    root = max(allowed, key=lambda candidate: len(candidate.parts))
    return Place(root, wanted.relative_to(root).parts, str(wanted))


def normal_roots(roots: Iterable[Path]) -> tuple[Path, ...]:
    """Roots as compared with declared paths: absolute, without `.` and `..`."""
    return tuple(Path(os.path.abspath(root)) for root in roots)  # noqa: PTH100  # resolve() would follow links
