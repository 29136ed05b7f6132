"""A whole site on the stateful GitHub: pull requests let changes in, Actions runs are the artifacts, one program.

    site = GitHubSite(tmp_path, github)
    site.build(1)
    site.land({PROD: site.declaration("prod", 1)})     # a pull request: approved by the reviewer, merged
    assert site.reconcile()["prod"].ready

The declarations are in `acme/deploy`, the code and its runs in `acme/shop`. What is asked of GitHub goes through the
judge; git and the artifacts' storage are reached directly, as on the real one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import yaml

from reconciler.model import CommitId
from tests.github.plugin import GitHub
from tests.github.state import Account, Artifact, Pull
from tests.site import Program

TOKEN = "GITHUB_TOKEN_OF_THE_TESTS"
METHODS = ("merge", "squash", "rebase")


def file_of(name: str) -> str:
    """Where an environment's declaration is."""
    return f"environments/{name}.yaml"


class GitHubSite(Program):
    """Everything below one folder, approved by pull requests."""

    def __init__(self, folder: Path, github: GitHub) -> None:
        os.environ[TOKEN] = github.token
        self.github = github
        self.hub = github.hub
        self.deploy = self.hub.repository("acme/deploy", folder / "deploy")
        self.shop = self.hub.repository("acme/shop", folder / "shop")
        self.engineer = self.deploy.person("engineer")
        self.reviewer = self.deploy.person("reviewer")
        self.artifacts: dict[int, Artifact] = {}
        self._branches = 0
        access = {"url": github.url, "token_env": TOKEN}
        settings: dict[str, object] = {
            "state": "state",
            "repository": {"url": str(self.deploy.git_url), "poll_seconds": 1},
            "forge": {"type": "github", "repository": "acme/deploy", **access},
            "sources": {
                "ci": {
                    "type": "github-actions",
                    "repository": "acme/shop",
                    **access,
                    "storage_hosts": [self.hub.storage.url.removeprefix("http://")],
                    "provenance": {
                        "repositories": [str(self.shop.id)],
                        "workflows": [".github/workflows/build.yml"],
                    },
                }
            },
            "targets": {"directory": {"roots": ["live"]}},
        }
        super().__init__(folder, settings)

    # --- what CI and people do --------------------------------------------------------------------

    def build(self, run: int, **facts: object) -> Artifact:
        """A run that stored one artifact, `app`: its one file says which run it is of."""
        made = self.shop.run(run, **facts).artifact("app", {"app.txt": f"run {run}\n"})  # type: ignore[arg-type]
        self.artifacts[run] = made
        return made

    def declaration(self, name: str, run: int, **fields: object) -> str:
        """An environment file; further fields as they are."""
        document: dict[str, object] = {
            "version": 1,
            "artifact": {"name": "app", "run_id": run, "sha256": self.artifacts[run].sha256},
            "target": {"type": "directory", "path": str(self.live / name), "keep": 3},
            **fields,
        }
        return yaml.safe_dump(document, sort_keys=False)

    def policy(self, **rules: object) -> dict[str, str]:
        """The policy file, to be landed."""
        return {"environments/policy.yaml": yaml.safe_dump({"version": 1, **rules}, sort_keys=False)}

    def pull(self, files: Mapping[str, str | None], author: Account | None = None, **how: object) -> Pull:
        """A pull request that changes files in one commit."""
        self._branches += 1
        who, branch = author or self.engineer, f"change-{self._branches}"
        self.deploy.push(who, branch, files, "Change", **how)  # type: ignore[arg-type]
        return self.deploy.open_pull(who, branch, title=f"Change {self._branches}")

    def land(self, files: Mapping[str, str | None], method: str = "merge", by: Account | None = None) -> CommitId:
        """Change files through a pull request that the reviewer approved and merged."""
        pull, who = self.pull(files), by or self.reviewer
        self.deploy.review(pull, who, "APPROVED")
        return self.deploy.merge(pull, who, method)

    def declare(self, name: str, run: int, method: str = "merge", **fields: object) -> CommitId:
        """Declare a run for an environment through an approved pull request."""
        return self.land({file_of(name): self.declaration(name, run, **fields)}, method)

    def whole_run(self, release: Path) -> int:
        """The run that a release is of, by all of its files."""
        run = int(release.name.split("-")[0])
        found = {path.relative_to(release).as_posix(): path.read_bytes() for path in release.rglob("*")}
        assert found == {"app.txt": f"run {run}\n".encode()}, release
        return run


__all__ = ["METHODS", "TOKEN", "GitHubSite", "file_of"]
