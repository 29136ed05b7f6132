"""What the operator may name as the repository, and what git is given in its place.

A local path, `file://`, `ssh://`, `[user@]host:path`, `https://`, and `http://` when the operator writes
exactly that. Everything else is refused before git sees it: transports that run commands (`ext::`,
`fd::`), values that begin with `-`, host names that ssh would take for an option. Credentials leave the
address here, so that they reach neither an argument list nor a message.
"""

from __future__ import annotations

import base64
import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from reconciler.errors import Reason, Terminal, Transient
from reconciler.model import CommitId

REFERENCE_CHARACTERS = 1024
"""Most characters of a reference's name; a file system takes fewer in each of its parts."""

_SCP = re.compile(
    r"(?:[A-Za-z0-9_][A-Za-z0-9._-]*@)?(?:[A-Za-z0-9_][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\]):[^-\s:@][^\s@]*"
)
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*|[0-9A-Fa-f:.]+")
_CREDENTIALS = re.compile(r":[^/]*@|//[^/]*@")
"""In a path that is not absolute: an address whose scheme was mistyped, its password still in it."""
_USERINFO = re.compile(r"(?<=://)[^/\s@]+@")
_COMPLAINT_CHARACTERS = 500
_REFERENCE_FORBIDDEN = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(?:/|$)")
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_PLAIN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_LOOSE_BYTES = 128


@dataclass(frozen=True, slots=True)
class Remote:
    """Where the tracked branch is read from."""

    address: str
    """What git is given: without credentials."""
    protocol: str
    """The only transport that git may use: `file`, `ssh`, `http` or `https`."""
    path: Path | None = None
    """The repository's place when it is on this machine."""
    authorization: str | None = field(default=None, repr=False)
    """The value of an HTTP `Authorization` header. Secret."""

    @property
    def options(self) -> tuple[str, ...]:
        """What `ls-remote` and `fetch` need beside the address.

        Git serves a repository of another user only to those who trust it; the operator who named this
        path does. The fixed text is run by a shell, which is why the path is no part of it.
        """
        return ("--upload-pack=exec git -c safe.directory=* upload-pack",) if self.protocol == "file" else ()

    def unavailable(self, what: str, hint: str = "the next poll looks again") -> Transient:
        """`RepositoryUnavailable`, with the address in front of what was found."""
        return Transient(Reason.REPOSITORY_UNAVAILABLE, f"{self.address}: {what}", hint)


def parse(url: str) -> Remote:
    """Read the operator's `repository.url`.

    Raises:
        Terminal: `InvalidSettings`: none of the allowed forms; the message shows no credentials.
    """
    if not url or url.startswith("-") or any(not c.isprintable() for c in url) or "\\" in url:
        raise _invalid("repository.url: empty, begins with -, or holds characters that can't be printed")
    scheme, found, _ = url.partition("://")
    if found:
        return _with_scheme(scheme, url)
    if "::" in url.split("/", 1)[0]:
        raise _invalid(f"repository.url: a transport in front of :: is not allowed; {_ALLOWED}")
    if ":" in url.split("/", 1)[0]:
        if not _SCP.fullmatch(url):
            raise _invalid("repository.url: not of the form user@host:path, with neither a password nor a second @")
        return Remote(url, "ssh")
    if not url.startswith("/") and _CREDENTIALS.search(url):
        raise _invalid(f"repository.url: neither a path nor an address; {_ALLOWED}")
    return _on_this_machine(Path(url))


def check_branch(branch: str) -> str:
    """The branch as given, when git would take it for the name of one (git-check-ref-format).

    Raises:
        Terminal: `InvalidSettings`.
    """
    if not branch or branch[0] in "-/." or branch == "@" or not _is_well_formed(branch):
        raise _invalid(f"repository.branch: {branch!r} is not the name of a branch")
    return branch


def check_folder(folder: str) -> str:
    """The declarations' folder without slashes at its ends; empty for the repository's root.

    Raises:
        Terminal: `InvalidSettings`: it leaves the repository, or can't be printed.
    """
    inner = "" if folder == "." else folder.rstrip("/")
    parts = inner.split("/") if inner else []
    if any(part in ("", ".", "..") for part in parts) or not inner.isprintable():
        raise _invalid(f"repository.path: {folder!r} is not a plain relative path")
    return inner


def is_commit(text: str) -> bool:
    """Whether this is the full name of an object, in SHA-1 or SHA-256."""
    return _COMMIT.fullmatch(text) is not None


def is_reference(text: str) -> bool:
    """Whether this is the whole name of a reference (git-check-ref-format): no option, no pattern, no abbreviation."""
    return text.startswith("refs/") and len(text) <= REFERENCE_CHARACTERS and _is_well_formed(text)


def tip_of(listing: bytes, branch: str) -> tuple[CommitId, ...]:
    """What `ls-remote` said of exactly this branch. It matches tails, so other references come along."""
    tips = set()
    for line in listing.decode("utf-8", "replace").split("\n"):
        name, _, reference = line.partition("\t")
        if reference == f"refs/heads/{branch}" and is_commit(name):
            tips.add(CommitId(name))
    return tuple(tips)


def loose_tip(remote: Remote, branch: str) -> CommitId | None:
    """The tip of a branch of a repository on this machine, where a file of its own holds it (gitrepository-layout).

    Git reads this file first, and replaces it by a rename, so it is never half of anything. None: there is no such
    file, or it holds anything but the name of a commit, such as another reference; git is to be asked.
    """
    home = _known_home(remote.path) if remote.path else None
    if home is None:
        return None
    try:
        descriptor = os.open(home / "refs" / "heads" / branch, _PLAIN)
    except OSError:
        return None
    try:
        text = os.read(descriptor, _LOOSE_BYTES) if stat.S_ISREG(os.fstat(descriptor).st_mode) else b""
    except OSError:
        return None
    finally:
        os.close(descriptor)
    name = text.decode("ascii", "replace").removesuffix("\n")
    return CommitId(name) if is_commit(name) and name.strip("0") else None


def watched(remote: Remote, branch: str) -> tuple[Path, ...]:
    """Folders on this machine in which something changes when the branch moves; each is watched by itself."""
    home = _git_directory(remote.path) if remote.path else None
    if home is None:
        return ()
    folder = home / "refs" / "heads"
    folders = [home, home / "reftable", folder]
    for part in branch.split("/")[:-1]:
        folder = folder / part
        folders.append(folder)
    return tuple(place for place in folders if place.is_dir())


def _is_well_formed(name: str) -> bool:
    return name[-1] not in "/." and name.isprintable() and not _REFERENCE_FORBIDDEN.search(name)


def _invalid(what: str) -> Terminal:
    return Terminal(Reason.INVALID_SETTINGS, what, "correct it in the operator's settings")


_ALLOWED = "allowed are a local path, file://, ssh://, user@host:path, https:// and http://"


def _with_scheme(scheme: str, url: str) -> Remote:
    if scheme not in ("file", "ssh", "http", "https"):
        raise _invalid(f"repository.url: the transport in front of :// is not allowed; {_ALLOWED}")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _invalid(f"repository.url: not a well-formed {scheme}:// address") from None
    if parts.query or parts.fragment or " " in url:
        raise _invalid("repository.url: a query, a fragment or a space is not allowed")
    if scheme == "file":
        if parts.netloc not in ("", "localhost"):
            raise _invalid("repository.url: file:// names no host; write file:///path")
        return _on_this_machine(Path(unquote(parts.path)))
    if not parts.hostname or not _HOST.fullmatch(parts.hostname) or not parts.path.strip("/"):
        raise _invalid(f"repository.url: {scheme}:// needs a host and a path")
    return _ssh(parts, url) if scheme == "ssh" else _http(parts, port)


def _ssh(parts: SplitResult, url: str) -> Remote:
    if parts.password is not None:
        raise _invalid("repository.url: ssh takes no password in an address; use a key")
    if parts.username is not None and not _USER.fullmatch(parts.username):
        raise _invalid("repository.url: not a user name in front of the @")
    return Remote(url, "ssh")


def _http(parts: SplitResult, port: int | None) -> Remote:
    if "@" in parts.path:  # an unencoded slash in a password ends the host there, and the rest would be shown
        raise _invalid(
            "repository.url: an @ behind the host is not allowed; in a path write %40, in a password %2F for /"
        )
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    address = f"{parts.scheme}://{host}{f':{port}' if port else ''}{parts.path}"
    if parts.username is None and parts.password is None:
        return Remote(address, parts.scheme)
    pair = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    return Remote(address, parts.scheme, None, "Basic " + base64.b64encode(pair.encode()).decode())


def _on_this_machine(path: Path) -> Remote:
    absolute = path.absolute()
    return Remote(str(absolute), "file", absolute)


def _known_home(path: Path) -> Path | None:
    try:
        return _git_directory(path)
    except OSError:  # git says what is wrong there
        return None


def _git_directory(path: Path) -> Path | None:
    """Where a repository keeps its references: itself when bare, `.git`, or what a gitfile points at."""
    inner = path / ".git"
    if inner.is_file():
        text = inner.read_text(encoding="utf-8", errors="replace")
        inner = path / text.removeprefix("gitdir:").strip() if text.startswith("gitdir:") else inner
    home = inner if inner.is_dir() else path
    common = home / "commondir"  # a linked worktree shares the references of its main repository
    if common.is_file():
        home = home / common.read_text(encoding="utf-8", errors="replace").strip()
    return home.resolve() if (home / "HEAD").is_file() else None


def shown(complaint: str) -> str:
    """What git said, fit to be shown: printable, bounded, and without the credentials of an address in it."""
    return "".join(c if c.isprintable() else "?" for c in _USERINFO.sub("", complaint))[:_COMPLAINT_CHARACTERS]
