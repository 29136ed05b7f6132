"""The operator's settings: `reconciler.yaml` beside the daemon, each value also as `RECONCILER_…`.

What a pull request must not be able to choose stands here: where artifacts may come from, who may build
them, who may approve, which folders may be written. Adapters read their own options; this package only
knows that there are some. Relative paths are meant from the settings file's folder.

Order of precedence: environment variables (`RECONCILER_REPOSITORY__POLL_SECONDS=5`), the file, defaults.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import SettingsError

from reconciler.core.yamltree import Malformed, Tree, parse
from reconciler.errors import Reason, Terminal
from reconciler.settings.model import (
    AuditSettings,
    PluggedSettings,
    RepositorySettings,
    Settings,
    SourceSettings,
    WebSettings,
)
from reconciler.settings.notifying import NotificationSettings, RouteSettings
from reconciler.settings.places import at_home
from reconciler.settings.variables import Variables
from reconciler.settings.words import Teller

__all__ = [
    "ENVIRONMENT_VARIABLE",
    "FILE",
    "AuditSettings",
    "NotificationSettings",
    "PluggedSettings",
    "RepositorySettings",
    "RouteSettings",
    "Settings",
    "SourceSettings",
    "WebSettings",
    "find_file",
    "load",
]

FILE = "reconciler.yaml"
ENVIRONMENT_VARIABLE = "RECONCILER_CONFIG"
_HINT = "docs/settings.md lists every key"


def find_file(named: Path | None) -> Path | None:
    """The settings file in force: the named one, the variable's, the one in this folder, or the machine's."""
    if named is None and (variable := os.environ.get(ENVIRONMENT_VARIABLE)):
        named = Path(variable)
    if named is not None:
        return named
    return next((path for path in (Path(FILE), Path("/etc/reconciler") / FILE) if path.is_file()), None)


def load(named: Path | None) -> Settings:
    """Read and check the settings.

    Raises:
        Terminal: with every problem, by file, line and key, or by variable. `reason` is `InvalidSettings`.
    """
    path = find_file(named)
    tree = Tree({}, {}, {})
    values: dict[str, Any] = {}
    if path is not None:
        tree = _parse(path, _HINT if named else f"{ENVIRONMENT_VARIABLE} names it: unset it, or correct it")
        if not isinstance(tree.root, dict):
            raise _invalid([f"{path}:1:1: found no mapping; wanted the settings by key"])
        values = _anchored(tree.root, path.absolute().parent)
    variables = Variables(os.environ, values)
    if problems := variables.problems():
        raise _invalid(problems)
    try:
        return Settings(**values)
    except ValidationError as invalid:
        raise _invalid(Teller(path, tree, variables).problems(invalid)) from None
    except SettingsError as error:
        raise _invalid([str(error)]) from None


def _parse(path: Path, hint: str) -> Tree:
    try:
        return parse(str(path), path.read_bytes())
    except OSError as error:
        raise _invalid([f"{path}: {error.strerror or error}"], hint) from None
    except Malformed as malformed:
        raise _invalid(list(map(str, malformed.problems))) from None


_PATHS = frozenset(
    {
        *("state", "root", "allowed_signers", "gpg_keyring", "ca_file", "token_file", "key_file"),
        *("webhook_secret_file", "password_file", "url_file"),
    }
)
_PATH_LISTS = frozenset({"roots", "files", "identities"})


def _anchored(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Paths as meant from the settings file's folder, whatever folder the program was started in."""

    def at(value: Any) -> Any:
        return str(folder / at_home(Path(value))) if isinstance(value, str) else value

    def anchor(where: tuple[str, ...], value: Any) -> Any:
        if isinstance(value, dict):
            return {key: anchor((*where, key), item) for key, item in value.items()}
        if where[-1] in _PATHS or where == ("audit", "key") or (where == ("repository", "url") and _is_path(value)):
            return at(value)
        if where[-1] in _PATH_LISTS and isinstance(value, list):
            return [at(item) for item in value]
        if isinstance(value, list):  # of rules
            return [anchor((*where, str(place)), item) for place, item in enumerate(value)]
        return value

    return {key: anchor((key,), value) for key, value in values.items()}


def _is_path(url: Any) -> bool:
    """Whether git would take it for a path: no scheme, and no colon before the first slash as in `host:path`."""
    return isinstance(url, str) and url != "" and ":" not in url.split("/", 1)[0]


def _invalid(problems: list[str], hint: str = _HINT) -> Terminal:
    return Terminal(Reason.INVALID_SETTINGS, "\n".join(problems), hint)
