"""Where everything of one demo is: a single folder, marked as ours, so that it can be removed as a whole.

Order matters at both ends. The marker is the first file, so that whatever a crash leaves is known to be ours;
the word `ready` comes last, so that a demo that was never finished is not taken for one that was.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from reconciler.errors import Reason, Terminal
from reconciler.machine import locks
from reconciler.model import EnvironmentName
from reconciler.settings import ENVIRONMENT_VARIABLE

DEFAULT = Path(".demo")
DIR_VARIABLE = "RECONCILER_DEMO_DIR"

_MARK = "This folder is a demo of reconciler; `reconciler demo down` removes it.\n"
_READY = "ready\n"
_KEPT_VARIABLES = frozenset({ENVIRONMENT_VARIABLE, DIR_VARIABLE})


@dataclass(frozen=True, slots=True)
class DemoFolder:
    """The places in it; `path` is absolute and free of links."""

    path: Path

    @property
    def origin(self) -> Path:
        """The bare repository that the daemon tracks."""
        return self.path / "origin.git"

    @property
    def clone(self) -> Path:
        """The engineer's clone; the reviewer of the tour merges in it, too."""
        return self.path / "engineer"

    @property
    def keys(self) -> Path:
        """Everybody's signing keys."""
        return self.path / "keys"

    @property
    def allowed_signers(self) -> Path:
        """Whose signatures the operator knows."""
        return self.path / "allowed_signers"

    @property
    def runs(self) -> Path:
        """What CI stored."""
        return self.path / "runs"

    @property
    def state(self) -> Path:
        """The daemon's own."""
        return self.path / "state"

    @property
    def settings(self) -> Path:
        """The operator's settings."""
        return self.path / "reconciler.yaml"

    @property
    def log(self) -> Path:
        """What the daemon says."""
        return self.path / "daemon.log"

    @property
    def pid(self) -> Path:
        """The daemon's process."""
        return self.path / "daemon.pid"

    @property
    def service_pid(self) -> Path:
        """The process of the web service."""
        return self.path / "service.pid"

    @property
    def service_log(self) -> Path:
        """What the web service says."""
        return self.path / "service.log"

    @property
    def marker(self) -> Path:
        """Says that the folder is ours, and whether it was finished."""
        return self.path / "DEMO"

    @property
    def live(self) -> Path:
        """The root of all targets."""
        return self.path / "live"

    def target(self, environment: EnvironmentName) -> Path:
        """Where an environment's releases are."""
        return self.live / environment

    def current(self, environment: EnvironmentName) -> Path:
        """The link to the live release."""
        return self.target(environment) / "current"

    def release(self, environment: EnvironmentName) -> str:
        """The live release's name; empty before the first one."""
        try:
            return self.current(environment).readlink().name
        except OSError:
            return ""

    @property
    def exists(self) -> bool:
        """Whether a demo was begun here."""
        return self._mark().startswith(_MARK)

    @property
    def ready(self) -> bool:
        """Whether it was set up to the end."""
        return self._mark() == _MARK + _READY

    def claim(self) -> None:
        """Make the folder ours; what is in it already stays.

        Raises:
            Terminal: `InvalidSettings`: something else is there.
        """
        self.path.mkdir(mode=0o700, exist_ok=True)
        if not self.exists:
            if self._contents():
                message = f"{shown(self.path)} is there already and is no demo"
                raise Terminal(Reason.INVALID_SETTINGS, message, "name another folder with --dir")
            self.marker.write_text(_MARK)

    def clear(self) -> None:
        """Remove what an interrupted start left."""
        self.marker.write_text(_MARK)
        for child in self._contents():
            _remove(child)

    def finish(self) -> None:
        """Everything is set up."""
        self.marker.write_text(_MARK + _READY)

    def remove(self) -> None:
        """Remove all of it, the marker last: what a crash leaves is still known to be ours."""
        self.clear()
        self.marker.unlink()
        self.path.rmdir()

    def expect_ready(self) -> None:
        """For steps that need a demo.

        Raises:
            Terminal: `InvalidSettings`, when there is none here.
        """
        if not self.ready:
            message = f"there is no demo in {shown(self.path)}"
            raise Terminal(Reason.INVALID_SETTINGS, message, "start one with `reconciler demo up`")

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """One step of the tour at a time.

        Raises:
            Terminal: `StateLocked`: another one is under way.
        """
        descriptor = os.open(self.marker, os.O_RDONLY | os.O_CLOEXEC)
        try:
            with locks.taken(descriptor) as ours:
                if not ours or not self.exists:
                    message = f"another demo command is at work in {shown(self.path)}"
                    raise Terminal(Reason.STATE_LOCKED, message, "wait until it has ended")
                yield
        finally:
            os.close(descriptor)

    def _contents(self) -> list[Path]:
        return [child for child in self.path.iterdir() if child != self.marker]

    def _mark(self) -> str:
        try:
            return self.marker.read_text()
        except (OSError, UnicodeDecodeError):
            return ""


def locate(named: Path | None, config: Path | None) -> DemoFolder:
    """The demo that is meant: the named folder, that of the settings in force when they are a demo's, or `.demo`.

    Args:
        named: A folder that was named on the command line.
        config: A settings file that was; else the variable tells.
    """
    variable = os.environ.get(ENVIRONMENT_VARIABLE)
    config = config or (Path(variable) if variable else None)
    if named is None and config is not None:
        beside = DemoFolder(config.resolve().parent)
        if beside.exists:
            return beside
    return DemoFolder((named or DEFAULT).resolve())


def forget_overrides() -> None:
    """The demo is what its settings file says: no variable of this shell may change parts of it."""
    for name in list(os.environ):
        if name.startswith("RECONCILER_") and name not in _KEPT_VARIABLES:
            del os.environ[name]


@contextlib.contextmanager
def faults() -> Iterator[None]:
    """A fault of the disk, reported as one.

    Raises:
        Terminal: `InvalidSettings`, naming the place.
    """
    try:
        yield
    except OSError as error:
        message = f"{error.filename or 'the demo'}: {error.strerror or error}"
        hint = "give the demo a folder that can be written, with --dir"
        raise Terminal(Reason.INVALID_SETTINGS, message, hint) from None


def shown(path: Path) -> str:
    """A path as people would type it here."""
    with contextlib.suppress(ValueError, OSError):  # it is elsewhere, or the folder that this shell is in is gone
        path = path.relative_to(Path.cwd())
    return shlex.quote(str(path))


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
