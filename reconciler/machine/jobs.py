"""What a program of an environment is, and what it finds in its variables: for activations and checks alike.

A relative program belongs to the release, and stays inside of it. Any other is the machine's. A program gets few of the
daemon's own variables: what else is there may be secrets of other environments.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path

from reconciler.ports import Job

HARMLESS = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR", "XDG_RUNTIME_DIR")
"""What a program gets of the daemon's own variables."""
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where programs are looked for when the daemon itself has no PATH."""


class NoProgram(Exception):
    """It can't be run; the message says why."""


def own_variables() -> dict[str, str]:
    """The daemon's variables that any program may have."""
    return {"PATH": _PATH, **{name: os.environ[name] for name in HARMLESS if name in os.environ}}


def variables(job: Job) -> Mapping[str, str]:
    """All that a program of a job finds in its environment."""
    ours = {"RECONCILER_ENVIRONMENT": job.environment, "RECONCILER_RELEASE": job.folder.name}
    return {**own_variables(), **ours, **job.variables}


def program(name: str, folder: Path) -> str:
    """The absolute path of a program.

    Args:
        name: A path below the release's folder, an absolute path, or a name that is looked for along our PATH.
        folder: The release's.

    Raises:
        NoProgram: There is no such program.
    """
    if "/" not in name:
        found = shutil.which(name, path=own_variables()["PATH"])
        if found is None:
            raise NoProgram(f"no program {name} along the daemon's PATH; ./{name} would be one of the release")
        return found
    path = Path(name) if name.startswith("/") else folder / name
    try:
        real = path.resolve(strict=True)
        if not name.startswith("/") and folder.resolve(strict=True) not in real.parents:
            raise NoProgram(f"{name} leads out of the release")
        mode = real.stat().st_mode
    except (OSError, RuntimeError) as error:  # RuntimeError: links that lead to each other
        raise NoProgram(f"{name}: {getattr(error, 'strerror', None) or 'links in a circle'}") from None
    if not stat.S_ISREG(mode):
        raise NoProgram(f"{name} is not a file")
    if not os.access(real, os.X_OK):
        raise NoProgram(f"{name} is not executable")
    return str(path)
