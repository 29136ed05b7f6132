"""What every source does, whatever lies behind it. Each adapter serves the same folder."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from reconciler.errors import PolicyDenied, Reason, Transient
from reconciler.model import RunId
from reconciler.ports import Source
from reconciler.sources import directory, http
from tests.adapters.runs import RUN, SHOP, artifact, parts, run, store
from tests.adapters.servers import FolderServer

BIG = bytes(range(256)) * 4096 * 3  # 3 MiB: more than two chunks


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    folder.mkdir()
    return folder


@pytest.fixture(params=["directory", "http"])
def source(request: pytest.FixtureRequest, root: Path, tmp_path: Path) -> Iterator[Source]:
    if request.param == "directory":
        yield directory.create({"root": root}, parts(tmp_path))
        return
    with FolderServer(root) as server:
        yield http.create({"url": server.url + "/"}, parts(tmp_path))


def test_a_run_is_told_as_ci_stored_it(source: Source, root: Path) -> None:
    store(root)
    assert source.run(RUN) == run(artifact())


def test_a_run_that_is_not_there_is_denied_until_it_comes(source: Source, root: Path) -> None:
    with pytest.raises(PolicyDenied) as caught:
        source.run(RUN)
    assert caught.value.reason is Reason.RUN_NOT_FOUND
    assert "run 101" in caught.value.message
    store(root)
    assert source.run(RUN).run_id == RUN


def test_a_run_folder_with_another_runs_file_is_not_believed(source: Source, root: Path) -> None:
    store(root).rename(root / "102")
    with pytest.raises(Transient, match="run_id"):
        source.run(RunId(102))


def test_an_unreadable_run_file_is_tried_again_since_ci_may_mend_it(source: Source, root: Path) -> None:
    (store(root) / "run.json").write_bytes(b"{")
    with pytest.raises(Transient) as caught:
        source.run(RUN)
    assert caught.value.reason is Reason.SOURCE_UNAVAILABLE
    assert "101/run.json: not JSON" in caught.value.message


@pytest.mark.parametrize("data", [b"", b"x", SHOP, BIG], ids=["empty", "one byte", "small", "3 MiB"])
def test_an_artifact_comes_byte_for_byte_in_chunks_of_at_most_a_mebibyte(
    source: Source, root: Path, data: bytes
) -> None:
    store(root, data=data)
    with source.open(run(), artifact(data), 0) as stream:
        chunks = list(stream)
        assert stream.offset == 0
    assert b"".join(chunks) == data
    assert all(0 < len(chunk) <= 1024 * 1024 for chunk in chunks)


@pytest.mark.parametrize("offset", [1, 1024 * 1024, len(BIG) - 1], ids=["the second byte", "a chunk", "the last byte"])
def test_a_download_is_resumed_where_it_broke_off(source: Source, root: Path, offset: int) -> None:
    store(root, data=BIG)
    with source.open(run(), artifact(BIG), offset) as stream:
        assert stream.offset == offset
        assert b"".join(stream) == BIG[offset:]


def test_resuming_behind_the_end_begins_anew(source: Source, root: Path) -> None:
    store(root)
    with source.open(run(), artifact(), len(SHOP) + 5) as stream:
        assert stream.offset == 0
        assert b"".join(stream) == SHOP


def test_resuming_at_the_very_end_gives_the_rest_or_all(source: Source, root: Path) -> None:
    store(root)
    with source.open(run(), artifact(), len(SHOP)) as stream:
        assert b"".join(stream) == SHOP[stream.offset :]


def test_a_file_that_is_gone_is_denied_by_the_name_of_its_artifact(source: Source, root: Path) -> None:
    (store(root) / "shop.zip").unlink()
    with pytest.raises(PolicyDenied) as caught, source.open(run(), artifact(), 0):
        pass
    assert caught.value.reason is Reason.ARTIFACT_MISSING
    assert "'shop'" in caught.value.message


@pytest.mark.parametrize("file", ["a b.zip", "100%.zip", "a#b?c.zip", "größe.zip", "a&b=c;d+e.zip"])
def test_a_file_name_means_itself_whatever_its_characters(source: Source, root: Path, file: str) -> None:
    folder = store(root)
    (folder / "shop.zip").rename(folder / file)
    with source.open(run(), artifact(file=file), 0) as stream:
        assert b"".join(stream) == SHOP


def test_a_reader_may_leave_in_the_middle(source: Source, root: Path) -> None:
    store(root, data=BIG)
    with source.open(run(), artifact(BIG), 0) as stream:
        assert next(iter(stream))


def test_an_error_of_the_reader_passes_through_unchanged(source: Source, root: Path) -> None:
    store(root)
    with pytest.raises(KeyError, match="mine"), source.open(run(), artifact(), 0):
        raise KeyError("mine")


def test_several_threads_read_at_once(source: Source, root: Path) -> None:
    store(root, data=BIG)

    def read(offset: int) -> bytes:
        assert source.run(RUN).run_id == RUN
        with source.open(run(), artifact(BIG), offset) as stream:
            return b"".join(stream)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(read, range(16))) == [BIG[offset:] for offset in range(16)]
