"""What stands on a target, read anew and without writing a byte.

Tells ours from what is not: a `current` that we never put there is never touched.
"""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from reconciler.machine.disk import Folder
from reconciler.model import (
    Accepted,
    Digest,
    Drift,
    DriftKind,
    EnvironmentName,
    Observation,
    Readiness,
    Release,
    RunId,
    Service,
)
from reconciler.targets import fence, records, service
from reconciler.targets.layout import (
    ACCEPTED,
    CURRENT,
    FENCE,
    MANIFESTS,
    OWN,
    PRIVATE_MODE,
    RELEASES,
    Place,
    ReleaseId,
    not_allowed,
    open_real,
)
from reconciler.targets.manifest import Comparison, Item, Row, kind_of, printable
from reconciler.targets.records import Damaged, Head

MAX_MANIFEST_BYTES = 256 * 1024 * 1024
"""Bytes of one manifest: 100,000 rows with paths of 1,024 bytes and their digests."""


@dataclass(frozen=True, slots=True)
class Link:
    """What `current` is. `release` is where it leads, as far as that can be told; `sound` when it is as we put it."""

    found: str
    release: ReleaseId | None = None
    sound: bool = False
    is_link: bool = False
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Survey:
    """One look at a target."""

    link: Link | None
    accepted: Accepted | None
    own_drift: tuple[Drift, ...]
    """Of the accepted record, the fence and our folder itself: what a next apply mends, or refuses to act on."""
    ours: bool
    """We have driven this target before: it holds a record of ours, readable or not."""
    heads: tuple[Head, ...]
    """Complete releases, the newest installation first."""
    stray: bool
    """Leftovers that a next apply removes: releases without manifest, the other way round, unfinished work."""
    tokens: tuple[str, ...]
    unfinished: bool = False
    """An attempt left something behind, a part of a release or a secret on its way; or a former holder its folder."""
    unproven: tuple[ReleaseId, ...] = ()
    """Releases that are there and have no whole manifest."""
    service: Service | None = None
    service_drift: tuple[Drift, ...] = ()
    """Of what `remember` and `deliver` put there: only they mend it."""

    @property
    def live(self) -> ReleaseId | None:
        """The release that serves, when there is one."""
        return self.link.release if self.link else None

    def head(self, release: ReleaseId | None) -> Head | None:
        """What the manifest of a release says; None without a whole manifest."""
        return next((head for head in self.heads if head.release == release), None)


def look(target: Folder, place: Place, environment: EnvironmentName) -> Survey:
    """Look at a target's folder.

    Raises:
        PolicyDenied: `TargetNotAllowed`: it is not ours, or another environment's.
        Transient: `TargetUnavailable`: a record can't be read, by a fault of the disk.
    """
    names = _release_names(target, place)
    link = _link(target, place, names)
    own = open_real(target, OWN, str(place))
    if own is None:
        found = Survey(link, None, (), False, (), bool(names), ())
    else:
        with own:
            found = _look_at_ours(own, place, link, names)
    _check_ours(found, place, environment)
    return found


def look_again(
    target: Folder, place: Place, found: Survey, token: int, accepted: Accepted | None, heads: tuple[Head, ...]
) -> Survey:
    """A survey brought up to date in our own turn: the link is read anew, and the rest is what was just written."""
    link = _link(target, place, {head.release for head in heads})
    return replace(found, link=link, accepted=accepted, own_drift=(), heads=heads, tokens=(str(token),))


def observation(found: Survey, drift: tuple[Drift, ...]) -> Observation:
    """A survey in the words that the pipeline knows."""
    return Observation(
        live=_live_release(found),
        accepted=found.accepted,
        drift=drift,
        retained=tuple(Release(str(head.release), head.release.run_id, head.sha256) for head in found.heads),
        fence=fence.largest_readable(found.tokens),
        live_since=found.link.since if found.link and found.live else None,
        service=found.service,
    )


def drift(target: Folder, found: Survey, unpack: str, *, thorough: bool) -> tuple[Drift, ...]:
    """In which ways the target is not as we put it: all around the live release, and that path by path."""
    around = drift_around(found, unpack)
    if found.live is None:
        return around
    return (*around, *compare(target, found.live, found.head(found.live), trust_times=not thorough))


def drift_around(found: Survey, unpack: str) -> tuple[Drift, ...]:
    """The same without a look into the live release: the link, the records, the fence, the way of unpacking."""
    link, head = found.link, found.head(found.live)
    differences = [*found.own_drift, *found.service_drift]
    if (link is None and found.ours) or (link is not None and not link.sound):
        shown = link.found if link else "nothing"
        differences.append(Drift(CURRENT, DriftKind.LINK, f"a relative link into {RELEASES}/", shown))
    if head is not None and head.unpack != unpack:
        differences.append(Drift(".", DriftKind.KIND, f"unpack: {unpack}", f"unpack: {head.unpack}"))
    return tuple(differences)


def compare(target: Folder, release: ReleaseId, head: Head | None, *, trust_times: bool) -> tuple[Drift, ...]:
    """In which ways a release's tree differs from its manifest."""
    try:
        rows = manifest_rows(target, head)
    except Damaged as damaged:
        path = f"{OWN}/{MANIFESTS}/{release}.json"
        return (Drift(path, DriftKind.MISSING, "a whole manifest", str(damaged)),)
    return compare_tree(target, release, rows, trust_times=trust_times)[0]


def readiness(target: Folder, found: Survey, run_id: RunId, sha256: Digest) -> Readiness | None:
    """Whether a kept release of an artifact is whole, every byte hashed; None: none is kept.

    Of several the first whole one counts, the newest installation first.
    """
    answer = None
    for head in found.heads:
        if (head.release.run_id, head.sha256) != (run_id, sha256):
            continue
        differences = compare(target, head.release, head, trust_times=False)
        if not differences:
            return Readiness(str(head.release), True)
        answer = answer or Readiness(str(head.release), False, _words(differences))
    return answer or _unproven(found, run_id, sha256)


def _words(differences: Sequence[Drift]) -> str:
    first, more = differences[0], len(differences) - 1
    behind = f", and {more} more" if more else ""
    return f"{first.path} is not as it was put there ({first.kind}: {first.expected}, found {first.found}){behind}"


def _unproven(found: Survey, run_id: RunId, sha256: Digest) -> Readiness | None:
    """A release that is there by its name, and no manifest says what it should hold."""
    for release in found.unproven:
        if (release.run_id, release.prefix) == (run_id, sha256[:12]):
            return Readiness(str(release), False, "its manifest is missing or damaged")
    return None


def manifest_rows(target: Folder, head: Head | None) -> Sequence[Row]:
    """The rows of a release's manifest.

    Raises:
        Damaged: There is none that is whole.
    """
    if head is None:
        raise Damaged("there is none")
    with target.folder(OWN) as own, own.folder(MANIFESTS) as manifests:
        data = manifests.read(f"{head.release}.json", MAX_MANIFEST_BYTES)
    return records.decode_rows(data or b"", head)


def compare_tree(
    target: Folder, release: ReleaseId, rows: Sequence[Row], *, trust_times: bool
) -> tuple[tuple[Drift, ...], list[Item]]:
    """A release's tree against some rows."""
    comparison = Comparison(rows, trust_times=trust_times)
    with target.folder(RELEASES) as releases, releases.folder(str(release)) as tree:
        return comparison.walk(tree), comparison.seen


def _look_at_ours(own: Folder, place: Place, link: Link | None, names: set[ReleaseId]) -> Survey:
    accepted, accepted_drift, ours = _accepted(own)
    tokens, fence_drift, unfinished = _fence(own, place, expected=ours)
    heads, stray = _heads(own, place, names)
    remembered, service_drift = service.read(own)
    return Survey(
        link,
        accepted,
        (*_mode(own), *accepted_drift, *fence_drift),
        ours,
        heads,
        stray or unfinished,
        tokens,
        unfinished=unfinished,
        unproven=tuple(names - {head.release for head in heads}),
        service=remembered,
        service_drift=service_drift,
    )


def _release_names(target: Folder, place: Place) -> set[ReleaseId]:
    """Real folders that are named as our releases are; anything else there is somebody else's."""
    releases = open_real(target, RELEASES, str(place))
    if releases is None:
        return set()
    with releases, os.scandir(releases.fd) as entries:
        found = (ReleaseId.parse(entry.name) for entry in entries if entry.is_dir(follow_symlinks=False))
        return {release for release in found if release is not None}


def _link(target: Folder, place: Place, names: set[ReleaseId]) -> Link | None:
    found = target.lstat(CURRENT)
    if found is None:
        return None
    if not stat.S_ISLNK(found.st_mode):
        return Link(kind_of(found))
    to = target.readlink(CURRENT)
    # Also a link that somebody wrote in another form, absolute say, may lead to a release of ours.
    parent, _, name = posixpath.normpath(posixpath.join(str(place), to)).rpartition("/")
    release = ReleaseId.parse(name) if parent == f"{place}/{RELEASES}" else None
    known = release if release in names else None
    sound = known is not None and to == f"{RELEASES}/{known}"
    # A rename, or a change of its times, keeps st_mtime; nobody can set st_ctime.
    since = datetime.fromtimestamp(max(found.st_mtime, found.st_ctime), UTC)
    return Link(f"a link to {printable(to)}", known, sound, is_link=True, since=since)


def _accepted(own: Folder) -> tuple[Accepted | None, tuple[Drift, ...], bool]:
    """The record, the drift when it can't be read, and whether something stands there at all."""
    if own.lstat(ACCEPTED) is None:
        return None, (), False
    data = own.read(ACCEPTED, records.HEAD_BYTES)
    try:
        return records.decode_accepted(data or b""), (), True
    except Damaged as damaged:
        return None, (Drift(f"{OWN}/{ACCEPTED}", DriftKind.CONTENT, "a whole record", str(damaged)),), True


def _mode(own: Folder) -> tuple[Drift, ...]:
    """Whoever may enter our folder may read secrets and forge records."""
    mode = stat.S_IMODE(os.fstat(own.fd).st_mode)
    return () if mode == PRIVATE_MODE else (Drift(OWN, DriftKind.MODE, f"{PRIVATE_MODE:04o}", f"{mode:04o}"),)


def _fence(own: Folder, place: Place, *, expected: bool) -> tuple[tuple[str, ...], tuple[Drift, ...], bool]:
    """The tokens, the drift among them, and whether an attempt left something behind, or a former holder its folder."""
    fences = open_real(own, FENCE, f"{place}/{OWN}")
    if fences is None:
        return (), fence.drift((), (), expected=expected), False
    with fences:
        tokens = tuple(fences.names())
        folders = [name for name in tokens if fences.is_folder(name)]
        unfinished = len(tokens) > 1
        if len(tokens) == 1 == len(folders):
            with fences.folder(tokens[0]) as work:
                unfinished = bool(work.names())
    return tokens, fence.drift(tokens, folders, expected=expected), unfinished


def _heads(own: Folder, place: Place, names: set[ReleaseId]) -> tuple[tuple[Head, ...], bool]:
    """Whole heads whose release is there, newest first; and whether something has no counterpart."""
    manifests = open_real(own, MANIFESTS, f"{place}/{OWN}")
    if manifests is None:
        return (), bool(names)
    heads = []
    with manifests:
        stored = manifests.names()
        for name in stored:
            release = ReleaseId.parse(name.removesuffix(".json"))
            if release in names and release is not None:
                head = _head(manifests, release)
                heads.extend([head] if head else [])
    heads.sort(key=lambda head: head.sequence, reverse=True)
    return tuple(heads), len(heads) != len(stored) or len(heads) != len(names)


def _head(manifests: Folder, release: ReleaseId) -> Head | None:
    data = manifests.read(f"{release}.json", records.HEAD_BYTES)
    try:
        return records.decode_head(data or b"", release)
    except Damaged:
        return None


def _live_release(found: Survey) -> Release | None:
    live = found.live
    if live is None:
        return None
    head = found.head(live)
    if head is not None:
        return Release(str(live), live.run_id, head.sha256)
    accepted = found.accepted
    if accepted is not None and (accepted.run_id, accepted.sha256[:12]) == (live.run_id, live.prefix):
        return Release(str(live), live.run_id, accepted.sha256)
    # Nothing but the link says what this is: the beginning of a digest equals no whole one, so no gate
    # takes it for proof, and the artifact is looked at again.
    return Release(str(live), live.run_id, Digest(live.prefix))


def _check_ours(found: Survey, place: Place, environment: EnvironmentName) -> None:
    if found.accepted is not None and found.accepted.environment != environment:
        raise not_allowed(
            f"{place} belongs to the environment {found.accepted.environment}, not to {environment}",
            f"give each environment its own target.path; to hand this one over, remove {place}/{OWN}/{ACCEPTED}",
        )
    if found.link is not None and not found.ours and not found.link.sound:
        raise not_allowed(
            f"{place}/{CURRENT} is {found.link.found}: there is something here that was not put here by reconciler",
            f"choose another target.path, or move {place}/{CURRENT} away",
        )
