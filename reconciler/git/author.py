"""Commits in a person's own clone, made and pushed as that person: their identity, keys, credentials, push hooks.

Work tree, index and current branch are never touched: a commit is put together in an index of its own, in a
folder that goes away again, and pushed by its name. What stays in the clone are objects, and the remote's
branches as git itself remembers them after a fetch and a push. The hardened environment of `command` is for the
daemon's mirror; here git is to find all that the person has set up, and only what would point it elsewhere
(`GIT_DIR` …) is taken away.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

from reconciler.bounds import Bounds
from reconciler.core.yamltree import MAX_BYTES
from reconciler.errors import Reason, Transient
from reconciler.git import objects
from reconciler.git.remote import shown, tip_of
from reconciler.model import BlobId, Commit, CommitId, TreeEntry

MAX_COMMITS = 20
"""Commits of a proposal that are looked at; ours has one."""

_ELSEWHERE = (
    *("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR", "GIT_NAMESPACE", "GIT_GRAFT_FILE"),
    *("GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_SHALLOW_FILE", "GIT_QUARANTINE_PATH"),
    *("GIT_REPLACE_REF_BASE", "GIT_ICASE_PATHSPECS", "GIT_GLOB_PATHSPECS", "GIT_NOGLOB_PATHSPECS", "GIT_TRACE"),
)
_PLUMBING = tuple(
    word
    for setting in (
        f"core.hooksPath={os.devnull}",
        "core.splitIndex=false",
        "core.fsmonitor=false",
        "index.sparse=false",
    )
    for word in ("-c", setting)
)
"""For commands on objects: an index of our own is nobody's event, and leaves nothing beside the real one."""


class Trouble(StrEnum):
    """What kind of thing went wrong, for whoever turns it into an exit code."""

    NO_CLONE = "no clone"
    IDENTITY = "identity"
    MOVED = "moved"
    CREDENTIALS = "credentials"
    OTHER = "other"


class AuthorFailed(Transient):
    """Git said no in a person's clone."""

    def __init__(self, trouble: Trouble, message: str, hint: str = "") -> None:
        super().__init__(Reason.REPOSITORY_UNAVAILABLE, message, hint)
        self.trouble = trouble


class Clone:
    """A person's clone of the repository that holds the declarations.

    Args:
        folder: Anywhere in it.
        remote: The name of the remote in it.
        bounds: Deadlines, and the most changes of one file that are looked back at.

    Raises:
        AuthorFailed: `folder` is in no clone, or the clone has no such remote.
    """

    def __init__(self, folder: Path, remote: str, bounds: Bounds) -> None:
        self._folder = folder
        self._remote = remote
        self._bounds = bounds
        if not folder.is_dir() or self._ask("rev-parse", "--git-dir").returncode != 0:
            hint = "go into your clone of the repository with the declarations, or name it with --repo DIR"
            raise AuthorFailed(Trouble.NO_CLONE, f"{folder.absolute()} is in no git repository", hint)
        top = self._ask("rev-parse", "--show-toplevel")  # fails in a bare clone, which will do, too
        place = top if top.returncode == 0 else self._ask("rev-parse", "--absolute-git-dir")
        self._folder = Path(os.fsdecode(place.stdout.removesuffix(b"\n")))
        names = objects.text(self._git("remote")).split("\n")
        if remote not in names:
            known = ", ".join(filter(None, names)) or "none"
            message = f"the clone at {self._folder} has no remote {remote!r}; it has: {known}"
            raise AuthorFailed(Trouble.NO_CLONE, message, "name one with --remote")

    # --- what is there ----------------------------------------------------------------------------

    def fetch(self, branch: str) -> CommitId | None:
        """A branch as the remote has it now, made readable here. None: there is no such branch."""
        reference = f"refs/heads/{branch}"
        (tip, *_) = (*tip_of(self._network("ls-remote", "--", self._remote, reference), branch), None)
        if tip is not None:
            options = ("--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance")
            self._network("fetch", *options, "--recurse-submodules=no", "--", self._remote, reference)
        return tip

    def tree(self, commit: CommitId, folder: str) -> dict[str, TreeEntry]:
        """Every path below a folder, relative to it."""
        listing = self._git("ls-tree", "-r", "-z", "--full-tree", commit, "--", folder)
        return dict(objects.tree_entries(listing, folder))

    def read(self, entries: Sequence[TreeEntry]) -> dict[BlobId, bytes | None]:
        """Contents; None stands for a file that is larger than any declaration may be."""
        found: dict[BlobId, bytes | None] = {}
        batch = objects.Batch("blob", MAX_BYTES, lambda name, data: found.__setitem__(BlobId(name), data))
        names = dict.fromkeys(entry.blob for entry in entries)
        if names:
            batch.feed(self._git("cat-file", "--batch", stdin="".join(f"{name}\n" for name in names).encode()))
        return found

    def versions(self, tip: CommitId, path: str) -> list[bytes]:
        """A file as the branch had it, newest first; what was no file of a declaration's size is left out."""
        options = ("-z", "--raw", "--no-abbrev", "--no-renames", "--no-notes", "--no-mailmap", "--no-ext-diff")
        walk = ("--first-parent", "-m", "--full-history", "--topo-order", "--root")
        limit = f"--max-count={self._bounds.changes}"
        log = self._git("log", *walk, limit, "--no-show-signature", *options, objects.HISTORY_FORMAT, tip, "--", path)
        entries = [change.after for change in objects.changes(log, path) if change.after]
        files = [entry for entry in entries if entry.mode in ("100644", "100755")]
        contents = self.read(files)
        return [data for entry in files if (data := contents.get(entry.blob)) is not None]

    def brought(self, base: CommitId, head: CommitId) -> list[Commit]:
        """Commits of `head` that `base` has not, newest first; one more than `MAX_COMMITS` when there are more."""
        listing = self._git("rev-list", "--topo-order", f"--max-count={MAX_COMMITS + 1}", head, f"^{base}")
        return [self.commit(CommitId(name)) for name in listing.decode("ascii", "replace").split()]

    def commit(self, name: CommitId) -> Commit:
        """One commit."""
        return objects.commit(name, self._git("cat-file", "commit", name))

    def changed(self, commit: Commit) -> frozenset[str]:
        """Paths that a commit changed against its first parent."""
        options = ("-r", "-z", "--name-only", "--no-commit-id", "--no-renames")
        listing = self._git("diff-tree", *options, commit.parents[0], commit.id)
        return frozenset(objects.text(listing).split("\0")[:-1])

    def tree_of(self, commit: CommitId) -> str:
        """The name of a commit's tree: the same for the same content."""
        return self._git("rev-parse", "--verify", "--end-of-options", f"{commit}^{{tree}}").decode("ascii").strip()

    def signs(self) -> bool:
        """Whether this person signs commits; `commit-tree` does not ask the configuration by itself."""
        return self._ask("config", "--type=bool", "--get", "commit.gpgSign").stdout.strip() == b"true"

    def identify(self) -> None:
        """See that git knows who writes here.

        Raises:
            AuthorFailed: It does not.
        """
        for who in ("GIT_AUTHOR_IDENT", "GIT_COMMITTER_IDENT"):
            self._git("var", who)

    # --- what is made -----------------------------------------------------------------------------

    def write_tree(self, base: CommitId, files: Mapping[str, bytes]) -> str:
        """The tree of `base` with other content in some files, each with the mode that it had."""
        with tempfile.TemporaryDirectory(prefix="reconciler-author-") as folder:
            index = Path(folder) / "index"
            self._git("read-tree", base, index=index)
            for path, data in files.items():
                blob = self._git("hash-object", "-w", "--stdin", stdin=data).decode("ascii").strip()
                entry = self.tree(base, path).get("")
                mode = entry.mode if entry else "100644"
                self._git("update-index", "--add", "--cacheinfo", f"{mode},{blob},{path}", index=index)
            return self._git("write-tree", "--missing-ok", index=index).decode("ascii").strip()

    def commit_tree(self, base: CommitId, tree: str, message: str, *, sign: bool) -> CommitId:
        """A commit on `base` that nothing refers to yet."""
        how = ("-S",) if sign else ("--no-gpg-sign",)
        done = self._ask("commit-tree", "-p", base, *how, "-F", "-", tree, stdin=message.encode())
        if done.returncode == 0:
            return CommitId(done.stdout.decode("ascii").strip())
        failed = self._failed("commit-tree", done)
        if not sign or failed.trouble is not Trouble.OTHER:
            raise failed
        words = f"git could not sign the commit: {_last_words(objects.text(done.stderr))}"
        hint = "commit.gpgsign is true: see that user.signingkey names a key that you have here (`git commit -S`)"
        raise AuthorFailed(Trouble.IDENTITY, words, hint)

    def push(self, commit: CommitId, branch: str, expected: CommitId | None) -> None:
        """Make the remote's branch this commit, if it is still as it was seen: another commit, or not there.

        Raises:
            AuthorFailed: Somebody moved the branch meanwhile, or may push where this person may not.
        """
        reference = f"refs/heads/{branch}"
        lease = f"--force-with-lease={reference}:{expected or ''}"
        options = ("--quiet", "--porcelain", "--no-follow-tags", "--recurse-submodules=no")
        done = self._run("push", *options, lease, "--", self._remote, f"{commit}:{reference}", seconds=self._far)
        if done.returncode == 0:
            return
        verdict = next((line[1:].strip() for line in objects.text(done.stdout).split("\n") if line[:1] == "!"), "")
        words = verdict.rpartition("\t")[2]
        if any(sign in words + objects.text(done.stderr) for sign in _MOVED):
            message = f"somebody moved {branch} at {self._remote} just now ({words}); nothing was pushed"
            raise AuthorFailed(Trouble.MOVED, message, "the same command again looks anew")
        raise self._failed("push", done, words)

    # --- git --------------------------------------------------------------------------------------

    @property
    def _far(self) -> float:
        return self._bounds.git_seconds

    def _network(self, *arguments: str) -> bytes:
        """A command that talks to the remote, within its deadline."""
        done = self._run(*arguments, seconds=self._far)
        if done.returncode != 0:
            raise self._failed(arguments[0], done)
        return done.stdout

    def _git(self, *arguments: str, stdin: bytes = b"", index: Path | None = None) -> bytes:
        done = self._ask(*arguments, stdin=stdin, index=index)
        if done.returncode != 0:
            raise self._failed(arguments[0], done)
        return done.stdout

    def _ask(
        self, *arguments: str, stdin: bytes = b"", index: Path | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        return self._run(*_PLUMBING, *arguments, stdin=stdin, index=index, seconds=self._bounds.git_local_seconds)

    def _run(
        self, *arguments: str, seconds: float, stdin: bytes = b"", index: Path | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """One git process. With a terminal it stays in its session, as git and ssh ask for passwords there."""
        alone = not sys.stdin.isatty()
        pipe, argv = subprocess.PIPE, ("git", *arguments)
        try:
            process = subprocess.Popen(
                argv, cwd=self._folder, env=_environment(alone, index),
                stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=alone,
            )  # fmt: skip
        except OSError as error:
            raise AuthorFailed(Trouble.OTHER, f"git could not be started: {error.strerror}", "install git") from None
        with process:
            try:
                out, complaint = process.communicate(stdin, timeout=seconds)
            except subprocess.TimeoutExpired:
                name = next(word for word in arguments if word[0] != "-" and "=" not in word)
                message = f"git {name} did not end within {seconds:g} s"
                raise AuthorFailed(Trouble.OTHER, message, "is the server reachable from here?") from None
            finally:
                _end(process, alone)
        return subprocess.CompletedProcess(argv, process.returncode, out, complaint)

    def _failed(self, command: str, done: subprocess.CompletedProcess[bytes], words: str = "") -> AuthorFailed:
        said = objects.text(done.stderr)
        for signs, trouble, message, hint in _KNOWN:
            if any(sign in said for sign in signs):
                told = message.format(remote=self._remote, words=_last_words(said))
                return AuthorFailed(trouble, told, hint.format(remote=self._remote))
        told = "; ".join(filter(None, (words, _last_words(said)))) or f"ended with {done.returncode}"
        return AuthorFailed(Trouble.OTHER, f"git {command}: {told}", _HINTS.get(command, ""))


_MOVED = ("stale info", "fetch first", "non-fast-forward", "cannot lock ref", "reference already exists")
"""What git says of a branch that is not any more as it was seen."""
_KNOWN = (
    (
        ("tell me who you are", "empty ident name", "auto-detect email", "no name was given", "no email was given"),
        Trouble.IDENTITY,
        "git does not know who you are, and a proposal has an author",
        "git config user.name 'Your Name' && git config user.email you@example.com",
    ),
    (
        ("Authentication failed", "could not read Username", "prompts disabled", "Permission denied (p", "error: 401"),
        Trouble.CREDENTIALS,
        "{remote} wants credentials: {words}",
        "see that `git ls-remote {remote}` works for you here",
    ),
    (
        (
            "Permission to ",
            "error: 403",
            "Permission denied",
            "insufficient permission",
            "unable to create temporary object directory",
        ),
        Trouble.OTHER,
        "you may not push to {remote}: {words}",
        "ask for the right to push branches, or name a remote where you have it with --remote",
    ),
)
"""What git, ssh and servers say in the usual cases, and what it means to a person."""
_HINTS = {"push": "the branch was not pushed; see what the remote's rules for branches are"}


def _environment(alone: bool, index: Path | None) -> dict[str, str]:
    """The person's own, without what would point git elsewhere; messages in English, as they are read here."""
    variables = {name: value for name, value in os.environ.items() if name not in _ELSEWHERE}
    variables |= {"LC_ALL": "C.UTF-8", "LANGUAGE": "", "GIT_LITERAL_PATHSPECS": "1", "GIT_NO_REPLACE_OBJECTS": "1"}
    if alone:
        variables["GIT_TERMINAL_PROMPT"] = "0"
    if index:
        variables["GIT_INDEX_FILE"] = str(index)
    return variables


def _end(process: subprocess.Popen[bytes], alone: bool) -> None:
    """Leave nothing behind after a deadline or Ctrl-C: the whole group, where it has one of its own."""
    if process.poll() is not None:
        return
    with suppress(ProcessLookupError):
        if alone:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


def _last_words(said: str) -> str:
    """The lines of git's complaint that say what is wrong, fit to be shown."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith(("fatal:", "error:", "remote:"))] or lines[-1:]
    return shown("; ".join(dict.fromkeys(telling[-3:])))
