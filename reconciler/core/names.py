"""Which names inside an archive may become files. Pure: a name in, the same name or a refusal out.

Nothing is repaired: a name that would have to be changed to be safe means that somebody else's tool
reads it differently from ours, and then the reviewer, the scanner and the server see three archives.
Reading archives and writing files is left to `archive` and `targets`.
"""

from __future__ import annotations

import re
import unicodedata

MAX_PART_BYTES = 255
"""Bytes of one file or folder name. Origin: NAME_MAX of ext4, xfs and btrfs."""
MAX_NAME_BYTES = 1024
"""Bytes of a whole name: leaves room below PATH_MAX (4096) for the target's own path."""
MAX_DEPTH = 32
"""Folders and file of one name; keeps walks over a release shallow."""

_ORDINARY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+@=~, -]*(?:/[A-Za-z0-9_][A-Za-z0-9_.+@=~, -]*)*")
"""Names that need no further look but at their lengths: nearly all."""
_DRIVE = re.compile(r"[A-Za-z]:")
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Controls, format characters (bidi overrides among them), surrogates, line and paragraph separators."""


class UnsafeName(Exception):
    """A name that may not become a file; `what` goes behind the name in a sentence."""

    def __init__(self, name: str, what: str) -> None:
        super().__init__(f"{shown(name)} {what}")
        self.name = name
        self.what = what


def shown(name: str) -> str:
    """A name for people: quoted, in ASCII, nothing a terminal acts on, at most 80 characters."""
    text = ascii(name)
    return text if len(text) <= 80 else f"{text[:48]}...{text[-29:]}"


def check(name: str) -> str:
    """A relative name with `/` between its parts, unchanged.

    Raises:
        UnsafeName: It is absolute, empty, too long or too deep, or a part of it can't be a plain file name.
    """
    if len(name) <= MAX_PART_BYTES and name.count("/") < MAX_DEPTH and _ORDINARY.fullmatch(name):
        return name
    if not name:
        raise UnsafeName(name, "is empty")
    if name.startswith("/"):
        raise UnsafeName(name, "is absolute")
    if _DRIVE.match(name):
        raise UnsafeName(name, "begins with a drive letter")
    _check_characters(name)
    _check_sizes(name)
    return name


def _check_characters(name: str) -> None:
    if "\0" in name:
        raise UnsafeName(name, "holds a NUL")
    if "\\" in name:
        raise UnsafeName(name, "holds a backslash, which some tools read as a separator")
    for character in name:
        category = unicodedata.category(character)
        if category in _INVISIBLE:
            kind = "a byte that is not UTF-8" if category == "Cs" else f"the invisible character {character!a}"
            raise UnsafeName(name, f"holds {kind}")


def _check_sizes(name: str) -> None:
    parts = name.split("/")
    if len(parts) > MAX_DEPTH:
        raise UnsafeName(name, f"is {len(parts)} parts deep, more than {MAX_DEPTH}")
    if len(name.encode()) > MAX_NAME_BYTES:
        raise UnsafeName(name, f"is longer than {MAX_NAME_BYTES} bytes")
    for part in parts:
        if part in ("", ".", ".."):
            raise UnsafeName(name, f"has {part!r} as a part" if part else "has an empty part")
        if len(part.encode()) > MAX_PART_BYTES:
            raise UnsafeName(name, f"has a part of more than {MAX_PART_BYTES} bytes")


def fold(name: str) -> str:
    """What two names share when a file system may take them for one.

    Canonical caseless matching: Unicode 15, section 3.13, D145.
    """
    if name.isascii():
        return name.lower()
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold())


class Names:
    """The names of one archive so far, folders that are only implied among them."""

    def __init__(self) -> None:
        self._seen: dict[str, str] = {}
        self._folders: set[str] = set()
        self._listed: set[str] = set()

    def __len__(self) -> int:
        """How many files and folders there will be."""
        return len(self._seen)

    def add(self, name: str, *, folder: bool) -> None:
        """Take a checked name.

        Raises:
            UnsafeName: It repeats, differs from another only by case or Unicode form, or is a file
                where another name needs a folder.
        """
        if folder:
            self._need_folder(name)
        else:
            self._need_folder(name.rpartition("/")[0])
            self._meet(name)
            if name in self._folders:
                raise UnsafeName(name, "is a file here and a folder there")
        if name in self._listed:
            raise UnsafeName(name, "appears twice")
        self._listed.add(name)

    def _need_folder(self, name: str) -> None:
        while name and name not in self._folders:
            self._meet(name)
            if name in self._listed:
                raise UnsafeName(name, "is a file here and a folder there")
            self._folders.add(name)
            name = name.rpartition("/")[0]

    def _meet(self, name: str) -> None:
        known = self._seen.setdefault(fold(name), name)
        if known != name:
            raise UnsafeName(name, f"differs from {shown(known)} only by case or Unicode form")
