"""gzip and zstd as files to read from: one member, one frame, nothing behind, bounded memory.

The codecs are zlib's and zstandard's. What they let pass is checked here: several members or frames
glued together, bytes behind the end, and an input that ends early without a complaint.
"""

from __future__ import annotations

import io
import os
import zlib
from typing import BinaryIO, cast

import zstandard

from reconciler.archive.entry import CHUNK, read_exactly, refuse

GZIP_MAGIC = b"\x1f\x8b"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
ZSTD_WINDOW = 128 * 1024 * 1024
"""Bytes of memory that a frame may ask for. Origin: what `zstd` itself allows without `--long`."""

_LAST_BLOCK, _ONE_BYTE_REPEATED, _RESERVED = 1, 1, 3
_HEADER_BYTES = 18
"""Most bytes of a frame's header. Origin: RFC 8878, section 3.1.1.1."""


class _Gunzip(io.RawIOBase):
    """The content of a single gzip member (RFC 1952) that fills the whole file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._codec = zlib.decompressobj(16 + zlib.MAX_WBITS)
        self._feed = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]  # RawIOBase declares no buffer type
        chunk = b""
        while not chunk and not self._codec.eof:
            chunk = self._more(len(view))
        if not chunk and (self._codec.unused_data or self._file.read(1)):
            refuse("has something behind its gzip member")
        view[: len(chunk)] = chunk
        return len(chunk)

    def _more(self, limit: int) -> bytes:
        feed = self._feed or self._file.read(CHUNK)
        try:
            chunk = self._codec.decompress(feed, limit)
        except zlib.error as error:
            refuse(f"can't be decompressed ({error})")
        if not feed and not chunk and not self._codec.eof:
            refuse("ends in the middle of its gzip member")
        self._feed = self._codec.unconsumed_tail
        return chunk


class _Unzstd(io.RawIOBase):
    """The content of a single zstd frame whose extent was checked before."""

    def __init__(self, file: BinaryIO) -> None:
        codec = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW)
        self._content = codec.stream_reader(file, read_size=CHUNK, closefd=False)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        try:
            return self._content.readinto(buffer)
        except zstandard.ZstdError as error:
            refuse(f"can't be decompressed ({error})")


def gunzip(file: BinaryIO) -> BinaryIO:
    """A gzip file's content. Reading raises Terminal `ArtifactUnsafe` where it is not one whole member."""
    file.seek(0)
    return cast("BinaryIO", io.BufferedReader(_Gunzip(file), CHUNK))


def unzstd(file: BinaryIO) -> BinaryIO:
    """A zstd file's content.

    Raises:
        Terminal: `ArtifactUnsafe`: it is not one whole frame, here or while reading.
    """
    _check_frame(file)
    file.seek(0)
    return cast("BinaryIO", io.BufferedReader(_Unzstd(file), CHUNK))


def _check_frame(file: BinaryIO) -> None:
    """Walk the blocks' headers (RFC 8878, section 3.1.1): the frame must end where the file ends."""
    length = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(_HEADER_BYTES)
    try:
        parameters = zstandard.get_frame_parameters(head)
        at = zstandard.frame_header_size(head)
    except zstandard.ZstdError as error:
        refuse(f"has a malformed zstd header ({error})")
    last = False
    while not last:
        file.seek(at)
        block = int.from_bytes(read_exactly(file, 3, "its zstd frame"), "little")
        last, kind, size = bool(block & _LAST_BLOCK), block >> 1 & 3, block >> 3
        if kind == _RESERVED:
            refuse("has a malformed zstd block")
        at += 3 + (1 if kind == _ONE_BYTE_REPEATED else size)
    at += 4 if parameters.has_checksum else 0
    if at != length:
        refuse("is cut off" if at > length else "has something behind its zstd frame")
