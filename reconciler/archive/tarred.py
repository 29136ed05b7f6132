"""tar: one strict reading of the blocks, regular files and folders only.

`tarfile` takes a missing end for an end, reads extension headers of any size into memory, lets them
override anything, and knows a dozen kinds of entry that have no place in a release. Here an extension
header may give a path and a size, for the one file behind it; metadata that is not kept anyway
(times, owners) is passed over; everything else is refused. Source of the format: POSIX.1-2017 pax,
and GNU tar's manual for the long-name extension.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from reconciler.archive.entry import CHUNK, FOLDER_MODE, SMALL, Account, Entry, kept_mode, read_exactly, refuse
from reconciler.bounds import Bounds

BLOCK = 512
MAX_EXTENSION_BYTES = 64 * 1024
"""Bytes of one extension header: a path needs 1,024, the rest is times and owners."""
MAX_PADDING_BYTES = 1024 * 1024
"""Zero bytes behind the end, which tar writes to fill a record (10,240 by default). More is a bomb."""

_ZEROS = bytes(BLOCK)
_FILE, _OLD_FILE, _FOLDER, _PAX, _PAX_GLOBAL, _GNU_LONG_NAME = b"0", b"\0", b"5", b"x", b"g", b"L"
_KINDS = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a character device",
    b"4": "a block device",
    b"6": "a FIFO",
    b"7": "a contiguous file",
    b"K": "a link with a long name",
    b"S": "a GNU sparse file",
}
_NOT_KEPT = frozenset(
    {"atime", "comment", "ctime", "gid", "gname", "mtime", "uid", "uname"}
    | {"SCHILY.dev", "SCHILY.ino", "SCHILY.nlink", "LIBARCHIVE.creationtime"}
)
_OCTAL = re.compile(rb" *([0-7]+)[ \0]*")
_RECORD_LENGTH = re.compile(rb"([1-9][0-9]{0,5}) ")
_DECIMAL = re.compile(r"[0-9]{1,19}")


@dataclass(slots=True)
class _Extension:
    """What the headers before an entry say about it."""

    path: str | None = None
    size: int | None = None

    @property
    def empty(self) -> bool:
        return self.path is None and self.size is None


def entries(file: BinaryIO, bounds: Bounds) -> Iterator[Entry]:
    """Entries in the order of their bytes, from a file that gives as many bytes as asked until its end.

    Raises:
        Terminal: `ArtifactUnsafe`, `ArtifactTooLarge`.
    """
    account = Account(bounds)
    extension = _Extension()
    while (block := read_exactly(file, BLOCK, "its headers: the two zero blocks of its end are missing")) != _ZEROS:
        kind = _kind(block)
        if kind in (_PAX, _PAX_GLOBAL, _GNU_LONG_NAME):
            _extend(extension, kind, _extension_data(file, block))
            continue
        name, size = _described(block, kind, extension)
        extension = _Extension()
        if name is None:
            continue
        folder = kind == _FOLDER
        mode = kept_mode(_number(block[100:108], "mode"), name)
        account.add(name, size, folder=folder)
        chunks = _content(file, size, name)
        if size <= SMALL:
            content = b"".join(chunks)
            yield Entry(name, folder, FOLDER_MODE if folder else mode, size, iter((content,)), content)
            continue
        yield Entry(name, folder, mode, size, chunks)
        for _ in chunks:
            pass  # what the caller left: the next header lies behind it
    if not extension.empty:
        refuse("ends behind an extension header, without the entry that it describes")
    _check_end(file)
    account.close()


def _kind(block: bytes) -> bytes:
    """The type of the entry that a header block describes, once the block itself is sound."""
    checksum = _number(block[148:156], "checksum")
    if checksum != sum(block) - sum(block[148:156]) + 8 * 0x20:
        refuse("has a header with a wrong checksum")
    magic = block[257:265]
    if magic not in (b"ustar\x0000", b"ustar  \0"):
        refuse("has a header of an unknown kind of tar")
    if magic != b"ustar\x0000" and any(block[345:500]):
        refuse("has a header with fields of an older kind of tar")
    return block[156:157]


def _number(field: bytes, what: str) -> int:
    """Octal digits, or big-endian binary where the first bit says so (GNU, for 8 GiB and more)."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    if not field.strip(b" \0"):
        return 0
    match = _OCTAL.fullmatch(field)
    if match is None:
        refuse(f"has a header whose {what} is not a number")
    return int(match[1], 8)


def _text(field: bytes) -> bytes:
    text, _, rest = field.partition(b"\0")
    if rest.strip(b"\0"):
        refuse("has a NUL inside of a name", _lossy(text))
    return text


def _lossy(raw: bytes) -> str:
    """For messages only."""
    return raw.decode("utf-8", "backslashreplace")


def _decode(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        refuse("has a name that is not valid UTF-8", _lossy(raw))


def _described(block: bytes, kind: bytes, extension: _Extension) -> tuple[str | None, int]:
    """Name and size of an entry; no name for the archive's own root, which `tar -C folder .` writes."""
    name = extension.path
    if name is None:
        prefix, base = _text(block[345:500]), _text(block[:100])
        name = _decode(prefix + b"/" + base if prefix else base)
    if kind not in (_FILE, _OLD_FILE, _FOLDER):
        refuse(f"is {_KINDS.get(kind, f'of the unknown type {kind!r}')}", name)
    size = _number(block[124:136], "size") if extension.size is None else extension.size
    if kind == _FOLDER:
        if size:
            refuse("is a folder with content", name)
        if name in (".", "./"):
            return None, 0
        name = name.removesuffix("/")
    # `tar -C folder .` writes every name with this in front: the one way to say the root, taken as such.
    return name.removeprefix("./"), size


def _extension_data(file: BinaryIO, block: bytes) -> bytes:
    size = _number(block[124:136], "size")
    if size > MAX_EXTENSION_BYTES:
        refuse(f"has an extension header of {size} bytes")
    return read_exactly(file, size + -size % BLOCK, "an extension header")[:size]


def _extend(extension: _Extension, kind: bytes, data: bytes) -> None:
    """Take one extension header; a second opinion on the same entry is refused."""
    if kind == _GNU_LONG_NAME:
        if extension.path is not None:
            refuse("gives an entry two names")
        extension.path = _decode(_text(data))
        return
    if kind == _PAX and not extension.empty:
        refuse("describes an entry twice")
    records = _records(data)
    for key, value in records.items():
        if key == "path" and kind == _PAX:
            extension.path = value
        elif key == "size" and kind == _PAX and _DECIMAL.fullmatch(value):
            extension.size = int(value)
        elif key not in _NOT_KEPT:
            refuse("has an extension header that a regular file does not need", key)


def _records(data: bytes) -> dict[str, str]:
    """`length key=value\\n`, again and again."""
    found: dict[str, str] = {}
    at = 0
    while at < len(data):
        match = _RECORD_LENGTH.match(data, at)
        end = at + int(match[1]) if match else 0
        record = data[match.end() : end] if match else b""
        key, equals, value = record.partition(b"=")
        if not key or not equals or not value.endswith(b"\n") or end > len(data) or _lossy(key) in found:
            refuse("has a malformed extension header")
        found[_decode(key)] = _decode(value[:-1])
        at = end
    return found


def _content(file: BinaryIO, size: int, name: str) -> Iterator[bytes]:
    left = size
    while left:
        chunk = file.read(min(left, CHUNK))
        if not chunk:
            refuse("is cut off", name)
        left -= len(chunk)
        yield chunk
    if padding := -size % BLOCK:
        read_exactly(file, padding, "an entry")


def _check_end(file: BinaryIO) -> None:
    """One zero block was read: one more must follow, then nothing but zeros in whole blocks."""
    if read_exactly(file, BLOCK, "its end: the second zero block is missing") != _ZEROS:
        refuse("has a single zero block, and something behind it")
    padding = 0
    while block := file.read(BLOCK):
        padding += len(block)
        if block != _ZEROS:
            refuse("has something behind its end, or is cut off there")
        if padding > MAX_PADDING_BYTES:
            refuse(f"has more than {MAX_PADDING_BYTES} bytes of padding behind its end")
