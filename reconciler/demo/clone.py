"""The clone in which the people of the tour work: they commit, sign, merge and push with plain git.

Isolated from the machine's and the user's own git configuration. What the clone needs stands in its own
configuration, so that a reader may go there and look around: `git -C .demo/engineer log --show-signature`.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
from pathlib import Path

from reconciler.core.declare import FOLDER, POLICY, Declaration, read, with_artifact
from reconciler.demo.folder import DemoFolder, shown
from reconciler.demo.people import Person, cast
from reconciler.demo.programs import run
from reconciler.demo.story import Story
from reconciler.errors import Reason, Terminal
from reconciler.model import CommitId, Digest, EnvironmentName, RunId

BRANCH = "main"
SMUGGLED = "refs/demo/smuggled"
"""Remembers the commit that nobody reviewed, for taking it back."""

_SOAK = re.compile(rb"^( +soak: +)[0-9a-z.]+", re.MULTILINE)


class Clone:
    """What people do in it. What they type is told as it is done."""

    def __init__(self, folder: DemoFolder, story: Story) -> None:
        self._folder = folder
        self._story = story
        self._people = cast(folder)

    # --- the beginning ----------------------------------------------------------------------------

    def create(self) -> None:
        """Make origin and clone, with an empty root commit pushed: the branch that declarations are merged into."""
        init = ("git", "init", "--quiet", f"--initial-branch={BRANCH}", "--template=")
        run((*init, "--bare", str(self._folder.origin)), self._folder.path, _environment())
        run((*init, str(self._folder.clone)), self._folder.path, _environment())
        engineer = self._people.engineer
        for key, value in (
            ("remote.origin.url", str(self._folder.origin)),
            ("remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*"),
            ("user.name", engineer.name),
            ("user.email", engineer.email),
            ("user.signingKey", str(engineer.key)),
            ("commit.gpgSign", "true"),
            ("gpg.format", "ssh"),
            ("gpg.ssh.allowedSignersFile", str(self._folder.allowed_signers)),
            ("core.hooksPath", os.devnull),
            ("advice.detachedHead", "false"),
        ):
            self._git("config", key, value)
        self._git("commit", "--quiet", "--allow-empty", "-m", "Begin")
        self._git("push", "--quiet", "origin", BRANCH)

    def declare(self, files: dict[EnvironmentName, bytes]) -> None:
        """The first declarations: written and signed by the engineer on a branch."""
        self.branch(FOLDER)
        for name, data in files.items():
            path = self.file(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        message = f"Declare {', '.join(files)}"
        self._typed("engineer", "add", FOLDER)
        self._git("add", "--", FOLDER)
        self._typed("engineer", "commit", "-S", "-m", message)
        self._git("commit", "--quiet", "-S", "-m", message)

    # --- what people do ---------------------------------------------------------------------------

    def catch_up(self) -> None:
        """Stand on the branch as it is at the origin.

        Raises:
            Terminal: `InvalidSettings`: somebody's unfinished work is in the way, or somebody rewrote the branch.
        """
        if self._git("status", "--porcelain"):
            message = f"there are changes in {shown(self._folder.clone)} that are not committed"
            raise Terminal(Reason.INVALID_SETTINGS, message, "commit them, or lay them aside with `git stash -u`")
        self._git("switch", "--quiet", BRANCH)
        self._git("fetch", "--quiet", "--prune", "origin")
        if self._git("rev-list", "--max-count=1", f"origin/{BRANCH}..{BRANCH}") and self._git(
            "rev-list", "--max-count=1", f"{BRANCH}..origin/{BRANCH}"
        ):
            raise self._rewritten()
        self._git("merge", "--quiet", "--ff-only", f"origin/{BRANCH}")
        self._git("push", "--quiet", "origin", BRANCH)  # should an interrupted step have merged, and no more

    def branch(self, name: str) -> None:
        """The engineer begins a branch."""
        self._typed("engineer", "switch", "-c", name)
        self._git("switch", "--quiet", "--force-create", name)

    def bump(self, environment: EnvironmentName, run_id: RunId, sha256: Digest) -> None:
        """The engineer changes the two lines, and signs the commit."""
        path = self.file(environment)
        self.edit(path, bumped(path, run_id, sha256), f"Bump {environment} to run {run_id}")

    def edit(self, path: Path, data: bytes, message: str) -> None:
        """The engineer changes one file, and signs the commit."""
        new = not path.exists()
        path.write_bytes(data)
        self._story.typed("engineer", f"$EDITOR {FOLDER}/{path.name}")
        self._git("add", "--", str(path))
        for line in self._git("diff", "--cached", "--unified=0").splitlines():
            if line.startswith(("-", "+")) and not line.startswith(("---", "+++")):
                self._story.faint(f"    {line}")
        if new:
            self._typed("engineer", "add", f"{FOLDER}/{path.name}")
        self._commit(message)

    def merge(self, name: str) -> CommitId:
        """The reviewer merges a branch of this clone with a commit of their own, signed: this is the approval."""
        commit = self._merge(name, name)
        self._git("branch", "--quiet", "--delete", name)
        return commit

    def merge_proposed(self, name: str) -> CommitId:
        """The reviewer merges a branch that somebody pushed.

        Raises:
            Terminal: `InvalidSettings`: it does not go together with what was merged since.
        """
        self._typed("reviewer", "fetch", "origin")
        return self._merge(name, f"origin/{name}")

    def push(self, who: str) -> None:
        """Publish the branch."""
        self._typed(who, "push", "origin", BRANCH)
        self._git("push", "--quiet", "origin", BRANCH)

    def remember_smuggled(self) -> CommitId:
        """The last commit is the one that nobody reviewed."""
        self._git("update-ref", SMUGGLED, "HEAD")
        return CommitId(self._git("rev-parse", "HEAD"))

    def smuggled(self) -> str:
        """The commit that nobody reviewed, abbreviated; empty when there is none, or when a later one replaced it."""
        commit = self._git("for-each-ref", "--format=%(objectname:short=12)", SMUGGLED)
        if commit and self._git("diff", "--name-only", commit, "HEAD", "--", *self._changed_by(commit)):
            self._git("update-ref", "-d", SMUGGLED)
            return ""
        return commit

    def revert_smuggled(self) -> None:
        """The engineer takes it back."""
        commit = self.smuggled()
        self._typed("engineer", "revert", "--no-edit", commit)
        self._git("revert", "--no-edit", commit)
        self._git("update-ref", "-d", SMUGGLED)

    # --- what is there ----------------------------------------------------------------------------

    def proposed(self) -> list[str]:
        """Branches at the origin that wait to be let in."""
        return [name for name in self._pushed(f"--no-merged={BRANCH}") if name != BRANCH]

    def is_let_in(self, name: str) -> bool:
        """Whether a branch at the origin is in the tracked one."""
        return name in self._pushed(f"--merged={BRANCH}")

    def changed_on(self, name: str) -> list[str]:
        """The files, without the folder, that a proposed branch would change."""
        names = self._git("diff", "--name-only", f"{BRANCH}...origin/{name}", "--", FOLDER).splitlines()
        return [path.removeprefix(f"{FOLDER}/") for path in names]

    @property
    def policy(self) -> Path:
        """The rules that are common to all environments."""
        return self._folder.clone / FOLDER / POLICY

    def file(self, environment: EnvironmentName) -> Path:
        """An environment's file."""
        return self._folder.clone / FOLDER / f"{environment}.yaml"

    def declared(self, environment: EnvironmentName) -> tuple[RunId, Digest]:
        """What the file says in the clone.

        Raises:
            Terminal: `InvalidSettings`: there is no such environment. `InvalidDeclaration`: its file can't be read.
        """
        path = self.file(environment)
        if not path.is_file():
            known = ", ".join(sorted(file.stem for file in path.parent.glob("*.yaml") if file.name != POLICY))
            message = f"there is no environment {environment!r}"
            raise Terminal(Reason.INVALID_SETTINGS, message, f"the demo has {known}")
        declaration = _declaration(path)
        return declaration.run_id, declaration.sha256

    def ever_declared(self, sha256: Digest) -> bool:
        """Whether some commit of the branch ever named this digest."""
        return bool(self._git("log", "--format=%h", f"-S{sha256}", BRANCH, "--", FOLDER))

    def _changed_by(self, commit: str) -> list[str]:
        return self._git("diff-tree", "--no-commit-id", "--name-only", "-r", commit).splitlines()

    def _merge(self, name: str, revision: str) -> CommitId:
        message = f"Merge {name}"
        self._git("switch", "--quiet", BRANCH)
        self._typed("reviewer", "merge", "-S", "--no-ff", "-m", message, revision)
        try:
            self._git(*_as(self._people.reviewer), "merge", "--quiet", "-S", "--no-ff", "-m", message, revision)
        except Terminal:
            self._git("reset", "--quiet", "--merge")
            message = f"{name} does not go together with {BRANCH}, which has other lines there since (a merge conflict)"
            hint = "the same command that made the branch (`reconciler promote` or `rollback`) makes it anew"
            raise Terminal(Reason.INVALID_SETTINGS, message, hint) from None
        return CommitId(self._git("rev-parse", "HEAD"))

    def _rewritten(self) -> Terminal:
        """What stands in the clone and what stands at the origin parted: no push that is not forced does that."""
        place = shown(self._folder.clone)
        return Terminal(
            Reason.INVALID_SETTINGS,
            f"{BRANCH} at the origin does not follow the one in {place}: somebody rewrote it",
            f"take it as it is now: git -C {place} switch {BRANCH} && git -C {place} reset --hard origin/{BRANCH}; "
            "why the daemon holds: `reconciler get`",
        )

    def _pushed(self, which: str) -> list[str]:
        return self._git("for-each-ref", which, "--format=%(refname:lstrip=3)", "refs/remotes/origin").splitlines()

    def _commit(self, message: str) -> None:
        self._typed("engineer", "commit", "-S", "-a", "-m", message)
        self._git("commit", "--quiet", "-S", "-a", "-m", message)

    def _typed(self, who: str, *arguments: str) -> None:
        self._story.typed(who, shlex.join(("git", *arguments)))

    def _git(self, *arguments: str) -> str:
        return run(("git", *arguments), self._folder.clone, _environment())


def bumped(path: Path, run_id: RunId, sha256: Digest) -> bytes:
    """An environment file with another run and digest.

    Raises:
        Terminal: `InvalidDeclaration`: it can't be read as it stands.
    """
    _declaration(path)
    return with_artifact(path.name, path.read_bytes(), run_id, sha256)


def retargeted(data: bytes, path: Path) -> bytes:
    """A valid declaration with another target path; every other character kept."""
    declaration = read("", data).declaration
    assert declaration is not None
    return data.replace(declaration.target.path.encode(), _scalar(str(path)).encode(), 1)


def soaking(data: bytes, soak: str) -> bytes:
    """A declaration with another soak; every other character kept."""
    return _SOAK.sub(rb"\g<1>" + soak.encode(), data, count=1)


def digest(path: Path) -> Digest:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return Digest(hashlib.file_digest(file, "sha256").hexdigest())


def _declaration(path: Path) -> Declaration:
    reading = read(str(path), path.read_bytes())
    if reading.declaration is None:
        raise Terminal(Reason.INVALID_DECLARATION, "; ".join(map(str, reading.problems)), "mend the file first")
    return reading.declaration


def _scalar(text: str) -> str:
    """Text as YAML in single quotes, so that no character of a folder's name means anything."""
    return "'" + text.replace("'", "''") + "'"


def _as(person: Person) -> tuple[str, ...]:
    """Options that make git act for somebody else than the clone's owner."""
    values = {"user.name": person.name, "user.email": person.email, "user.signingKey": str(person.key)}
    return tuple(word for key, value in values.items() for word in ("-c", f"{key}={value}"))


def _environment() -> dict[str, str]:
    """Of the user's environment only what git needs to be found; nothing that configures it."""
    passed = {name: os.environ[name] for name in ("PATH", "TMPDIR", "TZ") if name in os.environ}
    isolated = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0"}
    return {**passed, **isolated, "LANG": "C", "HOME": os.devnull}
