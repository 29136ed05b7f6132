"""The operator's files of keys, read anew when they change, so that keys are rotated without a restart."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

from reconciler.errors import Reason, Transient
from reconciler.forges.signed_merge import openpgp, signers
from reconciler.forges.signed_merge.people import Roster, roster
from reconciler.forges.signed_merge.signers import Unusable

FILE_BYTES = 16 * 1024**2
"""Largest file of keys: some hundred thousand SSH keys."""

_Stamp = tuple[int, ...]


class KeyFiles:
    """At least one of the two files. Safe to use from several threads."""

    def __init__(self, allowed_signers: Path | None, keyring: Path | None) -> None:
        self.keyring = keyring.absolute() if keyring else None
        self._allowed_signers = allowed_signers.absolute() if allowed_signers else None
        self._lock = threading.Lock()
        self._known: tuple[tuple[_Stamp, ...], Roster] | None = None

    def current(self) -> Roster:
        """Everybody who may sign, as the files stand now.

        Raises:
            Transient: `ForgeUnavailable`: a file can't be read or relied upon.
        """
        try:
            return self.read()
        except Unusable as problem:
            hint = "nothing is approved on the word of this file until it is corrected"
            raise Transient(Reason.FORGE_UNAVAILABLE, str(problem), hint) from None

    def read(self) -> Roster:
        """The same, for who tells a fault of the settings from one of the day.

        Raises:
            Unusable: Names the file, and the line where there is one.
        """
        paths = [path for path in (self._allowed_signers, self.keyring) if path]
        with self._lock:
            stamps = tuple(_stamp(path) for path in paths)
            if self._known is None or self._known[0] != stamps:
                self._known = stamps, self._load()
            return self._known[1]

    def _load(self) -> Roster:
        lines = _content(self._allowed_signers) if self._allowed_signers else b""
        keys = _content(self.keyring) if self.keyring else b""
        return roster(
            signers.parse(str(self._allowed_signers), lines), openpgp.parse(str(self.keyring), keys), (lines, keys)
        )


def _stamp(path: Path) -> _Stamp:
    try:
        found = path.stat()
    except OSError as error:
        raise Unusable(f"{path}: {error.strerror}") from None
    return found.st_dev, found.st_ino, found.st_mode, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _content(path: Path) -> bytes:
    """A regular file that nobody but its owner may write, whole."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise Unusable(f"{path}: not a regular file")
            if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise Unusable(f"{path}: others than its owner may write it (mode {stat.S_IMODE(found.st_mode):04o})")
            content = file.read(FILE_BYTES + 1)
    except OSError as error:
        raise Unusable(f"{path}: {error.strerror}") from None
    if len(content) > FILE_BYTES:
        raise Unusable(f"{path}: larger than {FILE_BYTES} bytes")
    return content
