"""Archives that are meant well: every format, every way of writing it, and where they end."""

from __future__ import annotations

import io
import itertools
import os
import random
import shutil
import subprocess
import tarfile
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.archive import CHUNK, entries
from reconciler.bounds import Bounds
from reconciler.errors import Reason, Terminal, Transient
from tests.archives import Part, Zip, entry, gz, pax, tar_block, tar_of, tar_with, zip_of, zip_parts, zst

FILES = {"readme": b"hello\n", "bin/run": b"#!/bin/sh\n", "data/empty": b"", "data/zeros": bytes(3000), "d": None}
MODES = {"bin/run": 0o775}
EXPECTED = {
    "readme": (0o644, b"hello\n"),
    "bin/run": (0o755, b"#!/bin/sh\n"),
    "data/empty": (0o644, b""),
    "data/zeros": (0o644, bytes(3000)),
    "d": (0o755, None),
}
FORMATS: dict[str, Callable[[bytes], bytes]] = {"tar": bytes, "tar.gz": gz, "tar.zst": zst}

Found = dict[str, tuple[int, bytes | None]]


def read(data: bytes, bounds: Bounds | None = None, *, inner: bool = False, spool: Path = Path("/nowhere")) -> Found:
    unpack = "inner" if inner else "outer"
    found: Found = {}
    for item in entries(io.BytesIO(data), bounds or Bounds(), unpack, spool):  # type: ignore[arg-type]
        content = b"".join(item.chunks)
        assert len(content) == item.size
        assert item.path not in found
        found[item.path] = (item.mode, None if item.folder else content)
    return found


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED], ids=["stored", "deflated"])
def test_a_zip_gives_files_folders_and_executable_bits(method: int) -> None:
    assert read(zip_of(FILES, MODES, method)) == EXPECTED


@pytest.mark.parametrize("packed", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize(
    "kind", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT], ids=["pax", "gnu", "ustar"]
)
def test_a_tar_gives_files_folders_and_executable_bits(kind: int, packed: Callable[[bytes], bytes]) -> None:
    assert read(packed(tar_of(FILES, MODES, kind))) == EXPECTED


def test_the_format_is_told_by_content_for_there_is_no_name() -> None:
    with pytest.raises(Terminal, match="not a zip"):
        read(b"#!/bin/sh\necho no archive\n" * 100)


@pytest.mark.parametrize("format", ["gnu", "pax", "ustar"])
def test_what_tar_itself_writes_from_inside_of_a_folder_is_read(format: str, tmp_path: Path) -> None:  # noqa: A002
    source = tmp_path / "source"
    (source / "bin").mkdir(parents=True)
    (source / "bin" / "run").write_bytes(b"x" * 700)
    (source / "bin" / "run").chmod(0o700)
    (source / ("long-" * 19)).mkdir()
    (source / ("long-" * 19) / ("name-" * 19)).write_bytes(b"far")
    (source / "é").write_bytes(b"")
    subprocess.run(["tar", f"--format={format}", "-C", source, "-cf", tmp_path / "a.tar", "."], check=True)
    found = read((tmp_path / "a.tar").read_bytes())
    assert found["bin/run"] == (0o755, b"x" * 700)
    assert found["é"] == (0o644, b"")
    assert found["long-" * 19 + "/" + "name-" * 19] == (0o644, b"far")
    assert "." not in found


def test_what_tar_itself_compresses_with_zstd_is_read(tmp_path: Path) -> None:
    if shutil.which("zstd") is None:
        pytest.fail("the program zstd is missing: install it to run the tests")
    (tmp_path / "a").write_bytes(os.urandom(300_000))
    subprocess.run(["tar", "--zstd", "-C", tmp_path, "-cf", tmp_path / "a.tar.zst", "a"], check=True)
    assert read((tmp_path / "a.tar.zst").read_bytes())["a"][1] == (tmp_path / "a").read_bytes()


class _Pipe(io.RawIOBase):
    """A file that can't seek: zip writers put the sizes behind each entry then."""

    def __init__(self) -> None:
        self.data = b""

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        piece = bytes(data)  # type: ignore[call-overload]
        self.data += piece
        return len(piece)


@pytest.mark.parametrize("zip64", [False, True], ids=["short descriptors", "zip64 descriptors"])
def test_a_zip_that_was_written_to_a_pipe_is_read(zip64: bool) -> None:
    pipe = _Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("one", "two"):
            with archive.open(name, "w", force_zip64=zip64) as member:
                member.write(name.encode() * 1000)
    assert {name: len(content or b"") for name, (_, content) in read(pipe.data).items()} == {"one": 3000, "two": 3000}


def test_a_zip_with_zip64_sizes_in_the_middle_is_read() -> None:
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("a", "w", force_zip64=True) as file,
    ):
        file.write(b"a" * 10)
    assert read(buffer.getvalue()) == {"a": (0o644, b"a" * 10)}


def test_a_zip_of_more_entries_than_16_bits_count_is_read() -> None:
    data = zip_of({f"f{number}": b"" for number in range(65_540)}, method=zipfile.ZIP_STORED)
    assert sum(1 for _ in entries(io.BytesIO(data), Bounds(), "outer", Path("/nowhere"))) == 65_540


def test_a_zip_with_a_comment_is_read() -> None:
    assert read(Zip(comment=b"built by CI").bytes()) == {"a": (0o644, b"content")}


def test_a_zip_without_unix_modes_gives_plain_files() -> None:
    assert read(zip_parts(Part(attributes=0))) == {"a": (0o644, b"content")}


def test_git_archive_and_its_global_header_are_read() -> None:
    comment = tar_block(b"pax_global_header", b"g", pax({"comment": "c" * 40}))
    assert read(comment + tar_of({"a": b"1"})) == {"a": (0o644, b"1")}


def test_a_pax_size_counts_for_the_one_file_behind_it() -> None:
    data = tar_block(b"x", b"x", pax({"size": "5", "mtime": "1.5"})) + tar_block(b"a", b"0", b"12345", size=0)
    assert read(data + tar_of({"b": b"6"})) == {"a": (0o644, b"12345"), "b": (0o644, b"6")}


def test_content_comes_in_chunks_of_bounded_size() -> None:
    big = bytes(5 * CHUNK + 17)
    for data in (zip_of({"big": big}), tar_of({"big": big}), gz(tar_of({"big": big})), zst(tar_of({"big": big}))):
        (item,) = entries(io.BytesIO(data), Bounds(), "outer", Path("/nowhere"))
        assert item.size == len(big)
    for data in (zip_of({"big": big}), zst(tar_of({"big": big}))):
        for item in entries(io.BytesIO(data), Bounds(), "outer", Path("/nowhere")):
            sizes = [len(chunk) for chunk in item.chunks]
            assert max(sizes) <= CHUNK
            assert sum(sizes) == len(big)


def test_content_that_nobody_reads_is_still_checked() -> None:
    data = zip_parts(Part(name=b"a", crc=1), Part(name=b"b"))
    with pytest.raises(Terminal, match="checksum"):
        for _ in entries(io.BytesIO(data), Bounds(), "outer", Path("/nowhere")):
            pass


@pytest.mark.parametrize("inner", [zip_of(FILES, MODES), gz(tar_of(FILES, MODES)), zst(tar_of(FILES, MODES))])
def test_a_single_inner_archive_is_read_and_its_copy_leaves_nothing(inner: bytes, tmp_path: Path) -> None:
    outer = zip_of({"shop.tar.gz": inner})
    assert read(outer, inner=True, spool=tmp_path) == EXPECTED
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "outer",
    [
        pytest.param(zip_of({"a": tar_of({"x": b"1"}), "b": b""}), id="two files"),
        pytest.param(zip_of({"d": None, "d/a": tar_of({"x": b"1"})}), id="a folder beside it"),
        pytest.param(zip_of({"a": b"no archive"}), id="a file that is no archive"),
        pytest.param(zip_of({"a": zip_of({"b": tar_of({"../x": b"1"})})[:-1]}), id="a broken archive"),
        pytest.param(zip_of({"a": tar_of({"../x": b"1"})}), id="an unsafe archive"),
    ],
)
def test_anything_but_a_single_sound_inner_archive_is_refused(outer: bytes, tmp_path: Path) -> None:
    with pytest.raises(Terminal) as caught:
        read(outer, inner=True, spool=tmp_path)
    assert caught.value.reason is Reason.ARTIFACT_UNSAFE


def test_an_inner_archive_over_its_bound_is_refused_before_it_is_copied(tmp_path: Path) -> None:
    with pytest.raises(Terminal) as caught:
        read(zip_of({"a": bytes(10_000)}), Bounds(artifact_bytes=9_999), inner=True, spool=tmp_path)
    assert caught.value.reason is Reason.ARTIFACT_TOO_LARGE


class _FailingFile(io.BytesIO):
    """A disk that fails behind some bytes."""

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() > 1000:
            raise OSError(5, "Input/output error")
        return super().read(size)


def test_a_disk_that_fails_in_the_middle_is_no_fault_of_the_archive() -> None:
    data = tar_of({"a": os.urandom(5000), "b": b""})
    with pytest.raises(Transient) as caught:
        list(entries(_FailingFile(data), Bounds(), "outer", Path("/nowhere")))
    assert caught.value.reason is Reason.SOURCE_UNAVAILABLE


def test_a_disk_that_fails_in_the_middle_of_a_large_entry_is_no_fault_of_the_archive() -> None:
    data = tar_of({"a": os.urandom(500_000), "b": b""})
    (item,) = itertools.islice(entries(_FailingFile(data), Bounds(), "outer", Path("/nowhere")), 1)
    with pytest.raises(Transient) as caught:
        list(item.chunks)
    assert caught.value.reason is Reason.SOURCE_UNAVAILABLE


# A tar may put `./` in front of every name: the one prefix that is dropped, tested above.
_NAMES = (
    st.lists(st.text("abcXYZ019._-é", min_size=1, max_size=12), min_size=1, max_size=3)
    .map("/".join)
    .filter(lambda name: name[0] != ".")
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(_NAMES, st.binary(max_size=2000), min_size=1, max_size=6))
def test_what_is_read_is_what_the_standard_library_reads_or_nothing(files: dict[str, bytes]) -> None:
    for data, theirs in ((zip_of(files), _by_zipfile), (tar_of(files), _by_tarfile)):
        try:
            ours = {name: content for name, (_, content) in read(data).items()}
        except Terminal:
            continue
        assert ours == theirs(data) == files


def _by_zipfile(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _by_tarfile(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {member.name: (archive.extractfile(member) or io.BytesIO()).read() for member in archive}


def test_a_gnu_long_name_is_read() -> None:
    name = "folder/" + "n" * 200
    data = tar_with([(entry(name), b"far")], tarfile.GNU_FORMAT)
    assert read(data) == {name: (0o644, b"far")}


@pytest.mark.parametrize(
    "packed",
    [zip_of, tar_of, lambda files: gz(tar_of(files)), lambda files: zst(tar_of(files))],
    ids=["zip", "tar", "tar.gz", "tar.zst"],
)
def test_a_large_entry_that_is_left_half_read_does_not_disturb_the_next(
    packed: Callable[[dict[str, bytes]], bytes],
) -> None:
    threads = threading.active_count()
    data = packed({"big": os.urandom(7 * CHUNK), "small": b"content", "also big": bytes(9 * CHUNK)})
    found = {}
    for item in entries(io.BytesIO(data), Bounds(), "outer", Path("/nowhere")):
        found[item.path] = next(item.chunks)
    assert found["small"] == b"content"
    assert list(found) == ["big", "small", "also big"]
    assert threading.active_count() == threads


_SIZES = {"small": 100, "medium": 300_000, "large": 3 * CHUNK + 1}
_MIXED = {
    f"{number} {kind}": random.Random(number).randbytes(_SIZES[kind])
    for number, kind in enumerate(["medium", "small", "large", "medium", "medium", "small", "large", *["medium"] * 9])
}


def test_entries_that_are_read_ahead_come_in_their_order() -> None:
    found = [
        (item.path, b"".join(item.chunks))
        for item in entries(io.BytesIO(zip_of(_MIXED)), Bounds(), "outer", Path("/nowhere"))
    ]
    assert found == list(_MIXED.items())


def test_what_is_wrong_with_an_entry_that_is_read_ahead_comes_at_its_turn() -> None:
    parts = [Part(name=b"%d" % number, data=bytes(300_000)) for number in range(8)]
    parts[5] = Part(name=b"5", data=bytes(300_000), crc=1)
    taken: list[str] = []
    with pytest.raises(Terminal, match="entry '5' does not have the announced checksum"):
        taken.extend(item.path for item in entries(io.BytesIO(zip_parts(*parts)), Bounds(), "outer", Path("/nowhere")))
    assert taken == ["0", "1", "2", "3", "4"]


def test_entries_that_are_left_behind_leave_no_thread() -> None:
    threads = threading.active_count()
    found = entries(io.BytesIO(zip_of(_MIXED)), Bounds(), "outer", Path("/nowhere"))
    next(found)
    assert threading.active_count() > threads
    del found  # and with it what reads ahead
    assert threading.active_count() == threads
