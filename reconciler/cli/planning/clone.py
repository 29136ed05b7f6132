"""A clone of the repository on this machine, which knows branches and commits that the remote may not have."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from reconciler.cli.exits import ExitCode, Stop
from reconciler.model import CommitId

_GIT_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Clone:
    """A clone of the repository on this machine, and where its objects are."""

    folder: Path
    git_dir: Path

    @classmethod
    def at(cls, folder: Path) -> Clone:
        """The clone that a folder is in.

        Raises:
            Stop: It is in none.
        """
        found = _git(folder, "rev-parse", "--path-format=absolute", "--git-common-dir")
        if found is None:
            hint = "go into your clone of the repository with the declarations, or name it with --repo DIR"
            raise Stop(ExitCode.USAGE, f"{folder.absolute()} is in no git repository", hint)
        return cls(folder, Path(found))

    def commit(self, revision: str) -> CommitId:
        """The full name of a commit.

        Raises:
            Stop: The clone knows no such revision.
        """
        found = _git(self.folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
        if found is None:
            hint = "name a branch, a tag or a commit of it; fetch it first when it is on a server"
            raise Stop(ExitCode.USAGE, f"{revision!r} is no commit of the clone at {self.folder}", hint)
        return CommitId(found)


def _git(folder: Path, *arguments: str) -> str | None:
    """One question to the user's own git about their own clone; None for a no."""
    argv = ("git", "-C", str(folder), *arguments)
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=_GIT_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Stop(ExitCode.FAILED, f"git could not be asked about {folder}: {type(error).__name__}") from None
    return done.stdout.strip() if done.returncode == 0 else None
