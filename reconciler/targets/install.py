"""One release onto the target: found again, adopted, or unpacked beside the others; and the old ones off.

Everything is prepared in the turn's working folder and appears under `releases/` in one step, when it
is complete, verified and durable. What is live is never changed in place: a damaged live release is
installed again under the next generation's name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from reconciler import archive
from reconciler.bounds import Bounds
from reconciler.core.approve import Approval
from reconciler.core.verify import VerifiedArtifact
from reconciler.errors import Reason, Transient
from reconciler.machine.disk import Disk, Folder
from reconciler.targets import records
from reconciler.targets.fence import Turn
from reconciler.targets.layout import MANIFESTS, OWN, PUBLIC_MODE, RECORD_MODE, RELEASES, ReleaseId
from reconciler.targets.manifest import Comparison, Item
from reconciler.targets.records import Head
from reconciler.targets.survey import Survey, compare, compare_tree, manifest_rows

Unpack = Literal["outer", "inner"]

_MANY = 200
"""Paths from which a thread for the sync pays: what was written is looked at meanwhile."""


def kept(found: Survey, live: ReleaseId, keep: int) -> set[ReleaseId]:
    """Releases that stay: the newest `keep`, the live one, the one that was live before it, and the one that worked.

    Which one was live before is known during a switch; at other times it is the newest beside the live one. The one
    that worked last is what an automatic rollback goes back to, however many failed since.
    """
    order = [head.release for head in found.heads]
    if live not in order:
        order.insert(0, live)
    before = found.live if found.live != live else next((release for release in order if release != live), None)
    good = found.service.good if found.service else None
    worked = [
        head.release
        for head in found.heads
        if good and (head.release.run_id, head.sha256) == (good.run_id, good.sha256)
    ]
    return {live, *order[:keep], *worked[:1], *([before] if before else [])}


class Installer:
    """Works on one target during one turn.

    Args:
        disk: For the effects.
        target: The target's folder.
        turn: The right to act.
        found: How the target stood at the turn's beginning.
        bounds: For reading the archive.
    """

    def __init__(self, disk: Disk, target: Folder, turn: Turn, found: Survey, bounds: Bounds) -> None:
        self._disk = disk
        self._target = target
        self._turn = turn
        self._found = found
        self._bounds = bounds
        self._placed = False
        self._heads = list(found.heads)
        self._stray = found.stray

    def provide(
        self, artifact: VerifiedArtifact, approval: Approval, unpack: Unpack, spool: Path, record: bytes | None
    ) -> ReleaseId:
        """A whole release with this artifact: one that is there, or a new one, durable once `settle` was called.

        Args:
            artifact: What it holds.
            approval: Why.
            unpack: How its files are got out of the artifact.
            spool: A folder for a temporary copy.
            record: The accepted record that follows: written along with a new release, one sync is enough for both.

        Raises:
            Terminal: `ArtifactUnsafe`, `ArtifactTooLarge`. Transient: `TargetUnavailable`.
        """
        wanted = ReleaseId.of(approval.run_id, artifact.digest)
        live = self._found.live
        if live is not None and (live.run_id, live.prefix) == (wanted.run_id, wanted.prefix):
            if self._live_is_whole(live, artifact, unpack):
                return live
            if self._manifest_is_lost(live) and self._adopt(live, artifact, unpack, spool):
                return live
        return self._retained(artifact, wanted, unpack) or self._install(artifact, wanted, unpack, spool, record)

    def settle(self) -> None:
        """Make the names of a new release and its records durable."""
        if not self._placed:
            return
        with (
            self._target.folder(RELEASES) as releases,
            self._target.folder(OWN) as own,
            own.folder(MANIFESTS) as manifests,
        ):
            # A crash here leaves a whole release that is not live: the next apply finds it and checks it.
            self._disk.sync_names("target:settle", (manifests, releases, own))

    def prune(self, live: ReleaseId, keep: int) -> tuple[Head, ...]:
        """Remove releases that are no longer kept, then their manifests, then what has no counterpart.

        Each is first taken off its place in one step, so that no half-removed release can be found there. Gives what
        is left, the newest installation first.
        """
        stay = {str(release) for release in kept(self._found, live, keep)}
        if self._stray or any(str(head.release) not in stay for head in self._heads):
            self._remove_all_but(stay)
        return tuple(head for head in self._heads if str(head.release) in stay)

    def _remove_all_but(self, stay: set[str]) -> None:
        with self._target.folder(RELEASES) as releases:
            for name in releases.names():
                if name not in stay and ReleaseId.parse(name) and releases.is_folder(name):
                    self._turn.discard("target:prune:release", releases, name)
            stay.intersection_update(releases.names())
        with self._target.folder(OWN) as own, own.folder(MANIFESTS) as manifests:
            for name in manifests.names():
                if name.removesuffix(".json") not in stay:
                    self._turn.discard("target:prune:manifest", manifests, name)
        self._turn.clean("target:prune:remove")

    def _live_is_whole(self, live: ReleaseId, artifact: VerifiedArtifact, unpack: Unpack) -> bool:
        head = self._found.head(live)
        if head is None or (head.sha256, head.unpack) != (artifact.digest, unpack):
            return False
        return not compare(self._target, live, head, trust_times=False)

    def _manifest_is_lost(self, live: ReleaseId) -> bool:
        try:
            manifest_rows(self._target, self._found.head(live))
        except records.Damaged:
            return True
        return False

    def _adopt(self, live: ReleaseId, artifact: VerifiedArtifact, unpack: Unpack, spool: Path) -> bool:
        """Take on a live release whose manifest was lost, when every byte of it is the artifact's. No switch."""
        folders = _Folders()
        items: list[Item] = []
        for entry in self._entries(artifact, unpack, spool):
            items.extend(Item.for_folder(path, PUBLIC_MODE) for path in folders.new(entry))
            if not entry.folder:
                digest = hashlib.sha256()
                for chunk in entry.chunks:
                    digest.update(chunk)
                items.append(Item.for_file(entry.path, entry.mode, entry.size, digest.hexdigest()))
        drift, seen = compare_tree(self._target, live, items, trust_times=False)
        if drift:
            return False
        self._record(live, artifact, unpack, seen)
        return True

    def _retained(self, artifact: VerifiedArtifact, wanted: ReleaseId, unpack: Unpack) -> ReleaseId | None:
        """A release with this artifact that is kept, every byte of it hashed anew. Damaged ones are taken off."""
        for head in self._found.heads:
            same = (head.release.run_id, head.sha256, head.unpack) == (wanted.run_id, artifact.digest, unpack)
            if not same or head.release == self._found.live:
                continue
            if not compare(self._target, head.release, head, trust_times=False):
                return head.release
            with self._target.folder(RELEASES) as releases:
                self._turn.discard("target:damaged", releases, str(head.release))
            self._heads.remove(head)
            self._stray = True
        return None

    def _install(
        self, artifact: VerifiedArtifact, wanted: ReleaseId, unpack: Unpack, spool: Path, record: bytes | None
    ) -> ReleaseId:
        """Unpack, verify, make durable with its records, and only then place under `releases/`."""
        disk, work = self._disk, self._turn.work
        with self._target.folder(RELEASES) as releases:
            release = _free(releases, wanted)
            name = str(release)
            # A crash up to the manifest's rename leaves a part of it all in the working folder, to be cleared.
            disk.make_folder("target:unpack", work, name, PUBLIC_MODE)
            with work.folder(name) as tree:
                items = list(self._unpacked(tree, artifact, unpack, spool))
                manifest = self._manifest(release, artifact, unpack, items)
                disk.write_file("target:manifest:write", work, _manifest_name(release), RECORD_MODE, (manifest,))
                if record is not None:
                    self._turn.prepare_accept(record)
                self._sync(tree, items)
            with self._target.folder(OWN) as own, own.folder(MANIFESTS) as manifests:
                # A crash behind it leaves a manifest without a release: it counts for nothing and is replaced.
                disk.move("target:manifest:rename", work, _manifest_name(release), manifests, _manifest_name(release))
            disk.move("target:place", work, name, releases, name)
        self._placed = True
        return release

    def _entries(self, artifact: VerifiedArtifact, unpack: Unpack, spool: Path) -> Iterator[archive.Entry]:
        if unpack == "inner":
            spool.mkdir(parents=True, exist_ok=True)
        return archive.entries(artifact.file, self._bounds, unpack, spool)

    def _unpacked(self, tree: Folder, artifact: VerifiedArtifact, unpack: Unpack, spool: Path) -> Iterator[Item]:
        """Write every entry and say what was written. No link is ever made in the tree, so its paths hold none."""
        folders, write = _Folders(), self._disk.write_file
        for entry in self._entries(artifact, unpack, spool):
            for path in folders.new(entry):
                self._disk.make_folder("target:unpack", tree, path, PUBLIC_MODE)
                yield Item.for_folder(path, PUBLIC_MODE)
            if not entry.folder:
                written = write("target:unpack", tree, entry.path, entry.mode, entry.chunks)
                yield Item.written(entry.path, entry.mode, written)

    def _sync(self, tree: Folder, items: list[Item]) -> None:
        """Make everything in the working folder durable, and see that it is still what was written.

        Each file was made by us, and hashed on its way into it: one whose times, inode, size and mode are those of
        that moment is not read back, for that would only show the same pages of the kernel's memory.
        """
        if len(items) < _MANY:
            self._check(tree, items)
            self._disk.sync_tree("target:sync", self._turn.work)
        else:
            self._disk.sync_tree("target:sync", self._turn.work, lambda: self._check(tree, items))

    def _check(self, tree: Folder, items: list[Item]) -> None:
        drift = Comparison(items, trust_times=True).walk(tree)
        if drift:
            raise Transient(
                Reason.TARGET_UNAVAILABLE,
                f"the disk gave back something else than what was written to it: {drift[0].path}",
                "look at the disk, and at who else may write below .reconciler",
            )

    def _record(self, release: ReleaseId, artifact: VerifiedArtifact, unpack: Unpack, items: list[Item]) -> None:
        data = self._manifest(release, artifact, unpack, items)
        with self._target.folder(OWN) as own, own.folder(MANIFESTS) as manifests:
            self._disk.put_record("target:manifest", self._turn.work, manifests, _manifest_name(release), data)

    def _manifest(self, release: ReleaseId, artifact: VerifiedArtifact, unpack: Unpack, items: list[Item]) -> bytes:
        sequence = max((head.sequence for head in self._found.heads), default=0) + 1
        data = records.encode_manifest(release, artifact.digest, unpack, sequence, sorted(items))
        self._heads.insert(0, records.decode_head(data, release))
        return data


class _Folders:
    """Which folders an archive's entries need, told or implied, each once and parents first."""

    def __init__(self) -> None:
        self._known = {""}

    def new(self, entry: archive.Entry) -> list[str]:
        path = entry.path if entry.folder else entry.path.rpartition("/")[0]
        missing = []
        while path not in self._known:
            self._known.add(path)
            missing.append(path)
            path = path.rpartition("/")[0]
        missing.reverse()
        return missing


def _manifest_name(release: ReleaseId) -> str:
    return f"{release}.json"


def _free(releases: Folder, wanted: ReleaseId) -> ReleaseId:
    """The first generation whose name nothing stands at."""
    generation = 1
    while releases.lstat(str(wanted)) is not None:
        generation += 1
        wanted = ReleaseId(wanted.run_id, wanted.prefix, generation)
    return wanted
