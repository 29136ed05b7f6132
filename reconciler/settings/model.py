"""The settings' sections: every key, its type, its default and its meaning. Adapters read their own options."""

from __future__ import annotations

import os
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from reconciler.bounds import Bounds
from reconciler.core.declare import ApprovalSpec
from reconciler.core.policyfile import FloorSpec
from reconciler.core.provenance import ANY, Provenance
from reconciler.secretkeeper import SecretSettings
from reconciler.settings.notifying import NotificationSettings
from reconciler.settings.places import at_home

PREFIX = "RECONCILER_"
DELIMITER = "__"

_PLAIN: dict[str, object] = {"true": True, "false": False, **{str(number): number for number in range(21)}}


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
    reverts: bool = Field(
        False,
        description="whether the daemon proposes to declare what runs after an automatic rollback: it pushes a branch "
        "reconciler/revert/…, and opens a pull request where the forge has some; url must allow it to push",
    )
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


class AuditSettings(_Section):
    """How the audit chain is signed, and where what was signed is kept beside the store."""

    key: Path | None = Field(
        None, description="private SSH key that signs checkpoints; left out: one is made below the state folder"
    )
    checkpoint_seconds: float = Field(
        3_600.0, ge=1, le=604_800, description="seconds between two checkpoints, while the log grows"
    )
    anchor: str | None = Field(
        None,
        pattern=r"^refs/[^/]+/.+$",
        description="reference in the repository that checkpoints are pushed to; none: they are in the store alone",
    )

    @field_validator("key")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        return value and Path(os.path.abspath(at_home(value)))  # noqa: PTH100 - resolve() would follow links


class WebSettings(_Section):
    """The HTTP listener: pages and API, probes, metrics and webhooks."""

    listen: str | None = Field(
        "127.0.0.1:8080",
        pattern=r"^(\[[0-9A-Fa-f:.]+\]|[^\[\]:/@\s]+):[0-9]{1,5}$",
        description="host:port to listen on, 127.0.0.1:8080 or [::1]:8080; null: nothing listens",
    )
    url: str | None = Field(
        None,
        pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$",
        description="where people reach the pages, https://deploy.example.com, when something stands in front",
    )
    token_env: str | None = Field(
        None,
        pattern=r"^[A-Z_][A-Z0-9_]*$",  # what does not look like a name may be the token itself
        description="the variable that holds the token that pages and API ask for",
    )
    token_file: Path | None = Field(
        None, description="the file that holds such tokens, one a line; each of them counts"
    )
    trusted_header: str | None = Field(
        None,
        pattern=r"^[A-Za-z][A-Za-z0-9-]{0,63}$",
        description="the header in which a proxy in front says who asks, X-Forwarded-User; none: no proxy is believed",
    )
    trusted_proxies: tuple[str, ...] = Field(
        (), max_length=100, description="addresses or networks of that proxy, 10.0.0.5 or 10.0.0.0/24"
    )
    event_clients: int = Field(
        64, ge=1, le=200, description="clients that follow /events at once: every open page is one"
    )
    webhook_secret_env: str | None = Field(
        None,
        pattern=r"^[A-Z_][A-Z0-9_]*$",  # what does not look like a name may be the secret itself
        description="the variable that holds the secret of GitHub's webhook; none: webhooks are not taken",
    )
    webhook_secret_file: Path | None = Field(
        None,
        description="the file that holds the secrets of GitHub's webhook, one a line; each of them counts",
    )

    metrics: Literal["environments", "totals", "none"] = Field(
        "environments",
        description="what /metrics tells: environments, each beside the totals; totals alone; or none, no such page",
    )

    @field_validator("webhook_secret_file", "token_file")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        return value and Path(os.path.abspath(at_home(value)))  # noqa: PTH100 - resolve() would follow links

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for one in value:
            try:
                ip_network(one, strict=False)
            except ValueError:
                raise ValueError("addresses or networks, such as 10.0.0.5 or 10.0.0.0/24") from None
        return value

    @property
    def chosen(self) -> bool:
        """Whether somebody wrote where to listen; else a port in use is no mistake of theirs."""
        return "listen" in self.model_fields_set


class Settings(BaseSettings):
    """All of them, checked; frozen for the life of the process."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=PREFIX,
        env_nested_delimiter=DELIMITER,
        env_ignore_empty=True,
        nested_model_default_partial_update=True,
    )

    state: Path = Field(default_factory=default_state, description="folder for everything that is kept")
    repository: RepositorySettings = Field(
        default_factory=RepositorySettings, description="the repository that holds the declarations"
    )
    forge: PluggedSettings | None = Field(None, description="who can tell who approved what; none: nothing is approved")
    sources: dict[str, SourceSettings] = Field(
        default_factory=dict,
        description="where artifacts come from, by name; none: the folder runs below the state folder",
    )
    targets: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="options per type of target; none: the folder live below the state folder"
    )
    activators: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="what may start releases, by type; none: nothing may"
    )
    secrets: SecretSettings = Field(
        default_factory=SecretSettings, description="which secrets which environments may use; none: no secrets"
    )
    probes: dict[str, dict[str, Any]] = Field(default_factory=dict, description="what health checks may ask, by type")
    store: str | None = Field(None, description="URL of the memory; left out: SQLite below the state folder")
    new_environments: ApprovalSpec | Literal["none"] = Field(
        default_factory=lambda: ApprovalSpec.model_construct(required=1, from_=None, allow_self=False),
        description="who must let a new environment file in, as nothing stood there before it",
    )
    audit: AuditSettings = Field(default_factory=AuditSettings, description="signed checkpoints of the audit log")
    web: WebSettings = Field(
        default_factory=WebSettings, description="the HTTP listener: pages and API, probes, metrics and webhooks"
    )
    notifications: NotificationSettings = Field(
        default_factory=NotificationSettings, description="who is told of what, by Slack, Teams, e-mail or webhook"
    )
    floors: tuple[FloorSpec, ...] = Field(
        (), max_length=100, description="the operator's floor: approvals that no file or policy can go below"
    )
    workers: int = Field(8, ge=1, le=256, description="environments that are worked on at once")
    drift_seconds: float = Field(
        300.0, ge=0.1, le=86_400, description="seconds between two looks at a converged target"
    )
    drift_watch: bool = Field(True, description="true or false: whether targets are also watched for changes")
    drift_repairs: int = Field(
        6, ge=0, le=3_600, description="repairs of drift in one environment and hour; above it, drift is only reported"
    )
    rehash_seconds: float = Field(
        21_600.0, ge=1, le=31_536_000, description="seconds between two times that all of a release is read again"
    )
    stop_seconds: float = Field(30.0, ge=0, le=3_600, description="seconds that a stop waits for passes under way")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="debug, info, warning or error: from which level on the log tells"
    )
    log_format: Literal["console", "json"] = Field(
        "console", description="console or json: lines for people, or one object a line"
    )
    bounds: Bounds = Field(default_factory=Bounds, description="limits on what comes from outside")

    @field_validator("state")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return Path(os.path.abspath(at_home(value)))  # noqa: PTH100 - resolve() would follow links

    @field_validator("new_environments", mode="before")
    @classmethod
    def _from_variables(cls, value: object) -> object:
        """A variable holds text, and the rules of environment files take a number or a boolean for no text."""
        if not isinstance(value, dict):
            return value
        return {key: _PLAIN.get(item, item) if isinstance(item, str) else item for key, item in value.items()}

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
