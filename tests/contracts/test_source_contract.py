"""What every source does, whatever lies behind it. Adapters of one folder serve the same one."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import pytest

from reconciler.errors import PolicyDenied, Reason, Transient
from reconciler.model import Artifact, Digest, Run, RunId
from reconciler.ports import Source
from reconciler.sources import directory, github_actions, http
from tests.adapters.runs import RUN, SHOP, artifact, parts, run, store
from tests.adapters.servers import FolderServer
from tests.github.plugin import GitHub, github, referee  # noqa: F401
from tests.github.repository import HubRepository

BIG = bytes(range(256)) * 4096 * 3  # 3 MiB: more than two chunks
TOKEN = "TOKEN_OF_THE_SOURCE_CONTRACT"


class Shelf(Protocol):
    """What CI does, and the source that tells of it."""

    source: Source

    def store(self, data: bytes = SHOP) -> Run:
        """CI stores the run `RUN` with one artifact; returns what the source is to tell."""
        ...

    def lose(self) -> None:
        """CI has the artifact no more."""
        ...


class Folder:
    """A folder in the layout on disk."""

    def __init__(self, root: Path, source: Source) -> None:
        self.source = source
        self._root = root

    def store(self, data: bytes = SHOP) -> Run:
        store(self._root, data=data)
        return run(artifact(data))

    def lose(self) -> None:
        (self._root / str(RUN) / "shop.zip").unlink()


class Actions:
    """A repository on the stateful GitHub."""

    def __init__(self, repository: HubRepository, source: Source) -> None:
        self.source = source
        self._repository = repository

    def store(self, data: bytes = SHOP) -> Run:
        made = self._repository.run(RUN)
        kept = made.artifact("shop", data)
        identity, name = str(self._repository.id), self._repository.name
        return Run(
            run_id=RUN,
            repository=identity,
            head_repository=identity,
            workflow=made.workflow,
            branch="main",
            event="push",
            commit=self._repository.tip(),
            conclusion="success",
            attempt=1,
            created=made.created,
            artifacts=(Artifact("shop", str(kept.id), len(data), Digest(kept.sha256)),),
            on_branch=True,
            repository_name=name,
            head_repository_name=name,
        )

    def lose(self) -> None:
        self._repository.runs[RUN].artifacts[0].delete()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    folder.mkdir()
    return folder


@pytest.fixture(params=["directory", "http"])
def source(request: pytest.FixtureRequest, root: Path, tmp_path: Path) -> Iterator[Source]:
    """The sources that read the layout on disk."""
    if request.param == "directory":
        yield directory.create({"root": root}, parts(tmp_path))
        return
    with FolderServer(root) as server:
        yield http.create({"url": server.url + "/"}, parts(tmp_path))


@pytest.fixture(params=["directory", "http", "github-actions"])
def shelf(
    request: pytest.FixtureRequest, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Shelf]:
    if request.param == "directory":
        yield Folder(root, directory.create({"root": root}, parts(tmp_path)))
    elif request.param == "http":
        with FolderServer(root) as server:
            yield Folder(root, http.create({"url": server.url + "/"}, parts(tmp_path)))
    else:
        hosted: GitHub = request.getfixturevalue("github")
        repository = hosted.hub.repository("acme/shop", tmp_path / "shop")
        repository.push(repository.person("engineer"), "main", {"shop.py": "1"}, "Begin")
        monkeypatch.setenv(TOKEN, hosted.token)
        storage = hosted.hub.storage.url.removeprefix("http://")
        options = {"repository": "acme/shop", "url": hosted.url, "token_env": TOKEN, "storage_hosts": [storage]}
        yield Actions(repository, github_actions.create(options, parts(tmp_path)))


def test_a_run_is_told_as_ci_stored_it(shelf: Shelf) -> None:
    told = shelf.store()
    assert shelf.source.run(RUN) == told


def test_a_run_that_is_not_there_is_denied_until_it_comes(shelf: Shelf) -> None:
    with pytest.raises(PolicyDenied) as caught:
        shelf.source.run(RUN)
    assert caught.value.reason is Reason.RUN_NOT_FOUND
    assert "run 101" in caught.value.message
    shelf.store()
    assert shelf.source.run(RUN).run_id == RUN


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
def test_an_artifact_comes_byte_for_byte_in_chunks_of_at_most_a_mebibyte(shelf: Shelf, data: bytes) -> None:
    told = shelf.store(data)
    with shelf.source.open(told, told.artifacts[0], 0) as stream:
        chunks = list(stream)
        assert stream.offset == 0
    assert b"".join(chunks) == data
    assert all(0 < len(chunk) <= 1024 * 1024 for chunk in chunks)


@pytest.mark.parametrize("offset", [1, 1024 * 1024, len(BIG) - 1], ids=["the second byte", "a chunk", "the last byte"])
def test_a_download_is_resumed_where_it_broke_off(shelf: Shelf, offset: int) -> None:
    told = shelf.store(BIG)
    with shelf.source.open(told, told.artifacts[0], offset) as stream:
        assert stream.offset == offset
        assert b"".join(stream) == BIG[offset:]


def test_resuming_behind_the_end_begins_anew(shelf: Shelf) -> None:
    told = shelf.store()
    with shelf.source.open(told, told.artifacts[0], len(SHOP) + 5) as stream:
        assert stream.offset == 0
        assert b"".join(stream) == SHOP


def test_resuming_at_the_very_end_gives_the_rest_or_all(shelf: Shelf) -> None:
    told = shelf.store()
    with shelf.source.open(told, told.artifacts[0], len(SHOP)) as stream:
        assert b"".join(stream) == SHOP[stream.offset :]


def test_a_file_that_is_gone_is_denied_by_the_name_of_its_artifact(shelf: Shelf) -> None:
    told = shelf.store()
    shelf.lose()
    with pytest.raises(PolicyDenied) as caught, shelf.source.open(told, told.artifacts[0], 0):
        pass
    assert caught.value.reason is Reason.ARTIFACT_MISSING
    assert "'shop'" in caught.value.message


@pytest.mark.parametrize("file", ["a b.zip", "100%.zip", "a#b?c.zip", "größe.zip", "a&b=c;d+e.zip"])
def test_a_file_name_means_itself_whatever_its_characters(source: Source, root: Path, file: str) -> None:
    folder = store(root)
    (folder / "shop.zip").rename(folder / file)
    with source.open(run(), artifact(file=file), 0) as stream:
        assert b"".join(stream) == SHOP


def test_a_reader_may_leave_in_the_middle(shelf: Shelf) -> None:
    told = shelf.store(BIG)
    with shelf.source.open(told, told.artifacts[0], 0) as stream:
        assert next(iter(stream))


def test_an_error_of_the_reader_passes_through_unchanged(shelf: Shelf) -> None:
    told = shelf.store()
    with pytest.raises(KeyError, match="mine"), shelf.source.open(told, told.artifacts[0], 0):
        raise KeyError("mine")


def test_several_threads_read_at_once(shelf: Shelf) -> None:
    told = shelf.store(BIG)

    def read(offset: int) -> bytes:
        assert shelf.source.run(RUN).run_id == RUN
        with shelf.source.open(told, told.artifacts[0], offset) as stream:
            return b"".join(stream)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(read, range(16))) == [BIG[offset:] for offset in range(16)]
