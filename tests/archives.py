"""Makers of archives: good ones through the standard libraries, hostile ones byte by byte."""

from __future__ import annotations

import gzip
import io
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import zstandard

LONG_AGO = (1980, 1, 1, 0, 0, 0)

Files = Mapping[str, bytes | None]
"""Contents by name; None, or a name with a slash at its end, stands for a folder."""


def zip_of(files: Files, modes: Mapping[str, int] | None = None, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip as Python writes it; the same bytes each time."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in files.items():
            folder = content is None
            info = zipfile.ZipInfo(name if not folder or name.endswith("/") else name + "/", LONG_AGO)
            info.compress_type = zipfile.ZIP_STORED if folder else method
            kind = stat.S_IFDIR if folder else stat.S_IFREG
            info.external_attr = (kind | (modes or {}).get(name, 0o755 if folder else 0o644)) << 16
            archive.writestr(info, content or b"")
    return buffer.getvalue()


def tar_of(files: Files, modes: Mapping[str, int] | None = None, format: int = tarfile.PAX_FORMAT) -> bytes:  # noqa: A002
    """A tar as Python writes it; the same bytes each time."""
    members = []
    for name, content in files.items():
        info = tarfile.TarInfo(name)
        info.type = tarfile.DIRTYPE if content is None else tarfile.REGTYPE
        info.mode = (modes or {}).get(name, 0o755 if content is None else 0o644)
        members.append((info, content or b""))
    return tar_with(members, format)


def tar_with(members: Iterable[tuple[tarfile.TarInfo, bytes]], format: int = tarfile.PAX_FORMAT) -> bytes:  # noqa: A002
    """A tar of any entries at all."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as archive:
        for info, content in members:
            if info.isreg():
                info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def entry(name: str, kind: bytes = tarfile.REGTYPE, **fields: object) -> tarfile.TarInfo:
    """One tar entry of any kind."""
    info = tarfile.TarInfo(name)
    info.type = kind
    for key, value in fields.items():
        setattr(info, key, value)
    return info


def gz(data: bytes) -> bytes:
    """One gzip member; the same bytes each time."""
    return gzip.compress(data, mtime=0)


def zst(data: bytes) -> bytes:
    """One zstd frame."""
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


@dataclass
class Part:
    """One zip entry, each field free to lie. None: what is true."""

    name: bytes = b"a"
    data: bytes = b"content"
    method: int = zipfile.ZIP_STORED
    flags: int = 0
    attributes: int = 0o100644 << 16
    extra: bytes = b""
    packed: bytes | None = None
    crc: int | None = None
    size: int | None = None
    local_name: bytes | None = None
    local_size: int | None = None
    local_crc: int | None = None
    behind: bytes = b""
    """Put between this entry and what comes next."""
    offset: int | None = None
    disk: int = 0

    def content(self) -> bytes:
        if self.packed is not None:
            return self.packed
        if self.method != zipfile.ZIP_DEFLATED:
            return self.data
        codec = zlib.compressobj(9, zlib.DEFLATED, -15)
        return codec.compress(self.data) + codec.flush()

    def true_crc(self) -> int:
        return zlib.crc32(self.data) if self.crc is None else self.crc

    def true_size(self) -> int:
        return len(self.data) if self.size is None else self.size

    def local(self) -> bytes:
        name = self.name if self.local_name is None else self.local_name
        crc = self.true_crc() if self.local_crc is None else self.local_crc
        size = self.true_size() if self.local_size is None else self.local_size
        content = self.content()
        lengths = (len(content), size, len(name), len(self.extra))
        head = struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, self.flags, self.method, 0, 33, crc, *lengths)
        return head + name + self.extra + content + self.behind

    def central(self, offset: int) -> bytes:
        sizes = (self.true_crc(), len(self.content()), self.true_size())
        lengths = (len(self.name), len(self.extra), 0, self.disk, 0)
        at = offset if self.offset is None else self.offset
        head = (b"PK\x01\x02", 0x0314, 20, self.flags, self.method, 0, 33)
        return struct.pack("<4s6H3L5H2L", *head, *sizes, *lengths, self.attributes, at) + self.name + self.extra


@dataclass
class Zip:
    """A zip put together by hand."""

    parts: list[Part] = field(default_factory=lambda: [Part()])
    before: bytes = b""
    before_directory: bytes = b""
    before_end: bytes = b""
    comment: bytes = b""
    count: int | None = None
    shift: int = 0
    """Added to every offset, as a tool does that knows of something before the archive."""

    def bytes(self) -> bytes:
        body, central = bytearray(self.before), b""
        for part in self.parts:
            central += part.central(len(body) - len(self.before) + self.shift)
            body += part.local()
        body += self.before_directory
        count = len(self.parts) if self.count is None else self.count
        start = len(body) - len(self.before) + self.shift
        end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count, count, len(central), start, len(self.comment))
        return bytes(body) + central + self.before_end + end + self.comment


def zip_parts(*parts: Part) -> bytes:
    """A zip of these entries and nothing odd around them."""
    return Zip(list(parts)).bytes()


def pax(records: Mapping[str, str]) -> bytes:
    """The content of a pax extension header."""
    out = b""
    for key, value in records.items():
        record = f" {key}={value}\n".encode()
        length = len(record) + 1
        while len(str(length)) + len(record) != length:
            length = len(str(length)) + len(record)
        out += str(length).encode() + record
    return out


def tar_block(name: bytes, kind: bytes, content: bytes = b"", *, size: int | None = None, **fields: bytes) -> bytes:
    """One tar entry byte by byte: header, content, padding. `fields`: `prefix`, `magic`, `mode`, `size_field`."""
    block = bytearray(512)
    block[0 : len(name)] = name
    block[100:108] = fields.get("mode", b"0000644\0")
    block[124:136] = fields.get("size_field", b"%011o\0" % (len(content) if size is None else size))
    block[156:157] = kind
    block[257:265] = fields.get("magic", b"ustar\x0000")
    prefix = fields.get("prefix", b"")
    block[345 : 345 + len(prefix)] = prefix
    block[148:156] = b" " * 8
    block[148:156] = fields.get("checksum", b"%06o\0 " % sum(block))
    return bytes(block) + content + bytes(-len(content) % 512)


TAR_END = bytes(1024)
