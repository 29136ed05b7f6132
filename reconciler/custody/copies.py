"""Our own copy of artifacts, by content: what was once proven stays at hand, whatever becomes of CI.

Around any source, and so for every adapter alike: the size limit, hashing while bytes arrive, the total
deadline, and one kind of error. Where the bytes come from is left to the source; what they are is judged
in `core.verify`, anew at each opening, so a copy is never believed either.

    <root>/sha256/ab/<64 hex digits>     whole copies; mode 0400 once they are durable
    <root>/incoming/<64 hex digits>.part what has arrived of others; kept after a fault, and resumed

Order of a download: write, hash, rename it into place, use it, sync the file and its folder, close it to
writing. A crash before the rename leaves a part that is hashed and resumed; after it, a whole copy. A name
below `sha256` never stands for bytes that were not hashed to it, as long as the power stays.

The syncs come behind the first use, because nothing in between relies on them: a target takes its own bytes
from the open file that was hashed, and makes them durable itself before it switches. A power cut in between
may leave a torn copy under its name. It is found when it is next wanted, as every copy is hashed then, and
fetched again. What is given up is small: if CI loses the artifact in the very moment of the power cut, it can't
be repaired from custody. A process that dies in between leaves a copy that is open to writing; the next that
obtains it makes it durable. What custody already has durable is replaced by durable bytes only.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Set
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from reconciler.bounds import Bounds
from reconciler.core.verify import Intake, VerifiedArtifact, verify
from reconciler.custody.guard import Fetch, Guarded, source_fault
from reconciler.custody.part import Part, disk, settle
from reconciler.errors import IntegrityError, PolicyDenied, Reason, ReconcilerError, Terminal, Transient
from reconciler.machine.disk import sync_folder
from reconciler.model import Digest
from reconciler.ports import Clock, Trace

_HEX = re.compile(r"[0-9a-f]{64}")
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class DiskCustody:
    """Copies below one folder of this process's state.

    Args:
        root: Created when the first artifact is fetched.
        bounds: Largest artifact, in bytes; deadline for one download, in seconds.
        clock: For the deadline.
        trace: Called with `custody:<step>` right before each effect on the disk.
    """

    def __init__(self, root: Path, bounds: Bounds, clock: Clock, trace: Trace) -> None:
        self._root = root
        self._bounds = bounds
        self._trace = trace
        self._clock = clock
        self._slots: dict[Digest, _Slot] = {}
        self._slots_lock = Lock()

    @contextmanager
    def obtain(self, digest: Digest, fetch: Fetch, *, anew: bool = False) -> Iterator[VerifiedArtifact]:
        """The artifact, hashed anew from our copy; fetched first when we have none that is whole, or when asked to.

        A hit writes nothing. Two threads that want the same artifact share one download. A copy that is whole stays
        until what is fetched anew is there. When the block ends without a fault, the copy is durable.

        Raises:
            IntegrityError: `DigestMismatch`, when what was fetched has another digest.
            PolicyDenied: `ArtifactTooLarge`, or what the source says.
            Transient: `SourceUnavailable`; `CustodyUnavailable` for our own disk.
        """
        with self._in_use(digest) as slot:
            artifact = None if anew else self._whole(digest)
            if artifact is None:
                with slot.turn:
                    artifact = (None if anew else self._whole(digest)) or self._fetched(digest, fetch)
            with closing(artifact.file):
                try:
                    yield artifact
                except Exception:
                    with suppress(ReconcilerError):  # a fault that is under way says more than this one
                        self._settle(artifact, slot)
                    raise
                self._settle(artifact, slot)

    def holds(self, digest: Digest) -> bool:
        """Whether we have a copy, by a look at its name alone: whether it is whole shows when it is obtained.

        Raises:
            Transient: `CustodyUnavailable`.
        """
        path = self._copy(digest)
        with disk(path):
            return path.is_file() and not path.is_symlink()

    def collect(self, keep: Set[Digest]) -> int:
        """Remove copies and parts of everything but `keep` and what is being obtained right now.

        Returns:
            How many whole copies went.
        """
        with disk(self._root):
            copies = [path for path in self._root.glob("sha256/??/*") if _HEX.fullmatch(path.name)]
            parts = [path for path in self._root.glob("incoming/*.part") if _HEX.fullmatch(path.stem)]
            gone = sum(self._remove_unused(Digest(path.name), path, keep) for path in copies)
            for path in parts:
                self._remove_unused(Digest(path.stem), path, keep)
        return gone

    def _remove_unused(self, digest: Digest, path: Path, keep: Set[Digest]) -> bool:
        # Under the lock that obtain takes to announce itself: it comes before, or finds nothing and fetches.
        with self._slots_lock:
            if digest in keep or digest in self._slots:
                return False
            self._trace("custody:remove")
            path.unlink(missing_ok=True)
            return True

    @contextmanager
    def _in_use(self, digest: Digest) -> Iterator[_Slot]:
        """Keeps `collect` away from one digest; gives the locks of its users, who also bound how many there are."""
        with self._slots_lock:
            slot = self._slots.setdefault(digest, _Slot())
            slot.users += 1
        try:
            yield slot
        finally:
            with self._slots_lock:
                slot.users -= 1
                if not slot.users:
                    del self._slots[digest]

    def _settle(self, artifact: VerifiedArtifact, slot: _Slot) -> None:
        """Make the copy durable unless it is: by its first user who is done, while the others go on."""
        with slot.settling:
            if not artifact.file.closed:  # whoever obtains it next does it otherwise
                settle(artifact.file.fileno(), self._copy(artifact.digest), self._trace)

    def _whole(self, digest: Digest) -> VerifiedArtifact | None:
        """Our copy, open and hashed; None when there is none, or it is not what its name says."""
        path = self._copy(digest)
        with ExitStack() as stack, disk(path):
            if not path.is_file() or path.is_symlink():
                return None
            file = stack.enter_context(os.fdopen(os.open(path, _READ), "rb"))
            try:
                artifact = verify(file, digest, self._bounds.artifact_bytes)
            except (IntegrityError, PolicyDenied):
                return None
            stack.pop_all()  # the file stays open: it goes along with the value that vouches for it
            return artifact

    def _fetched(self, digest: Digest, fetch: Fetch) -> VerifiedArtifact:
        path = self._copy(digest)
        with disk(path):
            if (whole := self._whole(digest)) is not None:
                whole.file.close()
            elif os.path.lexists(path):
                self._trace("custody:remove")
                path.unlink()
            self._prepare(path)
        self._download(digest, fetch)
        artifact = self._whole(digest)
        if artifact is None:
            raise Transient(
                Reason.CUSTODY_UNAVAILABLE,
                f"{path} does not read back as it was written",
                "check the disk: it returns other bytes than it was given",
            )
        return artifact

    def _download(self, digest: Digest, fetch: Fetch) -> None:
        deadline = self._clock.monotonic() + self._bounds.fetch_seconds
        with Part(self._incoming / f"{digest}.part", self._trace) as part:
            try:
                if not self._receive(part, digest, fetch, deadline):
                    # Part of it was ours from an earlier try, perhaps of other bytes: not the artifact's fault.
                    part.restart()
                    self._receive(part, digest, fetch, deadline)
            except (PolicyDenied, Terminal):
                part.remove()
                raise
            part.place(self._copy(digest))

    def _receive(self, part: Part, digest: Digest, fetch: Fetch, deadline: float) -> bool:
        """Append what is missing. False: the whole is wrong, and some of it was there before.

        Raises:
            PolicyDenied, IntegrityError: The whole is wrong, and all of it has just come.
            Transient: The source or our disk failed; what has come stays.
        """
        intake = self._held(part, digest)
        resumed = False
        try:
            with Guarded(fetch, intake.size) as source:
                resumed = source.offset > 0
                if source.offset < intake.size:
                    part.restart()
                    intake = Intake(digest, self._bounds.artifact_bytes)
                for chunk in source:
                    intake.update(chunk)
                    part.write(chunk)
                    self._check(deadline)
            intake.finish()
        except ReconcilerError as verdict:
            if resumed and verdict.reason in (Reason.DIGEST_MISMATCH, Reason.ARTIFACT_TOO_LARGE):
                return False
            raise
        return True

    def _held(self, part: Part, digest: Digest) -> Intake:
        """What an earlier try left, hashed; nothing when it is too large to be of any use."""
        intake = Intake(digest, self._bounds.artifact_bytes)
        try:
            for chunk in part.chunks():
                intake.update(chunk)
        except PolicyDenied:
            part.restart()
            return Intake(digest, self._bounds.artifact_bytes)
        return intake

    def _check(self, deadline: float) -> None:
        if self._clock.monotonic() > deadline:
            raise source_fault(
                f"the download was not done after {self._bounds.fetch_seconds:g} s",
                "it goes on from where it is; if the artifact needs longer, raise bounds.fetch_seconds",
            )

    def _prepare(self, copy: Path) -> None:
        """Folders for a copy and its part; the last one becomes durable together with the copy."""
        for folder in (self._root, self._incoming, copy.parent.parent):
            if not folder.is_dir():
                self._trace("custody:prepare")
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                sync_folder(folder.parent)
        if not copy.parent.is_dir():
            self._trace("custody:prepare")
            copy.parent.mkdir(mode=0o700, exist_ok=True)

    @property
    def _incoming(self) -> Path:
        return self._root / "incoming"

    def _copy(self, digest: Digest) -> Path:
        if not _HEX.fullmatch(digest):  # it becomes a path
            raise ValueError(f"not a digest: {digest!r}")
        return self._root / "sha256" / digest[:2] / digest


@dataclass(slots=True)
class _Slot:
    """Who is at one digest now, whose turn it is to download it, and who makes it durable."""

    turn: Lock = field(default_factory=Lock)
    settling: Lock = field(default_factory=Lock)
    users: int = 0
