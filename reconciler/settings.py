"""The operator's settings: `reconciler.yaml` beside the daemon, each value also as `RECONCILER_…`.

What a pull request must not be able to choose stands here: where artifacts may come from, who may build
them, who may approve, which folders may be written. Adapters read their own options; this module only
knows that there are some. Relative paths are meant from the settings file's folder.

Order of precedence: environment variables (`RECONCILER_REPOSITORY__POLL_SECONDS=5`), the file, defaults.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from reconciler.bounds import Bounds
from reconciler.core.declare import ApprovalSpec
from reconciler.core.provenance import ANY, Provenance
from reconciler.core.yamltree import Malformed, Problem, Tree, dotted, parse
from reconciler.errors import Reason, Terminal

FILE = "reconciler.yaml"
ENVIRONMENT_VARIABLE = "RECONCILER_CONFIG"


def default_state() -> Path:
    """Where state is kept when nobody says otherwise."""
    home = os.environ.get("XDG_STATE_HOME") or Path("~/.local/state").expanduser()
    return Path(home) / "reconciler"


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RepositorySettings(_Section):
    """The repository that holds `environments/`."""

    url: str = Field(".", description="path, file://, ssh:// or https:// URL of the repository")
    branch: str = Field("main", description="the tracked branch")
    poll_seconds: float = Field(15.0, ge=0.1, le=86_400, description="seconds between two looks at the remote's tip")
    baseline: str | None = Field(
        None,
        pattern=r"^[0-9a-f]{40}([0-9a-f]{24})?$",
        description="full id of a commit whose declarations are accepted as they are; history before it is not judged",
    )


class PluggedSettings(BaseModel):
    """An adapter by its type; every other key is the adapter's own option."""

    model_config = ConfigDict(frozen=True, extra="allow")

    type: str = Field(description="which adapter: the name of its entry point")

    @property
    def options(self) -> Mapping[str, object]:
        """What the adapter reads."""
        return dict(self.model_extra or {})


class SourceSettings(PluggedSettings):
    """Where artifacts come from, and which runs of it may be promoted."""

    provenance: Provenance = Field(description="what may have produced an artifact; leaving it out allows nothing")


class Settings(BaseSettings):
    """All of them, checked; frozen for the life of the process."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix="RECONCILER_",
        env_nested_delimiter="__",
        nested_model_default_partial_update=True,
    )

    state: Path = Field(default_factory=default_state, description="folder for everything that is kept")
    repository: RepositorySettings = Field(default_factory=RepositorySettings)
    forge: PluggedSettings | None = Field(None, description="who can tell who approved what; none: nothing is approved")
    sources: dict[str, SourceSettings] = Field(default_factory=dict)
    targets: dict[str, dict[str, Any]] = Field(default_factory=dict, description="options per type of target")
    store: str | None = Field(None, description="URL of the memory; left out: SQLite below the state folder")
    new_environments: ApprovalSpec | Literal["none"] = Field(
        default_factory=lambda: ApprovalSpec.model_construct(required=1, from_=None, allow_self=False),
        description="who must let a new environment file in, as nothing stood there before it",
    )
    workers: int = Field(8, ge=1, le=256, description="environments that are worked on at once")
    drift_seconds: float = Field(60.0, ge=0.1, le=86_400, description="seconds between two looks at a converged target")
    stop_seconds: float = Field(30.0, ge=0, le=3_600, description="seconds that a stop waits for passes under way")
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["console", "json"] = "console"
    bounds: Bounds = Field(default_factory=Bounds)

    @field_validator("state")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return Path(os.path.abspath(value.expanduser()))  # noqa: PTH100 - resolve() would follow links

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic-settings passes it
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic-settings passes it
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic-settings passes it
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Variables before the file."""
        return env_settings, init_settings

    @property
    def store_url(self) -> str:
        """Where the memory is."""
        return self.store or f"sqlite:///{self.state / 'reconciler.db'}"

    def source_settings(self) -> Mapping[str, SourceSettings]:
        """The sources; with none set up, a folder of runs below the state folder, which only its owner fills."""
        if self.sources:
            return self.sources
        rules = Provenance(repositories=(ANY,), workflows=(ANY,), branches=(ANY,), events=(ANY,))
        return {
            "ci": SourceSettings.model_validate(
                {"type": "directory", "root": str(self.state / "runs"), "provenance": rules}
            )
        }

    def target_settings(self) -> Mapping[str, Mapping[str, object]]:
        """The targets; with none set up, folders below the state folder."""
        return self.targets or {"directory": {"roots": [str(self.state / "live")]}}


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
        Terminal: with every problem, by file, line and key. `reason` is `InvalidSettings`.
    """
    path = find_file(named)
    tree = Tree({}, {}, {})
    values: dict[str, Any] = {}
    if path is not None:
        tree = _parse(path)
        if not isinstance(tree.root, dict):
            raise _invalid([f"{path}:1:1: found no mapping; wanted the settings by key"])
        values = _anchored(tree.root, path.absolute().parent)
    try:
        return Settings(**values)
    except ValidationError as invalid:
        raise _invalid([_told(path, tree, error) for error in invalid.errors(include_url=False)]) from None


def _parse(path: Path) -> Tree:
    try:
        return parse(str(path), path.read_bytes())
    except OSError as error:
        raise _invalid([f"{path}: {error.strerror or error}"]) from None
    except Malformed as malformed:
        raise _invalid(list(map(str, malformed.problems))) from None


_PATHS = frozenset({"state", "root", "allowed_signers", "gpg_keyring", "ca_file", "token_file"})
_PATH_LISTS = frozenset({"roots"})


def _anchored(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Paths as meant from the settings file's folder, whatever folder the program was started in."""

    def anchor(key: str, value: Any) -> Any:
        if isinstance(value, dict):
            return {inner: anchor(inner, item) for inner, item in value.items()}
        if key in _PATHS and isinstance(value, str):
            return str(folder / Path(value).expanduser())
        if key in _PATH_LISTS and isinstance(value, list):
            return [str(folder / Path(item).expanduser()) if isinstance(item, str) else item for item in value]
        if key == "url" and isinstance(value, str) and value.startswith((".", "~")):
            return str(folder / Path(value).expanduser())
        return value

    return {key: anchor(key, value) for key, value in values.items()}


def _told(path: Path | None, tree: Tree, error: Mapping[str, Any]) -> str:
    where: tuple[str | int, ...] = tuple(error["loc"])
    place = where
    while place and place not in tree.spans and place not in tree.keys:
        place = place[:-1]
    span = tree.keys.get(where) or tree.spans.get(place)
    problem = Problem(
        str(path or "settings"),
        span.line if span else 1,
        span.column if span else 1,
        dotted(where),
        repr(error["input"])[:80] if error["type"] != "missing" else "nothing",
        str(error["msg"]).removeprefix("Input should be ").removeprefix("Value error, "),
    )
    return str(problem)


def _invalid(problems: list[str]) -> Terminal:
    return Terminal(Reason.INVALID_SETTINGS, "\n".join(problems), "docs/settings.md lists every key")
