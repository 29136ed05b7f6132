"""zip: one strict reading of the structure, zlib for the contents.

`zipfile` accepts junk before, between and behind, takes the last of two equal names and believes the
central directory where the local header says something else; other tools decide otherwise. Here every
byte of the file must belong to exactly one part, in the order local entries, central directory, end
records, and both descriptions of an entry must agree. Source of the format: PKWARE APPNOTE 6.3.10.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from functools import partial
from typing import Any, BinaryIO

from reconciler.archive import central
from reconciler.archive.ahead import Piece, in_order
from reconciler.archive.central import DESCRIPTOR, EMPTY_MAGIC, FULL32, STORED, ZIP64_EXTRA, Member
from reconciler.archive.entry import CHUNK, SMALL, Account, Entry, read_exactly, refuse
from reconciler.bounds import Bounds

__all__ = ["EMPTY_MAGIC", "MAGIC", "entries"]

MAGIC = b"PK\x03\x04"
WHOLE = 2 * CHUNK
"""Bytes up to which an entry is decompressed in one piece, ahead of its turn."""

_LOCAL = struct.Struct("<4s5H3L2H")


def entries(file: BinaryIO, bounds: Bounds) -> Iterator[Entry]:
    """Entries in the order of their bytes; all announcements are checked before the first one is given.

    Raises:
        Terminal: `ArtifactUnsafe`, `ArtifactTooLarge`.
    """
    members, directory = central.directory(file, bounds)
    account = Account(bounds)
    modes = [central.kept(member) for member in members]
    for member in members:
        account.add(member.name, member.size, folder=member.folder)
    account.close()
    ends = [*(member.offset for member in members[1:]), directory]
    for member, mode, end, content in zip(members, modes, ends, _contents(file, members, ends), strict=True):
        if content is not None:
            yield Entry(member.name, member.folder, mode, member.size, iter((content,)), content)
            continue
        file.seek(member.offset)
        room = _read_local_header(file, member, end)
        chunks = _measured(_content(file, member), member)
        yield Entry(member.name, member.folder, mode, member.size, chunks)
        for _ in chunks:
            pass  # what the caller left: its lies are found all the same
        if room:
            _descriptor(read_exactly(file, room, "an entry"), member)


def _contents(file: BinaryIO, members: list[Member], ends: list[int]) -> Iterator[bytes | None]:
    """The content of each member; None for those too large for one piece."""
    pieces = (_piece(file, member, end) for member, end in zip(members, ends, strict=True))
    if sum(SMALL < member.size <= WHOLE for member in members) > 1:
        return in_order(pieces)
    return (piece and piece.work() for piece in pieces)


def _piece(file: BinaryIO, member: Member, end: int) -> Piece | None:
    length = end - member.offset
    if member.size > WHOLE or length > WHOLE:
        return None
    if length < _LOCAL.size + len(member.raw_name) + member.packed:
        refuse("overlaps the next part, or something lies between them", member.name)
    file.seek(member.offset)
    part = read_exactly(file, length, "an entry")
    return Piece(partial(_whole, part, member), ahead=member.size > SMALL)


def _whole(part: bytes, member: Member) -> bytes:
    """The content of an entry from all its bytes, as strict as reading it in chunks."""
    header = _LOCAL.unpack_from(part)
    start = _LOCAL.size + header[-2] + header[-1]
    if start + member.packed > len(part):
        refuse("overlaps the next part, or something lies between them", member.name)
    room = _check_local_header(header, part[_LOCAL.size : start], member, len(part))
    packed = part[start : start + member.packed]
    content = packed if member.method == STORED else _inflated_whole(packed, member)
    _check(member, len(content), zlib.crc32(content))
    if room:
        _descriptor(part[-room:], member)
    return content


def _inflated_whole(packed: bytes, member: Member) -> bytes:
    codec = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        content = codec.decompress(packed, member.size + 1)  # one more than announced: then it is refused
    except zlib.error as error:
        refuse(f"can't be decompressed ({error})", member.name)
    if len(content) <= member.size and not codec.eof:
        refuse("is cut off", member.name)
    if codec.unused_data:
        refuse("has something behind its compressed content", member.name)
    return content


def _read_local_header(file: BinaryIO, member: Member, end: int) -> int:
    header = _LOCAL.unpack(read_exactly(file, _LOCAL.size, "an entry"))
    data = read_exactly(file, header[-2] + header[-1], "an entry")
    return _check_local_header(header, data, member, end - member.offset)


def _check_local_header(header: tuple[Any, ...], data: bytes, member: Member, length: int) -> int:
    """Compare the header before an entry's content with the directory; gives the bytes of the descriptor behind it.

    Args:
        header: Its fields.
        data: The name and the extra fields behind them.
        member: What the directory says.
        length: Bytes of the whole entry.
    """
    signature, _, flags, method, _, _, crc, packed, size, name_length, extra_length = header
    if signature != MAGIC or (flags, method, data[:name_length]) != (member.flags, member.method, member.raw_name):
        refuse("is described in two ways that contradict each other", member.name)
    if extra_length:
        extras = central.extras(data[name_length:], member.name)
        size, packed = central.widened(extras.get(ZIP64_EXTRA), (size, packed), member.name)
    announced = (crc, packed, size)
    later = member.flags & DESCRIPTOR and announced in ((0, 0, 0), (0, FULL32, FULL32))
    if announced != (member.crc, member.packed, member.size) and not later:
        refuse("is described in two ways that contradict each other", member.name)
    room = length - _LOCAL.size - len(data) - member.packed
    if room not in ((12, 16, 20, 24) if member.flags & DESCRIPTOR else (0,)):
        refuse("overlaps the next part, or something lies between them", member.name)
    return room


def _descriptor(data: bytes, member: Member) -> None:
    """The sizes behind an entry whose writer could not go back: with or without signature, short or zip64."""
    if len(data) in (16, 24):
        if not data.startswith(b"PK\x07\x08"):
            refuse("has a malformed descriptor behind it", member.name)
        data = data[4:]
    said = struct.unpack("<LLL" if len(data) == 12 else "<LQQ", data)
    if said != (member.crc, member.packed, member.size):
        refuse("is described in two ways that contradict each other", member.name)


def _measured(chunks: Iterator[bytes], member: Member) -> Iterator[bytes]:
    """The same chunks, held to the announced size and checksum."""
    size = crc = 0
    for chunk in chunks:
        size += len(chunk)
        if size > member.size:
            break
        crc = zlib.crc32(chunk, crc)
        yield chunk
    _check(member, size, crc)


def _check(member: Member, size: int, crc: int) -> None:
    if size > member.size:
        refuse("unpacks to more than it announces", member.name)
    if size != member.size:
        refuse("unpacks to less than it announces", member.name)
    if crc != member.crc:
        refuse("does not have the announced checksum", member.name)


def _content(file: BinaryIO, member: Member) -> Iterator[bytes]:
    if member.method == STORED:
        left = member.packed
        while left:
            chunk = read_exactly(file, min(left, CHUNK), "an entry")
            left -= len(chunk)
            yield chunk
        return
    yield from _inflated(file, member)


def _inflated(file: BinaryIO, member: Member) -> Iterator[bytes]:
    """Never more than one chunk at a time in memory, whatever the ratio."""
    codec = zlib.decompressobj(-zlib.MAX_WBITS)
    left = member.packed
    feed = b""
    while not codec.eof:
        if not feed and left:
            feed = read_exactly(file, min(left, CHUNK), "an entry")
            left -= len(feed)
        at_end = not feed
        try:
            chunk = codec.decompress(feed, CHUNK)
        except zlib.error as error:
            refuse(f"can't be decompressed ({error})", member.name)
        if at_end and not chunk and not codec.eof:
            refuse("is cut off", member.name)
        feed = codec.unconsumed_tail
        if chunk:
            yield chunk
    if left or codec.unused_data:
        refuse("has something behind its compressed content", member.name)
