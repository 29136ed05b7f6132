"""What the operator says about GitHub: whom to ask, for which repository, as whom."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from reconciler.net import VariableName, origin

GITHUB_COM = "https://api.github.com"


def _repository(value: str) -> str:
    if value.rpartition("/")[2] in (".", ".."):
        raise ValueError("no name of a repository")
    return value


_Repository = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,99}/[A-Za-z0-9._-]{1,100}$"),
    AfterValidator(_repository),
]


class _Options(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", hide_input_in_errors=True)


class AppOptions(_Options):
    """A GitHub App, as it is installed for the repository's owner."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,100}$")] | Annotated[int, Field(ge=1)] = Field(
        description="the App's client ID or App ID"
    )
    installation: int = Field(ge=1, description="the number at the end of the installation's address")
    key_env: VariableName | None = Field(None, description="the environment variable that holds its private key, PEM")
    key_file: Path | None = Field(None, strict=False, description="the file that holds its private key, PEM")

    @model_validator(mode="after")
    def _one_key(self) -> Self:
        if (self.key_env is None) == (self.key_file is None):
            raise ValueError("app: one of key_env and key_file")
        return self


class GitHubOptions(_Options):
    """Base of the options of every adapter that asks GitHub."""

    repository: _Repository = Field(description="the repository at GitHub, as owner/name")
    url: str = Field(GITHUB_COM, description="address of the API; for GitHub Enterprise Server https://host/api/v3")
    token_env: VariableName | None = Field(None, description="the environment variable that holds a token")
    token_file: Path | None = Field(None, strict=False, description="the file that holds it")
    app: AppOptions | None = Field(None, description="a GitHub App, instead of a token")
    ca_file: Path | None = Field(None, strict=False, description="certificates of the authorities to trust, in PEM")
    proxy: str | None = Field(None, description="address of the proxy to use; none is taken from the environment")

    @model_validator(mode="after")
    def _sound(self) -> Self:
        home = origin(self.url)
        if "?" in self.url or "#" in self.url:
            raise ValueError("url: a query or a fragment is never sent; leave it out")
        if sum(one is not None for one in (self.token_env, self.token_file, self.app)) != 1:
            raise ValueError("exactly one of token_env, token_file and app")
        if home.scheme == "http" and not home.loopback:
            raise ValueError("url: a token over http can be read on the way; use https")
        return self
