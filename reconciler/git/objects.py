"""What git prints, into values: objects, trees, histories. Every object is hashed against its own name.

The hash makes the reading independent of the disk: a flipped bit, a truncated pack and a replaced object
all come out as `GitFailed`, upon which the mirror is made anew.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator

from reconciler.git.command import GitFailed
from reconciler.git.remote import is_commit
from reconciler.model import BlobId, Change, Commit, CommitId, TreeEntry

HISTORY_FORMAT = "--format=%x01%H %P"
"""For `git log -z --raw`: a record begins with byte 1, which no raw line or object name holds."""

_ABSENT = "000000"
_RAW = re.compile(r":([0-7]{6}) ([0-7]{6}) ([0-9a-f]{40,64}) ([0-9a-f]{40,64}) [A-Z]")
_HEADER_LINE = 512
"""Most bytes of a `cat-file --batch` header: name, type and size need less than 100."""


class Batch:
    """Takes the output of `cat-file --batch` piece by piece; hands over each object as soon as it is whole.

    Args:
        kind: The type that every object must have.
        limit: Objects of more bytes are read past, and handed over as None.
        take: Called with name and content.
    """

    def __init__(self, kind: str, limit: int, take: Callable[[str, bytes | None], None]) -> None:
        self._kind = kind
        self._limit = limit
        self._take = take
        self._buffer = bytearray()
        self._name: str | None = None
        self._keep = True
        self._left = 0

    def feed(self, chunk: bytes) -> None:
        """The next bytes.

        Raises:
            GitFailed: An object is missing, of another type, or not what its name says.
        """
        self._buffer += chunk
        while self._header() if self._name is None else self._content():
            pass

    def _header(self) -> bool:
        end = self._buffer.find(b"\n")
        if end < 0:
            if len(self._buffer) > _HEADER_LINE:
                raise GitFailed("the local mirror: git cat-file printed no header")
            return False
        words = self._buffer[:end].decode("ascii", "replace").split(" ")
        del self._buffer[: end + 1]
        if len(words) != 3 or words[1] != self._kind or not words[2].isdigit():
            raise GitFailed(f"the local mirror: object {' '.join(words)[:100]}, wanted is a {self._kind}")
        self._name, self._left = words[0], int(words[2])
        self._keep = self._left <= self._limit
        return True

    def _content(self) -> bool:
        if not self._keep and self._left:
            skipped = min(self._left, len(self._buffer))
            del self._buffer[:skipped]
            self._left -= skipped
        wanted = self._left + 1  # the line feed behind the content
        if len(self._buffer) < wanted or self._name is None:
            return False
        content = bytes(self._buffer[: self._left]) if self._keep else None
        del self._buffer[:wanted]
        if content is not None:
            check(self._name, self._kind, content)
        self._take(self._name, content)
        self._name = None
        return True


def check(name: str, kind: str, content: bytes) -> None:
    """See that an object is what its name says.

    Raises:
        GitFailed: It is not.
    """
    algorithm = "sha1" if len(name) == 40 else "sha256"
    found = hashlib.new(algorithm, b"%s %d\0" % (kind.encode(), len(content)), usedforsecurity=False)
    found.update(content)
    if found.hexdigest() != name:
        raise GitFailed(f"the local mirror: the content of {kind} {name} is not what its name says")


def text(raw: bytes) -> str:
    """A path or a message as text; bytes that are not UTF-8 show as escapes, so that it can be printed."""
    return raw.decode("utf-8", "backslashreplace")


def tree_entries(output: bytes, folder: str) -> Iterator[tuple[str, TreeEntry]]:
    """Lines of `ls-tree -r -z --full-tree`, with paths relative to the folder.

    The folder itself comes out under the empty path when it is no folder: a symlink, a file, a submodule.
    """
    for line in output.split(b"\0")[:-1]:
        head, _, path = line.partition(b"\t")
        mode, _, name = head.decode("ascii", "replace").split(" ", 2)
        yield relative(text(path), folder), TreeEntry(mode, BlobId(name))


def relative(path: str, folder: str) -> str:
    """A path below the folder, as seen from it."""
    return path.removeprefix(folder).lstrip("/") if folder else path


def changes(output: bytes, path: str) -> list[Change]:
    """Records of `git log -z --raw` with `HISTORY_FORMAT` for one path, in the order of the output.

    Raises:
        GitFailed: The output is not of that form.
    """
    found: list[Change] = []
    commit: tuple[CommitId, CommitId | None] | None = None
    tokens = iter(text(output).split("\0"))
    for token in tokens:
        line = token.lstrip("\n")
        if line.startswith("\x01"):
            names = line[1:].split()
            commit = CommitId(names[0]), CommitId(names[1]) if len(names) > 1 else None
        elif line.startswith(":"):
            match = _RAW.fullmatch(line)
            if match is None or commit is None:
                raise GitFailed("the local mirror: git log printed a record of another form")
            if next(tokens, "") == path:  # a folder in the file's place has its own records
                before, after, old, new = match.groups()
                found.append(Change(*commit, _entry(before, old), _entry(after, new)))
    return found


def _entry(mode: str, name: str) -> TreeEntry | None:
    return None if mode == _ABSENT else TreeEntry(mode, BlobId(name))


def commit(name: CommitId, raw: bytes) -> Commit:
    """A commit from its raw bytes.

    Headers count where git counts them: `tree`, then parents, author, committer, in this order and once;
    what comes later under these names is as meaningless here as there. The signature is taken out as
    `git verify-commit` does it (commit.c, parse_signed_commit): every header whose name begins with
    `gpgsig`, with the lines that continue it, is no part of the payload.
    """
    head, _, body = raw.partition(b"\n\n")
    parents: list[CommitId] = []
    people: dict[bytes, str] = {}
    signature: list[bytes] = []
    payload: list[bytes] = []
    signing = False
    for position, line in enumerate(head.split(b"\n")):
        key, _, value = line.partition(b" ")
        continued = line.startswith(b" ")
        signing = signing if continued else key.startswith(b"gpgsig")
        if signing:
            if continued or key in (b"gpgsig", b"gpgsig-sha256"):
                signature.append(value)
            continue
        payload.append(line)
        if key == b"parent" and position == len(parents) + 1 and is_commit(text(value)):
            parents.append(CommitId(text(value)))
        elif key in (b"author", b"committer") and not continued:
            people.setdefault(key, _identity(value))
    return Commit(
        id=name,
        parents=tuple(parents),
        author=people.get(b"author", ""),
        committer=people.get(b"committer", ""),
        message=text(body),
        signature=text(b"\n".join(signature) + b"\n") if signature else None,
        payload=b"\n".join(payload) + raw[len(head) :],
    )


def _identity(value: bytes) -> str:
    """`Name <email>` without the time behind it."""
    end = value.rfind(b">")
    return text(value[: end + 1] if end >= 0 else value)
