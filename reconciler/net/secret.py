"""A secret from where the operator keeps it: read anew at each use, so that rotation needs no restart.

The secret itself is in no message; where it should come from is.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from reconciler.errors import CredentialsNeeded, Transient
from reconciler.net.reach import Unavailable

_MAX_BYTES = 16 * 1024
_TOKEN = re.compile(r"[\x21-\x7e]+")
"""What RFC 6750 allows and a little more; above all no line break, which would end the header."""


def _variable(value: str) -> str:
    if not re.fullmatch(r"[A-Z_][A-Z0-9_]*", value):  # what does not look like a name may be the secret itself
        raise ValueError("the name of a variable: capital letters, digits and _")
    return value


VariableName = Annotated[str, AfterValidator(_variable)]
"""For options that name the variable that holds a secret."""


@dataclass(frozen=True, slots=True)
class Secret:
    """Names an environment variable, or a file, which wins.

    Args:
        what: For messages: `the source's token`.
        unavailable: How a fault is told.
        env: The variable.
        file: The file; a regular one.
        hint: What to check when the file can't be read.
    """

    what: str
    unavailable: Unavailable
    env: str | None = None
    file: Path | None = None
    hint: str = "check the path in the settings, and that the daemon's user may read it"

    @property
    def place(self) -> str:
        """Where it should be, for people."""
        return f"the environment variable {self.env}" if self.file is None else str(self.file)

    def token(self) -> str:
        """One word of printable ASCII, as a header takes it.

        Raises:
            Transient: It is not where it should be, or is none.
        """
        token = self.text().strip()
        if not _TOKEN.fullmatch(token):
            found = "holds characters that no token has" if token else "holds nothing"
            raise self._unusable(found, "put the token there")
        return token

    def text(self) -> str:
        """All of it, for a secret of several lines; with U+FFFD for what is not ASCII.

        Raises:
            Transient: It can't be read. A variable that is not set is the empty text.
        """
        return os.environ.get(self.env or "", "") if self.file is None else self._read(self.file)

    def _unusable(self, found: str, hint: str) -> Transient:
        return CredentialsNeeded.of(self.unavailable(f"{self.what} can't be used: {self.place} {found}", hint))

    def _unreadable(self, why: str) -> Transient:
        return CredentialsNeeded.of(self.unavailable(f"{self.what} can't be read: {why}", self.hint))

    def _read(self, path: Path) -> str:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb") as file:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise self._unreadable(f"{path} is not a file")
                data = file.read(_MAX_BYTES + 1)
        except OSError as error:
            raise self._unreadable(f"{path}: {error.strerror or type(error).__name__}") from None
        if len(data) > _MAX_BYTES:
            raise self._unusable(f"holds more than {_MAX_BYTES} bytes", self.hint)
        return data.decode("ascii", "replace")
