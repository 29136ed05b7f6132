"""Archives that are meant badly, or were damaged on the way: each is refused whole, with what is wrong."""

from __future__ import annotations

import io
import itertools
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from reconciler.archive import entries
from reconciler.bounds import Bounds
from reconciler.errors import Reason, Terminal
from tests.archives import (
    TAR_END,
    Part,
    Zip,
    entry,
    gz,
    pax,
    tar_block,
    tar_of,
    tar_with,
    zip_of,
    zip_parts,
    zst,
)

SMALL = Bounds(unpacked_bytes=1_000_000, unpacked_files=100)
SPOOL = Path("/nowhere")
DEFLATED = zipfile.ZIP_DEFLATED
SYMLINK = 0o120777 << 16


def read_all(data: bytes, bounds: Bounds = SMALL) -> dict[str, bytes]:
    return {item.path: b"".join(item.chunks) for item in entries(io.BytesIO(data), bounds, "outer", SPOOL)}


def refusal(data: bytes, bounds: Bounds = SMALL) -> Terminal:
    with pytest.raises(Terminal) as caught:
        read_all(data, bounds)
    error = caught.value
    assert error.hint
    assert error.message.isascii()
    assert error.message.isprintable()
    assert len(error.message) < 300
    return error


def _with_bytes(data: bytes, at: int, other: bytes) -> bytes:
    return data[:at] + other + data[at + len(other) :]


HOSTILE_ZIPS = [
    pytest.param(b"", "empty", id="nothing at all"),
    pytest.param(Zip([]).bytes(), "no file", id="no entries"),
    pytest.param(zip_of({"d": None}), "no file", id="folders only"),
    pytest.param(Zip(before=b"#!/bin/sh\n").bytes(), "not a zip", id="a script before it, offsets as they were"),
    pytest.param(
        Zip(before=zip_parts(Part(name=b"other")), shift=122).bytes(), "between|before|where", id="a zip before it"
    ),
    pytest.param(
        Zip(before=b"PK\x03\x04junk", shift=8).bytes(), "before its first", id="junk before it, offsets moved"
    ),
    pytest.param(Zip().bytes() + b"junk", "followed by", id="junk behind it"),
    pytest.param(Zip().bytes() + Zip([Part(name=b"b")]).bytes(), "between|where", id="a second zip behind it"),
    pytest.param(Zip(comment=b"12345").bytes()[:-1], "followed by", id="a comment that is shorter than announced"),
    pytest.param(Zip(comment=b"x" + Zip([]).bytes()).bytes(), "between|where", id="an end record in the comment"),
    pytest.param(Zip(before_directory=b"junk").bytes(), "overlaps|between", id="junk before the central directory"),
    pytest.param(Zip(before_end=b"junk").bytes(), "between|where", id="junk behind the central directory"),
    pytest.param(zip_parts(Part(behind=b"junk"), Part(name=b"b")), "overlaps|between", id="junk between two entries"),
    pytest.param(Zip([Part()], count=2).bytes(), "announces 2", id="more entries announced than listed"),
    pytest.param(Zip([Part(), Part(name=b"b")], count=1).bytes(), "announces 1", id="fewer announced than listed"),
    pytest.param(
        zip_parts(Part(), Part(name=b"b", offset=0)), "overlaps|contradict", id="two entries share their bytes"
    ),
    pytest.param(zip_parts(Part(), Part(name=b"b", offset=5)), "overlaps|contradict", id="an entry inside of another"),
    pytest.param(zip_parts(Part(), Part(name=b"b", offset=2**31)), "overlaps|contradict|ends", id="an entry outside"),
    pytest.param(
        _with_bytes(zip_parts(Part(data=b"", extra=b"\x99\x99\0\0"), Part(name=b"b")), 28, b"\x3c\0"),
        "overlaps|contradict",
        id="extra fields that reach into the next entry",
    ),
    pytest.param(zip_parts(Part(local_name=b"b")), "contradict", id="another name in the local header"),
    pytest.param(zip_parts(Part(local_size=1)), "contradict", id="another size in the local header"),
    pytest.param(zip_parts(Part(local_crc=1)), "contradict", id="another checksum in the local header"),
    pytest.param(zip_parts(Part(crc=1)), "checksum", id="a wrong checksum"),
    pytest.param(zip_parts(Part(size=6)), "more than it announces", id="a stored size that is too small"),
    pytest.param(zip_parts(Part(size=8)), "less than it announces", id="a stored size that is too large"),
    pytest.param(zip_parts(Part(method=DEFLATED, size=6)), "more than", id="a size that is too small"),
    pytest.param(zip_parts(Part(method=DEFLATED, size=8)), "less than", id="a size that is too large"),
    pytest.param(zip_parts(Part(method=DEFLATED, packed=b"\xff" * 20)), "decompressed", id="no deflate at all"),
    pytest.param(zip_parts(Part(method=DEFLATED, packed=b"\x00")), "cut off", id="deflate that is cut off"),
    pytest.param(
        zip_parts(Part(method=DEFLATED, packed=Part(method=DEFLATED).content() + b"junk")),
        "behind its compressed",
        id="something behind the compressed content",
    ),
    pytest.param(zip_parts(Part(flags=0x1)), "encrypted", id="encrypted"),
    pytest.param(zip_parts(Part(flags=0x41)), "encrypted", id="strongly encrypted"),
    pytest.param(zip_parts(Part(flags=0x2000)), "not known", id="an encrypted central directory"),
    pytest.param(zip_parts(Part(flags=0x20)), "not known", id="a patch"),
    pytest.param(zip_parts(Part(method=12)), "not known", id="bzip2"),
    pytest.param(zip_parts(Part(method=99)), "not known", id="an unknown method"),
    pytest.param(zip_parts(Part(disk=1)), "not known", id="an entry on another disk"),
    pytest.param(zip_parts(Part(attributes=SYMLINK)), "neither", id="a symlink"),
    pytest.param(zip_parts(Part(attributes=0o010644 << 16)), "neither", id="a FIFO"),
    pytest.param(zip_parts(Part(attributes=0o020644 << 16)), "neither", id="a device"),
    pytest.param(zip_parts(Part(attributes=0o104755 << 16)), "set-user-id", id="a setuid program"),
    pytest.param(zip_parts(Part(attributes=0o102755 << 16)), "set-group-id", id="a setgid program"),
    pytest.param(zip_parts(Part(attributes=0o040755 << 16)), "other way round", id="a folder named like a file"),
    pytest.param(zip_parts(Part(name=b"a/")), "other way round", id="a file named like a folder"),
    pytest.param(zip_parts(Part(attributes=0x10)), "other way round", id="a DOS folder named like a file"),
    pytest.param(zip_parts(Part(name=b"a/", attributes=0)), "with content", id="a folder with content"),
    pytest.param(zip_parts(Part(name=b"\xc3\xa9")), "flag bit 11", id="a name that is not marked as UTF-8"),
    pytest.param(zip_parts(Part(name=b"\xff", flags=0x800)), "UTF-8", id="a name that is not UTF-8"),
    pytest.param(zip_parts(Part(name=b"a\0.txt")), "NUL", id="a NUL in a name"),
    pytest.param(zip_parts(Part(name=b"")), "empty", id="an empty name"),
    pytest.param(
        zip_parts(Part(extra=b"\x75\x70\x06\x00\x01" + b"\0" * 4 + b"b")), "second", id="a second, different name"
    ),
    pytest.param(zip_parts(Part(extra=b"\x01\x00\xff\x00ab")), "extra", id="an extra field beyond its end"),
    pytest.param(zip_parts(Part(extra=b"ab")), "extra", id="half an extra field"),
    pytest.param(zip_parts(Part(flags=0x8, local_size=0)), "contradict|overlaps", id="a descriptor that is missing"),
    pytest.param(
        zip_parts(Part(flags=0x8, behind=b"PK\x07\x08" + b"\0" * 12)), "contradict", id="a descriptor that lies"
    ),
    pytest.param(zip_parts(Part(flags=0x8, behind=b"x" * 16)), "malformed descriptor", id="junk as a descriptor"),
]


@pytest.mark.parametrize(("data", "why"), HOSTILE_ZIPS)
def test_a_hostile_zip_is_refused(data: bytes, why: str) -> None:
    error = refusal(data)
    assert error.reason is Reason.ARTIFACT_UNSAFE
    assert any(word in error.message for word in why.split("|")), error.message


def _linked(kind: bytes, to: str) -> bytes:
    return tar_with([(entry("a", kind, linkname=to), b"")])


_A = tar_block(b"a", b"0", b"content")
HOSTILE_TARS = [
    pytest.param(bytes(10240), "not a zip", id="no entries"),
    pytest.param(tar_of({"d": None}), "no file", id="folders only"),
    pytest.param(_linked(tarfile.SYMTYPE, "/etc/passwd"), "symbolic link", id="a symlink"),
    pytest.param(_linked(tarfile.LNKTYPE, "/etc/passwd"), "hard link", id="a hard link out"),
    pytest.param(_linked(tarfile.FIFOTYPE, ""), "FIFO", id="a FIFO"),
    pytest.param(_linked(tarfile.CHRTYPE, ""), "character device", id="a character device"),
    pytest.param(_linked(tarfile.BLKTYPE, ""), "block device", id="a block device"),
    pytest.param(_linked(tarfile.CONTTYPE, ""), "contiguous", id="a contiguous file"),
    pytest.param(tar_block(b"a", b"S") + TAR_END, "sparse", id="an old GNU sparse file"),
    pytest.param(tar_block(b"a", b"V") + TAR_END, "unknown type", id="a volume header"),
    pytest.param(tar_block(b"a", b"K", b"x") + _A + TAR_END, "long name", id="a long link name"),
    pytest.param(tar_block(b"a", b"\x1b") + TAR_END, "unknown type", id="an unknown type"),
    pytest.param(
        tar_with([(entry("d", tarfile.SYMTYPE, linkname="/tmp"), b""), (entry("d/x"), b"out")]),
        "symbolic link",
        id="a symlink, then a file through it",
    ),
    pytest.param(tar_of({"a": b""}, {"a": 0o4755}), "set-user-id", id="a setuid program"),
    pytest.param(tar_of({"a": b""}, {"a": 0o2755}), "set-group-id", id="a setgid program"),
    pytest.param(tar_of({"d": None, "a": b""}, {"d": 0o2755}), "set-group-id", id="a setgid folder"),
    pytest.param(_A + bytes(512), "second zero block", id="one zero block at the end"),
    pytest.param(_A, "two zero blocks", id="no zero block at the end"),
    pytest.param(_A + bytes(512) + _A + TAR_END, "single zero block", id="an entry behind one zero block"),
    pytest.param(_A + TAR_END + _A + TAR_END, "behind its end", id="an entry behind the end"),
    pytest.param(_A + TAR_END + b"junk", "behind its end", id="junk behind the end"),
    pytest.param(_A + TAR_END + bytes(100), "behind its end", id="padding that is no whole block"),
    pytest.param(_A + TAR_END + bytes(2**21), "padding", id="padding without an end"),
    pytest.param(tar_block(b"a", b"0", checksum=b"000000\0 ") + TAR_END, "checksum", id="a wrong checksum"),
    pytest.param(tar_block(b"a", b"0", size_field=b"-0000000001\0") + TAR_END, "size", id="a negative size"),
    pytest.param(tar_block(b"a", b"0", size_field=b"\xff" * 12) + TAR_END, "size", id="a negative binary size"),
    pytest.param(tar_block(b"a", b"0", size_field=b"0000000_1_0\0") + TAR_END, "size", id="a size with underscores"),
    pytest.param(tar_block(b"a", b"0", mode=b"rwxr-xr\0") + TAR_END, "mode", id="a mode in letters"),
    pytest.param(_A + tar_block(b"b", b"0", magic=bytes(8)) + TAR_END, "unknown kind", id="no magic"),
    pytest.param(tar_block(b"a", b"0", prefix=b"../..") + TAR_END, "'..'", id="a prefix that leads out"),
    pytest.param(
        tar_block(b"a", b"0", prefix=b"x", magic=b"ustar  \0") + TAR_END, "older kind", id="GNU times in the prefix"
    ),
    pytest.param(tar_block(b"a\0b", b"0") + TAR_END, "NUL", id="a NUL inside of a name"),
    pytest.param(tar_block(b"\xff", b"0") + TAR_END, "UTF-8", id="a name that is not UTF-8"),
    pytest.param(tar_block(b"a/", b"0") + TAR_END, "empty part", id="a file named like a folder"),
    pytest.param(tar_block(b"a", b"5", b"x") + TAR_END, "with content", id="a folder with content"),
    pytest.param(tar_block(b"", b"0") + TAR_END, "empty", id="an empty name"),
    pytest.param(tar_block(b"././a", b"0") + TAR_END, "'.'", id="more than one dot in front"),
    pytest.param(tar_of({"./a": b"1", "a": b"2"}), "twice", id="one name with and without the dot in front"),
    pytest.param(tar_block(b"L", b"L", b"a\0b\0") + _A + TAR_END, "NUL", id="a NUL inside of a long name"),
    pytest.param(tar_block(b"L", b"L", b"../x\0") + _A + TAR_END, "'..'", id="a long name that leads out"),
    pytest.param(tar_block(b"x", b"x", pax({"path": "../x"})) + _A + TAR_END, "'..'", id="a pax path that leads out"),
    pytest.param(tar_block(b"x", b"x", pax({"path": "a\0b"})) + _A + TAR_END, "NUL", id="a NUL in a pax path"),
    pytest.param(tar_block(b"x", b"x", pax({"linkpath": "b"})) + _A + TAR_END, "linkpath", id="a pax link"),
    pytest.param(
        tar_block(b"x", b"x", pax({"GNU.sparse.major": "1"})) + _A + TAR_END, "sparse", id="a pax sparse file"
    ),
    pytest.param(
        tar_block(b"x", b"x", pax({"SCHILY.xattr.security.capability": "x"})) + _A + TAR_END,
        "capability",
        id="file capabilities",
    ),
    pytest.param(tar_block(b"x", b"x", pax({"size": "-1"})) + _A + TAR_END, "not need", id="a negative pax size"),
    pytest.param(tar_block(b"x", b"x", b"9 path=\n") + _A + TAR_END, "malformed", id="a pax record of a wrong length"),
    pytest.param(tar_block(b"x", b"x", b"path=a\n") + _A + TAR_END, "malformed", id="a pax record without a length"),
    pytest.param(
        tar_block(b"x", b"x", pax({"path": "b"}) + pax({"path": "c"})) + _A + TAR_END, "malformed", id="two pax paths"
    ),
    pytest.param(tar_block(b"x", b"x", pax({"path": "b"})) * 2 + _A + TAR_END, "twice", id="two pax headers"),
    pytest.param(
        tar_block(b"x", b"x", pax({"path": "b"})) + tar_block(b"L", b"L", b"c\0") + _A + TAR_END,
        "two names",
        id="a pax path and a GNU one",
    ),
    pytest.param(tar_block(b"g", b"g", pax({"path": "b"})) + _A + TAR_END, "not need", id="a path for all entries"),
    pytest.param(_A + tar_block(b"x", b"x", pax({"path": "b"})) + TAR_END, "without the entry", id="a pax header last"),
    pytest.param(tar_block(b"x", b"x", size=2**33) + _A + TAR_END, "extension header of", id="a pax header of 8 GiB"),
    pytest.param(tar_block(b"L", b"L", size=2**33) + _A + TAR_END, "extension header of", id="a long name of 8 GiB"),
]


@pytest.mark.parametrize("packed", [bytes, gz, zst], ids=["tar", "tar.gz", "tar.zst"])
@pytest.mark.parametrize(("data", "why"), HOSTILE_TARS)
def test_a_hostile_tar_is_refused(data: bytes, why: str, packed: Callable[[bytes], bytes]) -> None:
    error = refusal(packed(data))
    assert error.reason is Reason.ARTIFACT_UNSAFE
    expected = "no file|zero block" if packed is not bytes and data == bytes(10240) else why
    assert any(word in error.message for word in expected.split("|")), error.message


BAD_NAMES = ["../x", "/etc/x", "a/../../x", "a\\..\\x", "C:/x", "a\nb", "\x1b[2Jx", "a\u202eb", "n" * 300, "a//b"]
CLASHES = [("a", "a"), ("a", "A"), ("é", "e\u0301"), ("a", "a/b"), ("D/x", "d/y"), ("straße", "STRASSE")]


@pytest.mark.parametrize("maker", [zip_of, tar_of], ids=["zip", "tar"])
@pytest.mark.parametrize("name", BAD_NAMES, ids=ascii)
def test_a_name_that_leads_out_or_deceives_is_refused(name: str, maker: Callable[[dict[str, bytes]], bytes]) -> None:
    error = refusal(maker({"good": b"1", name: b"2"}))
    assert error.reason is Reason.ARTIFACT_UNSAFE


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("names", CLASHES, ids=lambda pair: ascii(" and ".join(pair)))
def test_two_entries_for_one_place_are_refused(names: tuple[str, str]) -> None:
    parts = [Part(name=name.encode(), flags=0x800) for name in names]
    members = [(entry(name), b"1") for name in names]
    for data in (zip_parts(*parts), tar_with(members)):
        assert refusal(data).reason is Reason.ARTIFACT_UNSAFE


def _zip64() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", DEFLATED) as archive, archive.open("a", "w", force_zip64=True) as file:
        file.write(b"content")
    return buffer.getvalue()


def _zst_with_window(log: int) -> bytes:
    parameters = zstandard.ZstdCompressionParameters(window_log=log)
    codec = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    return codec.compress(tar_of({"a": b"1"})) + codec.flush()


FORMATS = {
    "zip": zip_of({"a": b"content" * 20, "d/b": b"more"}),
    "zip with zip64 fields": _zip64(),
    "zip with a comment": Zip([Part(), Part(name=b"b", method=DEFLATED)], comment=b"hi").bytes(),
    "tar": _A + tar_block(b"b", b"0", b"") + TAR_END,
    "tar with pax headers": tar_block(b"x", b"x", pax({"path": "b" * 120})) + _A + TAR_END,
    "tar.gz": gz(tar_of({"a": b"content" * 20})),
    "tar.zst": zst(tar_of({"a": b"content" * 20})),
}


@pytest.mark.parametrize("data", FORMATS.values(), ids=FORMATS)
def test_an_archive_that_is_cut_off_anywhere_is_refused(data: bytes) -> None:
    read_all(data)
    for length in range(len(data)):
        assert refusal(data[:length]).reason is Reason.ARTIFACT_UNSAFE


@pytest.mark.parametrize("data", FORMATS.values(), ids=FORMATS)
def test_a_flipped_byte_gives_a_refusal_or_a_sound_reading_and_never_a_crash(data: bytes) -> None:
    reasons = set()
    for position, flip in itertools.product(range(0, len(data), 3), (0x01, 0xFF)):
        damaged = bytearray(data)
        damaged[position] ^= flip
        try:
            read_all(bytes(damaged))
        except Terminal as error:
            reasons.add(error.reason)
    assert {Reason.ARTIFACT_UNSAFE} <= reasons <= {Reason.ARTIFACT_UNSAFE, Reason.ARTIFACT_TOO_LARGE}


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(gz(tar_of({"a": b"1"})) + gz(tar_of({"b": b"2"})), id="two gzip members"),
        pytest.param(gz(tar_of({"a": b"1"})) + b"junk", id="junk behind gzip"),
        pytest.param(gz(tar_of({"a": b"1"})) + bytes(1), id="a zero byte behind gzip"),
        pytest.param(zst(tar_of({"a": b"1"})) + zst(tar_of({"b": b"2"})), id="two zstd frames"),
        pytest.param(zst(tar_of({"a": b"1"})) + b"junk", id="junk behind zstd"),
        pytest.param(zst(tar_of({"a": b"1"})) + b"\x50\x2a\x4d\x18\0\0\0\0", id="a skippable zstd frame behind"),
        pytest.param(_zst_with_window(28), id="a zstd frame that asks for 256 MiB of memory"),
        pytest.param(b"\x28\xb5\x2f\xfd", id="the zstd magic alone"),
        pytest.param(b"\x1f\x8b", id="the gzip magic alone"),
        pytest.param(gz(gz(tar_of({"a": b"1"}))), id="gzip in gzip"),
    ],
)
def test_what_does_not_end_where_it_says_is_refused(data: bytes) -> None:
    assert refusal(data).reason is Reason.ARTIFACT_UNSAFE


ZEROS = bytes(2_000_000)
BOMBS = [
    pytest.param(zip_of({"a": ZEROS}), id="a large file in a zip"),
    pytest.param(zip_of({f"f{n}": bytes(300_000) for n in range(4)}), id="a large sum in a zip"),
    pytest.param(zip_of({f"f{n}": b"" for n in range(101)}), id="many files in a zip"),
    pytest.param(zip_of({f"{n}/a/b/c/d": b"" for n in range(30)}), id="many implied folders in a zip"),
    pytest.param(tar_block(b"a", b"0", size=2**33) + TAR_END, id="a large size that a tar announces"),
    pytest.param(tar_block(b"a", b"0", size_field=b"\x80" + b"\xff" * 11) + TAR_END, id="a size of 88 bits in a tar"),
    pytest.param(gz(tar_of({"a": ZEROS})), id="a large file in a tar.gz"),
    pytest.param(zst(tar_of({"a": ZEROS})), id="a large file in a tar.zst"),
    pytest.param(gz(tar_of({f"f{n}": b"" for n in range(101)})), id="many files in a tar.gz"),
    pytest.param(tar_block(b"x", b"x", pax({"size": "9" * 18})) + _A + TAR_END, id="a large pax size"),
]


@pytest.mark.parametrize("data", BOMBS)
def test_a_bomb_is_refused_for_its_size(data: bytes) -> None:
    error = refusal(data)
    assert error.reason is Reason.ARTIFACT_TOO_LARGE
    assert "bounds.unpacked" in error.hint


def test_a_zip_that_lies_about_its_size_stops_at_what_it_announced() -> None:
    data = zip_parts(Part(method=DEFLATED, data=bytes(50_000_000), size=1000, crc=0))
    with pytest.raises(Terminal, match="more than it announces"):
        next(entries(io.BytesIO(data), SMALL, "outer", SPOOL))  # not one byte of it is given


def test_a_large_entry_of_a_zip_that_lies_about_its_size_stops_at_what_it_announced() -> None:
    data = zip_parts(Part(method=DEFLATED, data=bytes(50_000_000), size=3_000_000, crc=0))
    item = next(entries(io.BytesIO(data), Bounds(), "outer", SPOOL))
    given: list[int] = []
    with pytest.raises(Terminal, match="more than it announces"):
        given.extend(map(len, item.chunks))
    assert sum(given) <= 3_000_000


@pytest.mark.parametrize("packed", [gz, zst], ids=["gzip", "zstd"])
def test_a_bomb_of_padding_takes_neither_memory_nor_time(packed: Callable[[bytes], bytes]) -> None:
    data = packed(_A + TAR_END + bytes(100_000_000))
    tracemalloc.start()
    try:
        refusal(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16_000_000


def test_a_zstd_frame_may_ask_for_as_much_memory_as_zstd_gives_by_itself() -> None:
    assert read_all(_zst_with_window(27)) == {"a": b"1"}


def test_a_refusal_names_the_entry_without_its_tricks() -> None:
    error = refusal(zip_of({"\x1b[2J" + "evil" * 60: b""}))
    assert "\\x1b[2J" in error.message
    assert "invisible" in error.message
