"""The directory source against whatever somebody with access to the folder may put there."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from reconciler.errors import PolicyDenied, Reason, Transient
from reconciler.ports import Source
from reconciler.sources import directory
from tests.adapters.runs import RUN, SHOP, artifact, parts, run, run_json, store


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    folder.mkdir()
    return folder


@pytest.fixture
def source(root: Path, tmp_path: Path) -> Source:
    return directory.create({"root": str(root)}, parts(tmp_path))


def outside(root: Path) -> Path:
    return store(root.parent / "elsewhere")


def run_folder_is_a_link(root: Path) -> None:
    (root / "101").symlink_to(outside(root))


def run_file_is_a_link(root: Path) -> None:
    store(root)
    (root / "101/run.json").unlink()
    (root / "101/run.json").symlink_to(outside(root) / "run.json")


def run_file_is_a_fifo(root: Path) -> None:
    (root / "101").mkdir()
    os.mkfifo(root / "101/run.json")


def run_file_is_a_folder(root: Path) -> None:
    (root / "101/run.json").mkdir(parents=True)


def run_file_is_endless(root: Path) -> None:
    (root / "101").mkdir()
    (root / "101/run.json").touch()
    os.truncate(root / "101/run.json", 2**40)


def run_folder_is_a_file(root: Path) -> None:
    (root / "101").write_bytes(run_json())


@pytest.mark.parametrize(
    "prepare",
    [
        run_folder_is_a_link,
        run_file_is_a_link,
        run_file_is_a_fifo,
        run_file_is_a_folder,
        run_file_is_endless,
        run_folder_is_a_file,
    ],
)
def test_no_run_is_read_when(prepare: Callable[[Path], None], root: Path, source: Source) -> None:
    prepare(root)
    with pytest.raises(Transient) as caught:
        source.run(RUN)
    assert caught.value.reason is Reason.SOURCE_UNAVAILABLE
    assert str(root / "101") in caught.value.message


def a_link_to_a_secret(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def a_link_within_the_folder(path: Path) -> None:
    path.symlink_to("run.json")


def a_fifo_without_a_writer(path: Path) -> None:
    os.mkfifo(path)


def a_socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's path has room for 107 bytes only
    try:
        with socket.socket(socket.AF_UNIX) as unix:
            unix.bind(path.name)
    finally:
        os.chdir(here)


def a_folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize(
    "put", [a_link_to_a_secret, a_link_within_the_folder, a_fifo_without_a_writer, a_socket, a_folder]
)
def test_an_artifact_is_not_opened_when_its_file_is(put: Callable[[Path], None], root: Path, source: Source) -> None:
    folder = store(root)
    (folder / "shop.zip").unlink()
    put(folder / "shop.zip")
    with pytest.raises(Transient) as caught, source.open(run(), artifact(), 0):
        pass
    assert caught.value.reason is Reason.SOURCE_UNAVAILABLE


def test_an_absent_root_is_no_knowledge_rather_than_an_absent_run(tmp_path: Path) -> None:
    source = directory.create({"root": str(tmp_path / "not-mounted")}, parts(tmp_path))
    with pytest.raises(Transient, match="not-mounted") as caught:
        source.run(RUN)
    assert "mounted" in caught.value.hint


def test_a_folder_whose_run_file_has_not_come_yet_is_no_run(root: Path, source: Source) -> None:
    (root / "101").mkdir()
    with pytest.raises(PolicyDenied) as caught:
        source.run(RUN)
    assert caught.value.reason is Reason.RUN_NOT_FOUND


def test_the_root_itself_may_be_a_link(root: Path, tmp_path: Path) -> None:
    store(root)
    (tmp_path / "link").symlink_to(root)
    source = directory.create({"root": tmp_path / "link"}, parts(tmp_path))
    assert source.run(RUN).run_id == 101


def test_a_file_that_shrinks_while_it_is_read_is_tried_again(root: Path, source: Source) -> None:
    folder = store(root, data=b"x" * (3 * 1024 * 1024))
    with source.open(run(), artifact(), 0) as stream:
        chunks = iter(stream)
        next(chunks)
        os.truncate(folder / "shop.zip", 2 * 1024 * 1024)
        with pytest.raises(Transient, match="shrank from 3145728 to 2097152 bytes"):
            list(chunks)


def test_a_file_that_is_replaced_while_it_is_read_is_read_to_its_end(root: Path, source: Source) -> None:
    folder = store(root)
    with source.open(run(), artifact(), 0) as stream:
        (folder / "shop.zip").unlink()
        assert b"".join(stream) == SHOP


def test_a_file_that_became_shorter_than_what_we_hold_is_read_from_its_start(root: Path, source: Source) -> None:
    store(root)
    with source.open(run(), artifact(), len(SHOP) + 1) as stream:
        assert stream.offset == 0
        assert b"".join(stream) == SHOP


def test_nothing_stays_open(root: Path, source: Source) -> None:
    store(root)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        source.run(RUN)
        with source.open(run(), artifact(), 0) as stream:
            next(iter(stream))
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize(
    "options", [{}, {"root": 7}, {"root": "/srv/runs", "follow": True}], ids=["no root", "a number", "an unknown key"]
)
def test_other_options_are_refused(options: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(ValidationError):
        directory.create(options, parts(tmp_path))
