"""A small world of real git: an origin, people with real keys, and what they do to the branch.

    world = GitWorld(tmp_path)
    alice, bob = world.person("alice"), world.person("bob")
    world.write("environments/dev.yaml", "version: 1\\n").commit(alice, "Begin").push()
    world.branch("bump").write("environments/dev.yaml", "version: 2\\n").commit(alice, "Bump", sign=True)
    merge = world.merge("bump", signer=bob).push().tip

Every call works on the real thing through the git command line, isolated from the machine's own
configuration. Times are made up and advance by a minute with each commit, so that names of unsigned
commits are the same in each run.
"""

from __future__ import annotations

import base64
import os
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self

from reconciler.model import CommitId

_BEGINNING = 1_770_000_000
_MINUTE = 60


@dataclass(frozen=True)
class SshKey:
    """An ed25519 key pair on disk."""

    private: Path

    @property
    def public(self) -> str:
        """`ssh-ed25519 AAAA…`, without a comment."""
        return " ".join(self.private.with_suffix(".pub").read_text().split()[:2])


@dataclass(frozen=True)
class Author:
    """Somebody who commits: a name, an address, and a key where they have one."""

    name: str
    email: str
    key: SshKey | None = None

    def __str__(self) -> str:
        return f"{self.name} <{self.email}>"


class GitWorld:
    """A bare origin and one working clone of it.

    Args:
        folder: An empty folder, such as `tmp_path`; everything is made below it.
        branch: The tracked branch.
        object_format: `sha1` or `sha256`.
    """

    def __init__(self, folder: Path, branch: str = "main", object_format: str = "sha1") -> None:
        self.folder = folder
        self.main = branch
        self.origin = folder / "origin.git"
        self.work = folder / "work"
        self.allowed_signers = folder / "allowed_signers"
        self._commits = 0
        folder.mkdir(parents=True, exist_ok=True)
        self.allowed_signers.touch(mode=0o600)
        (folder / "home").mkdir()
        init = ("init", "--quiet", f"--initial-branch={branch}", f"--object-format={object_format}")
        self.run("git", *init, "--bare", "--", str(self.origin), cwd=folder)
        self.run("git", *init, "--", str(self.work), cwd=folder)
        self.git("remote", "add", "origin", str(self.origin))

    @property
    def url(self) -> str:
        """What an operator writes into `repository.url`."""
        return str(self.origin)

    @property
    def tip(self) -> CommitId:
        """The commit that the working clone stands on."""
        return self.rev("HEAD")

    # --- people -----------------------------------------------------------------------------------

    def key(self, name: str) -> SshKey:
        """A new key pair; nobody knows it yet."""
        keys = self.folder / "keys"
        keys.mkdir(exist_ok=True)
        private = keys / name
        self.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(private))
        return SshKey(private)

    def person(self, name: str, *, allowed: bool = True, options: str = "") -> Author:
        """Somebody with a key; also written into the operator's allowed signers, unless `allowed` is false."""
        author = Author(name.capitalize(), f"{name}@example.com", self.key(name))
        if allowed and author.key:
            self.allow(author.email, author.key, options)
        return author

    def allow(self, principals: str, key: SshKey, options: str = "") -> Self:
        """Add a line to the operator's allowed signers; `principals` may be several, with commas."""
        line = " ".join(part for part in (principals, options, key.public) if part)
        with self.allowed_signers.open("a") as file:
            file.write(line + "\n")
        return self

    # --- content ----------------------------------------------------------------------------------

    def write(self, path: str, text: str | bytes) -> Self:
        """Put a file into the working clone, ready for the next commit."""
        place = self.work / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(text if isinstance(text, bytes) else text.encode())
        self.git("add", "--force", "--", path)
        return self

    def remove(self, path: str) -> Self:
        """Delete a file, or a folder with all in it."""
        self.git("rm", "-r", "--quiet", "--", path)
        return self

    def move(self, old: str, new: str) -> Self:
        """Rename a file."""
        (self.work / new).parent.mkdir(parents=True, exist_ok=True)
        self.git("mv", "--", old, new)
        return self

    def symlink(self, path: str, to: str) -> Self:
        """Put a symbolic link."""
        place = self.work / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(to)
        self.git("add", "--force", "--", path)
        return self

    def submodule(self, path: str, commit: str) -> Self:
        """Put an entry that names a commit of another repository."""
        self.git("update-index", "--add", "--cacheinfo", f"160000,{commit},{path}")
        return self

    # --- history ----------------------------------------------------------------------------------

    def commit(
        self,
        author: Author,
        message: str,
        *,
        sign: bool | SshKey = False,
        committer: Author | None = None,
    ) -> Self:
        """Commit what was written. `sign=True` signs with the committer's own key, else with the one given."""
        who = committer or author
        self.git(*_signing(who, sign), "commit", "--quiet", "--allow-empty", "-m", message, people=(author, who))
        return self

    def branch(self, name: str, at: str = "HEAD") -> Self:
        """Begin a branch and stand on it."""
        self.git("switch", "--quiet", "--create", name, at)
        return self

    def orphan(self, name: str) -> Self:
        """Begin a branch without a history, with an empty index, and stand on it."""
        self.git("switch", "--quiet", "--orphan", name)
        return self

    def switch(self, name: str) -> Self:
        """Stand on another branch."""
        self.git("switch", "--quiet", name)
        return self

    def merge(
        self, *branches: str, signer: Author, sign: bool | SshKey = True, message: str = "", ff: bool = False
    ) -> Self:
        """Merge into the tracked branch, signed with the signer's key. Several branches make an octopus."""
        self.switch(self.main)
        text = message or f"Merge {' and '.join(branches)}"
        how = ("--ff-only",) if ff else ("--no-ff", "-m", text)
        self.git(*_signing(signer, sign), "merge", "--quiet", *how, "--", *branches, people=(signer, signer))
        return self

    def reset(self, to: str) -> Self:
        """Move the branch that the clone stands on."""
        self.git("reset", "--quiet", "--hard", to)
        return self

    def commit_raw(self, raw: bytes) -> CommitId:
        """Store a commit of exactly these bytes, however wrong it is, and move the branch to it."""
        name = self.git("hash-object", "-t", "commit", "-w", "--stdin", "--literally", stdin=raw)
        self.git("update-ref", f"refs/heads/{self.main}", name)
        return CommitId(name)

    # --- the origin -------------------------------------------------------------------------------

    def push(self) -> Self:
        """Publish the tracked branch."""
        self.git("push", "--quiet", "origin", f"{self.main}:{self.main}")
        return self

    def direct_push(self, author: Author, path: str, text: str | bytes, message: str = "Straight in") -> Self:
        """One commit on the tracked branch itself, with no merge and no review."""
        return self.switch(self.main).write(path, text).commit(author, message).push()

    def force_push(self, to: str = "HEAD") -> Self:
        """Make the origin's tracked branch point at any commit, whatever that throws away."""
        self.git("push", "--quiet", "--force", "origin", f"{to}:refs/heads/{self.main}")
        return self

    def rewrite(self, author: Author, files: Mapping[str, str] | None = None) -> Self:
        """Replace the tracked branch by one commit without a past, with the same files or with changed ones."""
        self.switch(self.main).git("checkout", "--quiet", "--orphan", "rewritten")
        for path, text in (files or {}).items():
            self.write(path, text)
        self.commit(author, "Begin anew")
        self.git("branch", "--quiet", "--force", self.main, "HEAD")
        return self.switch(self.main).force_push()

    def push_swapped(self, author: Author, published: str) -> Self:
        """Push a merge with its sides swapped: the clone's own line comes first, what was published is only merged in.

        It keeps the files of that line, nobody signs it, and no history is thrown away, so that no push is refused.
        """
        line, tree = self.tip, self.git("rev-parse", "HEAD^{tree}")
        merge = self.git("commit-tree", tree, "-p", line, "-p", published, "-m", "Swap", people=(author, author))
        return self.switch(self.main).reset(merge).push()

    def delete_branch(self) -> Self:
        """Remove the tracked branch from the origin."""
        self.git("push", "--quiet", "origin", "--delete", self.main)
        return self

    @contextmanager
    def serve(self, credentials: str = "") -> Iterator[str]:
        """The origin over HTTP on the loopback, by git's own `http-backend`; yields its address.

        Args:
            credentials: `user:password` that a client must send, or none.
        """
        world, wanted = self, "Basic " + base64.b64encode(credentials.encode()).decode()

        class Backend(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if credentials and self.headers.get("Authorization") != wanted:
                    self.send_response(401)
                    self.send_header("WWW-Authenticate", 'Basic realm="origin"')
                    self.end_headers()
                    return
                _run_backend(self, world)

            def do_POST(self) -> None:
                self.do_GET()

            def log_message(self, *_: object) -> None:
                """Quiet."""

        with ThreadingHTTPServer(("127.0.0.1", 0), Backend) as server:
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
            try:
                yield f"http://127.0.0.1:{server.server_address[1]}/{self.origin.name}"
            finally:
                server.shutdown()

    # --- plain git --------------------------------------------------------------------------------

    def rev(self, name: str) -> CommitId:
        """The full object name behind any revision: `HEAD~1`, `main:environments/dev.yaml`."""
        return CommitId(self.git("rev-parse", "--verify", name))

    def raw(self, commit: str = "HEAD") -> bytes:
        """A commit's bytes."""
        return self.run("git", "cat-file", "commit", commit)

    def git(self, *arguments: str, people: tuple[Author, Author] | None = None, stdin: bytes = b"") -> str:
        """Any git command in the working clone; returns its output, stripped."""
        variables: dict[str, str] = {}
        if people:
            self._commits += 1
            moment = f"{_BEGINNING + self._commits * _MINUTE} +0000"
            for role, who in zip(("AUTHOR", "COMMITTER"), people, strict=True):
                variables |= {f"GIT_{role}_NAME": who.name, f"GIT_{role}_EMAIL": who.email, f"GIT_{role}_DATE": moment}
        return self.run("git", *arguments, stdin=stdin, variables=variables).decode().strip()

    def run(
        self, *argv: str, cwd: Path | None = None, stdin: bytes = b"", variables: Mapping[str, str] | None = None
    ) -> bytes:
        """Any program, with this world's environment; its complaint becomes the test's failure."""
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder / "home"), "LANG": "C", "TZ": "UTC"}
        environment |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", **(variables or {})}
        done = subprocess.run(argv, cwd=cwd or self.work, env=environment, input=stdin, capture_output=True, timeout=60)
        assert done.returncode == 0, f"{argv}: {done.stderr.decode(errors='replace')}"
        return done.stdout


def _signing(who: Author, sign: bool | SshKey) -> tuple[str, ...]:
    key = who.key if sign is True else sign or None
    if key is None:
        assert not sign, f"{who} has no key to sign with"
        return ("-c", "commit.gpgSign=false")
    return ("-c", "gpg.format=ssh", "-c", f"user.signingKey={key.private}", "-c", "commit.gpgSign=true")


def _run_backend(request: BaseHTTPRequestHandler, world: GitWorld) -> None:
    """Answer one request by `git http-backend`, as a CGI program (RFC 3875)."""
    path, _, query = request.path.partition("?")
    variables = {
        "GIT_PROJECT_ROOT": str(world.folder),
        "GIT_HTTP_EXPORT_ALL": "1",
        "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "REQUEST_METHOD": request.command,
        "CONTENT_TYPE": request.headers.get("Content-Type", ""),
        "HTTP_CONTENT_ENCODING": request.headers.get("Content-Encoding", ""),
    }
    body = request.rfile.read(int(request.headers.get("Content-Length", "0")))
    answer = world.run("git", "http-backend", stdin=body, variables=variables | {"CONTENT_LENGTH": str(len(body))})
    head, _, content = answer.partition(b"\r\n\r\n")
    fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
    request.send_response(int(fields.pop("Status", "200").split()[0]))
    for name, value in fields.items():
        request.send_header(name, value)
    request.end_headers()
    request.wfile.write(content)
