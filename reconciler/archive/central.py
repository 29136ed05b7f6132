"""A zip's central directory and end records: what the archive says it holds, before anything of it is read.

See `zipped` for why the reading is strict. Source of the format: PKWARE APPNOTE 6.3.10.
"""

from __future__ import annotations

import os
import stat
import struct
from typing import BinaryIO, NamedTuple

from reconciler.archive.entry import FOLDER_MODE, kept_mode, read_exactly, refuse, refuse_size
from reconciler.bounds import Bounds

EMPTY_MAGIC = b"PK\x05\x06"
DIRECTORY_BYTES = 1024
"""Most bytes of central directory per allowed entry, on average: bounds what is held in memory."""
STORED, DEFLATED = 0, 8
FULL32 = 0xFFFFFFFF
DESCRIPTOR = 0x0008
ZIP64_EXTRA = 0x0001

_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_FULL16 = 0xFFFF
_ENCRYPTED, _UTF8 = 0x0001, 0x0800
_KNOWN_FLAGS = DESCRIPTOR | _UTF8 | 0x0006
"""0x0006 tells how hard deflate tried, nothing more."""
_OTHER_NAME_EXTRA = 0x7075
_MS_DOS_FOLDER = 0x10


class Member(NamedTuple):
    """One entry of the central directory."""

    name: str
    raw_name: bytes
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    offset: int
    attributes: int
    folder: bool


def directory(file: BinaryIO, bounds: Bounds) -> tuple[list[Member], int]:
    """The members in the order of their offsets, and where the central directory begins."""
    count, size, start = _end_records(file)
    if count > bounds.unpacked_files or size > bounds.unpacked_files * DIRECTORY_BYTES:
        refuse_size(f"lists {count} entries in {size} bytes", "unpacked_files")
    file.seek(start)
    data = read_exactly(file, size, "its central directory")
    members = []
    at = 0
    while at < size:
        member, at = _member(data, at)
        members.append(member)
    if len(members) != count:
        refuse(f"announces {count} entries and lists {len(members)}")
    members.sort(key=lambda member: member.offset)
    if members and members[0].offset:
        refuse("has something before its first entry")
    return members, start


def _end_records(file: BinaryIO) -> tuple[int, int, int]:
    """Count of entries, size and start of the central directory, which must end where the end records begin."""
    length = file.seek(0, os.SEEK_END)
    tail_start = max(0, length - _END.size - _FULL16)
    file.seek(tail_start)
    tail = file.read()
    at = tail.rfind(EMPTY_MAGIC)
    if at < 0 or len(tail) - at < _END.size:
        refuse("is cut off, or something was added behind it: there is no end record")
    _, disk, first_disk, here, count, size, start, comment = _END.unpack_from(tail, at)
    if at + _END.size + comment != len(tail):
        refuse("is followed by something that does not belong to it")
    end = tail_start + at
    if end >= _LOCATOR.size:
        file.seek(end - _LOCATOR.size)
        locator = file.read(_LOCATOR.size)
        if locator.startswith(b"PK\x06\x07"):
            return _end64(file, locator, end - _LOCATOR.size, (here, count, size, start))
    if disk or first_disk or here != count:
        refuse("is one part of several")
    if start + size != end:
        refuse("has something between its parts, or its central directory is not where it should be")
    return count, size, start


def _end64(file: BinaryIO, locator: bytes, at: int, short: tuple[int, int, int, int]) -> tuple[int, int, int]:
    _, disk, offset, disks = _LOCATOR.unpack(locator)
    if disk or disks > 1 or offset != at - _END64.size:
        refuse("has a zip64 end record that is not where it should be")
    file.seek(offset)
    signature, length, _, _, disk, first_disk, *long = _END64.unpack(read_exactly(file, _END64.size, "its end"))
    if signature != b"PK\x06\x06" or length != _END64.size - 12 or disk or first_disk:
        refuse("has a malformed zip64 end record")
    limits = (_FULL16, _FULL16, FULL32, FULL32)
    if any(small not in (full, big) for small, full, big in zip(short, limits, long, strict=True)):
        refuse("has two end records that contradict each other")
    here, count, size, start = long
    if here != count or start + size != offset:
        refuse("has something between its parts, or its central directory is not where it should be")
    return count, size, start


def _member(data: bytes, at: int) -> tuple[Member, int]:
    """The central directory's entry at an offset, and where the next one begins."""
    if len(data) - at < _CENTRAL.size:
        refuse("has a central directory that ends in the middle of an entry")
    fields = _CENTRAL.unpack_from(data, at)
    signature, _, _, flags, method, _, _, crc, packed, size = fields[:10]
    name_length, extra_length, comment_length, disk, _, attributes, offset = fields[10:]
    name_end = at + _CENTRAL.size + name_length
    end = name_end + extra_length + comment_length
    if signature != b"PK\x01\x02" or end > len(data):
        refuse("has a malformed central directory")
    raw_name = data[at + _CENTRAL.size : name_end]
    name = _name(raw_name, flags)
    if extra_length:
        found = extras(data[name_end : name_end + extra_length], name)
        size, packed, offset = widened(found.get(ZIP64_EXTRA), (size, packed, offset), name)
        _check_other_name(found.get(_OTHER_NAME_EXTRA), raw_name, name)
    if flags & _ENCRYPTED:
        refuse("is encrypted", name)
    if flags & ~_KNOWN_FLAGS or method not in (STORED, DEFLATED) or disk:
        refuse(f"uses a feature that is not known here (flags {flags:#06x}, method {method}, disk {disk})", name)
    return Member(name, raw_name, flags, method, crc, packed, size, offset, attributes, raw_name.endswith(b"/")), end


def _name(raw: bytes, flags: int) -> str:
    try:
        text = raw.decode("utf-8" if flags & _UTF8 else "ascii")
    except UnicodeDecodeError:
        shown = raw.decode("latin-1")
        refuse("has a name that is not valid UTF-8, or is not marked as UTF-8 (flag bit 11)", shown)
    return text.removesuffix("/")


def extras(data: bytes, name: str) -> dict[int, bytes]:
    """The extra fields of an entry by their kinds."""
    found: dict[int, bytes] = {}
    at = 0
    while at < len(data):
        kind, length = struct.unpack_from("<HH", data, at) if len(data) - at >= 4 else (0, _FULL16)
        at += 4 + length
        if at > len(data) or kind in found:
            refuse("has a malformed extra field", name)
        found[kind] = data[at - length : at]
    return found


def widened(extra: bytes | None, short: tuple[int, ...], name: str) -> tuple[int, ...]:
    """Size, packed size and offset (or the first two), with what zip64 says where the short field is full."""
    if extra is None:
        return short
    full = [field == FULL32 for field in short]
    if len(extra) < 8 * sum(full):
        refuse("has a zip64 field that is too short", name)
    long = iter(struct.unpack_from(f"<{sum(full)}Q", extra))
    return tuple(next(long) if is_full else field for is_full, field in zip(full, short, strict=True))


def _check_other_name(extra: bytes | None, raw_name: bytes, name: str) -> None:
    """Info-ZIP's Unicode path: some tools show this name instead of the other one."""
    if extra is not None and extra[5:] != raw_name:
        refuse("has a second, different name", name)


def kept(member: Member) -> int:
    """0644 or 0755, from the Unix mode in the upper half of the external attributes, where there is one."""
    unix = member.attributes >> 16
    kind = stat.S_IFMT(unix)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        refuse("is neither a regular file nor a folder", member.name)
    if (kind and (kind == stat.S_IFDIR) != member.folder) or (member.attributes & _MS_DOS_FOLDER and not member.folder):
        refuse("is a folder by its name and a file by its type, or the other way round", member.name)
    if member.folder and member.size:
        refuse("is a folder with content", member.name)
    mode = kept_mode(unix, member.name)
    return FOLDER_MODE if member.folder else mode
