"""Names for completion in a shell: at once or not at all, so neither the settings nor the store are opened for real.

The names are those of the memory, else those of the files below `environments` of the work tree. What goes into a
shell passes the rule for names first: zsh evaluates what it is given.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

_MOST = 20_000
"""Names that are looked at."""
_SEGMENT = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_NAME = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT})*")
_FOLDER, _ENDING, _POLICY = "environments", ".yaml", "policy"
_BUSY_SECONDS = 0.05


def environments(config: Path | None) -> tuple[str, ...]:
    """Every environment that is known, in order; nothing rather than an error."""
    try:
        known = _remembered(config)
    except Exception:  # noqa: BLE001 - a shell that completes must not show a traceback
        known = ()
    try:
        return _proper(known or _declared(Path.cwd()))
    except OSError:
        return ()


def _proper(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({name for name in names if _NAME.fullmatch(name)}))


def _remembered(config: Path | None) -> tuple[str, ...]:
    import sqlite3

    file = _database(config)
    if file is None or not file.is_file():
        return ()
    address = f"{file.absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(address, uri=True, timeout=_BUSY_SECONDS)) as connection:
        rows = connection.execute("SELECT environment FROM statuses LIMIT ?", (_MOST,))
        return tuple(str(name) for (name,) in rows)


def _database(config: Path | None) -> Path | None:
    """Where the settings put the memory; None: on a server."""
    file = _settings_file(config)
    values = _values(file) if file else {}
    folder = file.absolute().parent if file else Path.cwd()
    store = os.environ.get("RECONCILER_STORE") or values.get("store")
    if store:
        scheme, found, path = str(store).partition(":///")
        return Path(path) if found and scheme.startswith("sqlite") else None
    if state := os.environ.get("RECONCILER_STATE"):
        return Path(state).expanduser() / "reconciler.db"
    if state := values.get("state"):
        return folder / Path(str(state)).expanduser() / "reconciler.db"
    home = os.environ.get("XDG_STATE_HOME") or Path("~/.local/state").expanduser()
    return Path(home) / "reconciler" / "reconciler.db"


def _settings_file(config: Path | None) -> Path | None:
    if config is None and (variable := os.environ.get("RECONCILER_CONFIG")):
        config = Path(variable)
    if config is not None:
        return config
    return next(
        (path for path in (Path("reconciler.yaml"), Path("/etc/reconciler/reconciler.yaml")) if path.is_file()), None
    )


def _values(file: Path) -> dict[str, Any]:
    from reconciler.core.yamltree import parse

    root = parse(str(file), file.read_bytes()).root
    return root if isinstance(root, dict) else {}


def _declared(start: Path) -> tuple[str, ...]:
    """Environments that have a file in the work tree; links are not followed."""
    folder = next((place / _FOLDER for place in (start, *start.parents) if (place / _FOLDER).is_dir()), None)
    return tuple(_files(folder)) if folder else ()


def _files(folder: Path) -> Iterator[str]:
    seen = 0
    for place, _, names in os.walk(folder):
        for name in names:
            seen += 1
            if seen > _MOST:
                return
            path = os.path.relpath(os.path.join(place, name), folder)  # noqa: PTH118 - thousands of them
            if path.endswith(_ENDING) and path != _POLICY + _ENDING:
                yield path.removesuffix(_ENDING)
