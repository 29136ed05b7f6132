"""A bearer token from where the operator keeps it: read anew at each use, so that rotation needs no restart.

The token itself is in no message; where it should come from is.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from reconciler.sources import layout

_MAX_BYTES = 16 * 1024
_TOKEN = re.compile(r"[\x21-\x7e]+")
"""What RFC 6750 allows and a little more; above all no line break, which would end the header."""


@dataclass(frozen=True, slots=True)
class Credential:
    """Names an environment variable or a file, or neither for a source that is open to all."""

    env: str | None = None
    file: Path | None = None

    def headers(self) -> Mapping[str, str]:
        """The header that shows it.

        Raises:
            Transient: `SourceUnavailable`, when it is not where it should be.
        """
        if self.env is None and self.file is None:
            return {}
        return {"Authorization": f"Bearer {self._token()}"}

    def _token(self) -> str:
        place = f"the environment variable {self.env}" if self.file is None else str(self.file)
        token = (os.environ.get(self.env or "", "") if self.file is None else _read(self.file)).strip()
        if not _TOKEN.fullmatch(token):
            found = "holds characters that no token has" if token else "holds nothing"
            raise layout.unavailable(f"the source's token can't be used: {place} {found}", "put the token there")
        return token


def _read(path: Path) -> str:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise layout.unavailable(f"the source's token can't be read: {path} is not a file")
            return file.read(_MAX_BYTES).decode("ascii", "replace")
    except OSError as error:
        raise layout.unavailable(
            f"the source's token can't be read: {path}: {error.strerror or type(error).__name__}",
            "check token_file in the source's settings, and that the daemon's user may read it",
        ) from None
