"""What the daemon needs, looked at one by one: each either is there, or comes with what to do about it.

Looks only: whether a folder can be written is asked, not tried, and no store is made.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

from reconciler import wiring
from reconciler.cli import memory, permitted, render
from reconciler.cli.exits import hint_of
from reconciler.cli.render import Cell
from reconciler.core.notifying import Route
from reconciler.core.readable import counted, moment
from reconciler.documents import Document
from reconciler.errors import PolicyDenied, Reason, ReconcilerError
from reconciler.machine import statefolder
from reconciler.model import RunId
from reconciler.notifications.channel import Channel, NotSent
from reconciler.ports import Checkable, Source
from reconciler.settings import Settings, find_file, load
from reconciler.wiring import notifying

GIT_WANTED = (2, 38)
"""The first git that refuses bare repositories hidden in others (`safe.bareRepository`)."""
REMOTE_KINDS = re.compile(r"nfs\d?|cifs|smb\d?|smbfs|9p|afs|ceph|lustre|glusterfs|fuse\..*|ncpfs|coda|gfs2|ocfs2")
"""Types of file systems on which a rename or an fsync may not mean what it means on a local disk."""
_PROGRAM_SECONDS = 10
_NO_RUN = RunId(2**63 - 1)
"""The largest run id there can be, which no CI has come to."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    ok: bool
    message: str
    hint: str = ""


def daemon(config: Path | None) -> Check:
    """Whether a daemon runs for the state folder."""
    settings = load(config)
    if statefolder.running(settings.state):
        return Check("daemon", True, f"runs for {settings.state}")
    return Check("daemon", False, f"none runs for {settings.state}", "start `reconciler run`")


def everything(config: Path | None) -> list[Check]:
    """All of it, as far as the settings allow to look."""
    try:
        settings = load(config)
    except ReconcilerError as error:
        return [Check("settings", False, error.message, hint_of(error, config)), _git()]
    file = find_file(config)
    found = [Check("settings", True, str(file) if file else "none: everything is at its default"), _git()]
    found += _keys(settings)
    found += [_state(settings), _store(settings)]
    found.append(_remote(settings))
    found += _parts(settings)
    if all(check.ok for check in found):  # else what is wrong is told already, and stands in the way
        found += _environments(settings)
    found += _web(settings)
    found += _notifications(settings)
    found += [_root(settings, root) for root in _roots(settings)]
    return found


def document(check: Check) -> Document:
    """One item of the JSON."""
    return {"name": check.name, "ok": check.ok, "message": check.message, "hint": check.hint}


def show(found: list[Check]) -> None:
    """One line each; hints below what failed."""
    width = max(len(check.name) for check in found)
    page = render.Page()
    for check in found:
        first, *rest = check.message.splitlines()
        mark = Cell("ok    ", "good") if check.ok else Cell("failed", "bad")
        page.line(mark, f"   {check.name.ljust(width)}   {first}")
        for line in rest:
            page.line(line, indent=width + 12)
        if not check.ok and check.hint:
            page.line(f"hint: {check.hint}", indent=width + 12)


def _git() -> Check:
    if shutil.which("git") is None:
        return Check("git", False, "not found on the PATH", "install git")
    said = subprocess.run(
        ["git", "--version"],
        env={"PATH": os.environ.get("PATH", os.defpath)},  # no secret is any of its business
        capture_output=True,
        text=True,
        timeout=_PROGRAM_SECONDS,
        check=False,
    )
    numbers = re.search(r"(\d+)\.(\d+)", said.stdout)
    if numbers is None:
        return Check("git", False, "does not tell its version", "install git anew")
    if (int(numbers[1]), int(numbers[2])) < GIT_WANTED:
        wanted = ".".join(map(str, GIT_WANTED))
        return Check("git", False, f"{said.stdout.strip()} is too old", f"install git {wanted} or later")
    return Check("git", True, said.stdout.strip())


def _keys(settings: Settings) -> Iterator[Check]:
    """Programs that the forge checks signatures with."""
    options = settings.forge.options if settings.forge else {}
    for option, program in (("allowed_signers", "ssh-keygen"), ("gpg_keyring", "gpgv")):
        if options.get(option):
            place = shutil.which(program)
            hint = "" if place else f"install {program}: forge.{option} needs it"
            yield Check(program, place is not None, place or "not found on the PATH", hint)


def _state(settings: Settings) -> Check:
    folder = settings.state
    if not folder.exists():
        return _writable("state", _existing(folder), f"{folder} is made at the first start")
    found = folder.stat()
    if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
        message = f"{folder} belongs to uid {found.st_uid} with mode {stat.S_IMODE(found.st_mode):04o}"
        return Check("state", False, message, f"chown it to uid {os.geteuid()}, and chmod it to 0700")
    if kind := _remote_kind(folder):
        return Check("state", False, f"{folder} is on {kind}", "keep the state on a local disk")
    return _writable("state", folder, str(folder))


def _store(settings: Settings) -> Check:
    place = memory.place(settings)
    if not memory.exists(settings):
        return Check("store", True, f"{place} is made at the first start")

    def look() -> str:
        with memory.opened(settings) as store:
            return f"{place} knows {counted(len(store.statuses()), 'environment')}"

    return _asked("store", look)


def _parts(settings: Settings) -> Iterator[Check]:
    """Each adapter alone: whether it takes its options, and whether a source answers."""
    if settings.forge is None:
        yield Check("forge", True, "none: only environments with `approval: none` can change")
    with tempfile.TemporaryDirectory(prefix="reconciler-check-") as scratch:  # nothing is made in the state folder
        for key, make in wiring.makers(settings, Path(scratch)).items():
            yield _asked(key, partial(_part, settings, key, make))


def _part(settings: Settings, key: str, make: Callable[[], object]) -> str:
    """What there is to say of a part that can be made.

    Raises:
        ReconcilerError: It can't, or it does not answer.
    """
    made = make()
    port, _, name = key.partition(".")
    if port == "forge" and settings.forge:
        return f"{settings.forge.type}: {made.check()}" if isinstance(made, Checkable) else settings.forge.type
    if port != "sources":
        return made.check() if isinstance(made, Checkable) else "takes its options"
    plugged = settings.source_settings()[name]
    if isinstance(made, Checkable):
        return f"{plugged.type}: {made.check()}"
    root = plugged.options.get("root")
    if isinstance(root, str) and not Path(root).exists() and settings.state in Path(root).parents:
        return f"{plugged.type}: {root} is made by the first `reconciler publish`"
    _probe(cast("Source", made))
    return f"{plugged.type}: {root or 'it'} answers"


def _probe(source: Source) -> None:
    """Ask for a run: that there is none is an answer.

    Raises:
        ReconcilerError: It does not answer, or not intelligibly.
    """
    try:
        source.run(_NO_RUN)
    except PolicyDenied as denied:
        if denied.reason is not Reason.RUN_NOT_FOUND:
            raise


def _remote(settings: Settings) -> Check:
    branch = settings.repository.branch

    def look() -> str:
        name = f"refs/heads/{branch}"  # by way of git itself, as everything that is read from there is
        tip = wiring.open_repository(settings).references(name).get(name)
        return f"{branch} is at {tip[:12]}" if tip else ""

    found = _asked("repository", look)
    if found.ok and not found.message:
        hint = "push the branch, or correct repository.branch"
        return Check("repository", False, f"it answers, but has no branch {branch!r}", hint)
    return found


def _environments(settings: Settings) -> Iterator[Check]:
    """Whether the operator allows what the environments would run and ask."""
    found = _asked("environments", partial(permitted.look, settings))
    if not found.ok or found.message:
        yield found


def _web(settings: Settings) -> Iterator[Check]:
    """The listener, when there is to be one, and who may read what."""
    web = settings.web
    if web.listen or web.webhook_secret_env or web.webhook_secret_file:
        taken = statefolder.running(settings.state)  # by the very daemon that is to have it
        yield _asked("web", partial(wiring.check_listener, settings, taken=taken))


def _notifications(settings: Settings) -> Iterator[Check]:
    """Each route: whether its address can be used, and whether it took the last message. Nothing is sent."""
    try:
        found = notifying.open_routes(settings)
    except ReconcilerError as error:
        yield Check("notifications", False, f"{error.reason}: {error.message}", error.hint)
        return
    for route, channel in found:
        yield _route(settings, route, channel)


def _route(settings: Settings, route: Route, channel: Channel) -> Check:
    name = f"notifications.{route.name}"
    try:
        kind = channel.check()
    except NotSent as error:
        return Check(name, False, error.message, error.hint)
    failing = _asked(name, partial(_failing, settings, route))
    if not failing.ok or failing.message:
        hint = failing.hint or f"reconciler notify --test {route.name}"
        return Check(name, False, failing.message, hint)
    return Check(name, True, f"{kind}: tells of {', '.join(sorted(route.kinds))} in {', '.join(route.environments)}")


def _failing(settings: Settings, route: Route) -> str:
    """Since when a route takes nothing, and why; empty when it does, or was never asked."""
    if not memory.exists(settings):
        return ""
    with memory.opened(settings) as store:
        told = store.told_route(route.name)
    return f"takes nothing since {moment(told.failed_since)}: {told.failure}" if told and told.failed_since else ""


def _roots(settings: Settings) -> Iterator[Path]:
    for options in settings.target_settings().values():
        roots = options.get("roots")
        if isinstance(roots, list):
            yield from (Path(root) for root in roots)


def _root(settings: Settings, root: Path) -> Check:
    if not root.exists() and settings.state in root.parents:
        return Check("root", True, f"{root} is made at the first deployment")
    if not root.is_dir():
        hint = "make it, or mount it; only roots below the state folder are made by themselves"
        return Check("root", False, f"{root} is no folder", hint)
    if kind := _remote_kind(root):
        return Check("root", False, f"{root} is on {kind}", "releases need a local file system to switch in one step")
    return _writable("root", root, str(root))


def _asked(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, True, look())
    except ReconcilerError as error:
        return Check(name, False, f"{error.reason}: {error.message}", error.hint)


def _writable(name: str, folder: Path, message: str) -> Check:
    if os.access(folder, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        return Check(name, True, message)
    return Check(name, False, f"uid {os.geteuid()} may not write {folder}", "give it the right to write there")


def _existing(path: Path) -> Path:
    return next(place for place in (path, *path.parents) if place.exists())


def _remote_kind(path: Path) -> str:
    """The type of the file system below a path, when it is not a local one (proc(5), mountinfo)."""
    best, kind = "", ""
    try:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    real = str(path.resolve())
    for line in lines:
        before, _, after = line.partition(" - ")
        place = before.split()[4].replace("\\040", " ")
        if len(place) >= len(best) and (real == place or real.startswith(place.rstrip("/") + "/")):
            best, kind = place, after.split()[0]
    return kind if REMOTE_KINDS.fullmatch(kind) else ""
