"""What custody promises to the pipeline, whatever the source behind it does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from reconciler.bounds import Bounds
from reconciler.custody import DiskCustody
from reconciler.errors import IntegrityError, PolicyDenied, Reason, Transient
from reconciler.machine.clock import SystemClock
from reconciler.model import Digest
from reconciler.ports import ArtifactStream, Custody
from tests.factories import sha256

DATA = bytes(range(256)) * 40
DIGEST = sha256(DATA)
LIMIT = len(DATA)


class Bytes:
    """A source in memory that counts how often, and from where, it is asked."""

    def __init__(self, data: bytes = DATA, step: int = 1000) -> None:
        self.data = data
        self.step = step
        self.asked: list[int] = []

    def __call__(self, offset: int) -> AbstractContextManager[ArtifactStream]:
        self.asked.append(offset)
        return self.opened(offset)

    @contextmanager
    def opened(self, offset: int) -> Iterator[ArtifactStream]:
        yield Stream(offset, lambda: self.chunks(offset))

    def chunks(self, offset: int) -> Iterator[bytes]:
        for start in range(offset, len(self.data), self.step):
            yield self.data[start : start + self.step]


class Stream:
    def __init__(self, offset: int, chunks: Callable[[], Iterator[bytes]]) -> None:
        self.offset = offset
        self._chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks()


@pytest.fixture(params=["disk"])
def custody(request: pytest.FixtureRequest, tmp_path: Path) -> Custody:
    return DiskCustody(tmp_path / "custody", Bounds(artifact_bytes=LIMIT), SystemClock(), lambda _: None)


def never(offset: int) -> AbstractContextManager[ArtifactStream]:
    raise AssertionError("asked the source for what is in custody")


def obtained(custody: Custody, fetch: Callable[[int], AbstractContextManager[ArtifactStream]]) -> bytes:
    with custody.obtain(DIGEST, fetch) as artifact:
        assert artifact.digest == DIGEST
        assert artifact.size == len(DATA)
        assert artifact.file.tell() == 0
        return artifact.file.read()


def test_what_is_fetched_is_given_verified_and_at_its_start(custody: Custody) -> None:
    source = Bytes()
    assert obtained(custody, source) == DATA
    assert source.asked == [0]


def test_what_is_held_is_never_fetched_again(custody: Custody) -> None:
    obtained(custody, Bytes())
    assert obtained(custody, never) == DATA


def test_an_empty_artifact_is_one_as_any_other(custody: Custody) -> None:
    with custody.obtain(sha256(b""), Bytes(b"")) as artifact:
        assert artifact.file.read() == b""
    with custody.obtain(sha256(b""), never) as artifact:
        assert artifact.size == 0


@pytest.mark.parametrize(
    "data", [b"", DATA[:-1], b"\1" + DATA[1:]], ids=["nothing", "one byte too few", "one byte another"]
)
def test_other_bytes_than_declared_are_never_given(custody: Custody, data: bytes) -> None:
    for _ in range(2):
        with pytest.raises(IntegrityError) as caught, custody.obtain(DIGEST, Bytes(data)):
            pass
        assert caught.value.reason is Reason.DIGEST_MISMATCH
        assert DIGEST in caught.value.message
    assert obtained(custody, Bytes()) == DATA


def test_an_artifact_over_its_bound_stops_at_the_bound(custody: Custody) -> None:
    source = Bytes(DATA * 1000)
    taken: list[int] = []

    def chunks() -> Iterator[bytes]:
        for chunk in source.chunks(0):
            taken.append(len(chunk))
            yield chunk

    @contextmanager
    def counted(offset: int) -> Iterator[ArtifactStream]:
        yield Stream(0, chunks)

    with pytest.raises(PolicyDenied) as caught, custody.obtain(DIGEST, counted):
        pass
    assert caught.value.reason is Reason.ARTIFACT_TOO_LARGE
    assert len(taken) == LIMIT // source.step + 1


def test_a_download_that_broke_off_goes_on_from_there(custody: Custody) -> None:
    source = Bytes()
    with pytest.raises(Transient), custody.obtain(DIGEST, broken_after(source, 3000, OSError(104, "reset"))):
        pass
    assert obtained(custody, source) == DATA
    assert source.asked == [0, 3000]


def broken_after(
    source: Bytes, count: int, error: BaseException
) -> Callable[[int], AbstractContextManager[ArtifactStream]]:
    def chunks(offset: int) -> Iterator[bytes]:
        yield source.data[offset:count]
        raise error

    @contextmanager
    def opened(offset: int) -> Iterator[ArtifactStream]:
        source.asked.append(offset)
        yield Stream(offset, lambda: chunks(offset))

    return opened


STRANGE = [
    OSError(5, "EIO s3cret"),
    RuntimeError("s3cret"),
    KeyError("s3cret"),
    TimeoutError(),
    EOFError(),
    ValueError(),
]


@pytest.mark.parametrize("error", STRANGE, ids=[type(error).__name__ for error in STRANGE])
@pytest.mark.parametrize("where", ["opening", "reading", "closing"])
def test_whatever_an_adapter_raises_comes_out_as_a_fault_of_the_source(
    custody: Custody, error: Exception, where: str
) -> None:
    @contextmanager
    def opened(offset: int) -> Iterator[ArtifactStream]:
        if where == "opening":
            raise error
        yield Stream(0, broken if where == "reading" else lambda: iter([DATA]))
        if where == "closing":
            raise error

    def broken() -> Iterator[bytes]:
        yield DATA[:10]
        raise error

    with pytest.raises(Transient) as caught, custody.obtain(DIGEST, opened):
        pass
    assert caught.value.reason is Reason.SOURCE_UNAVAILABLE
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("reason", [Reason.RUN_NOT_FOUND, Reason.ARTIFACT_MISSING])
def test_what_a_source_denies_keeps_its_reason(custody: Custody, reason: Reason) -> None:
    @contextmanager
    def denied(offset: int) -> Iterator[ArtifactStream]:
        raise PolicyDenied(reason, "gone")
        yield

    with pytest.raises(PolicyDenied) as caught, custody.obtain(DIGEST, denied):
        pass
    assert caught.value.reason is reason


def test_what_the_caller_raises_before_it_opens_a_source_is_its_own(custody: Custody) -> None:
    class Held(Exception):
        pass

    def fetch(offset: int) -> AbstractContextManager[ArtifactStream]:
        raise Held

    with pytest.raises(Held), custody.obtain(DIGEST, fetch):
        pass
    assert obtained(custody, Bytes()) == DATA


def test_what_the_user_of_the_artifact_raises_passes_through(custody: Custody) -> None:
    with pytest.raises(OSError, match="the target"), custody.obtain(DIGEST, Bytes()) as artifact:
        raise OSError("the target")
    assert artifact.file.closed


def test_many_threads_share_one_download(custody: Custody) -> None:
    source, start = Bytes(), threading.Barrier(8)

    def one(_: int) -> bytes:
        start.wait(10)
        return obtained(custody, source)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(one, range(8))) == [DATA] * 8
    assert source.asked == [0]


def test_a_download_that_hangs_holds_up_nobody_else(custody: Custody) -> None:
    entered, release, other = threading.Event(), threading.Event(), b"other"

    @contextmanager
    def slow(offset: int) -> Iterator[ArtifactStream]:
        entered.set()
        release.wait(10)
        yield Stream(0, lambda: iter([DATA]))

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(obtained, custody, slow)
        assert entered.wait(10)
        with custody.obtain(sha256(other), Bytes(other)) as artifact:
            assert artifact.file.read() == other
        release.set()
        assert waiting.result(10) == DATA


def test_a_copy_is_held_from_its_last_byte_until_it_is_collected(custody: Custody) -> None:
    assert not custody.holds(DIGEST)
    with pytest.raises(IntegrityError), custody.obtain(DIGEST, Bytes(DATA[:-1])):
        pass
    assert not custody.holds(DIGEST)
    obtained(custody, Bytes())
    assert custody.holds(DIGEST)
    assert not custody.holds(sha256(b"another"))
    custody.collect(set())
    assert not custody.holds(DIGEST)


def test_collecting_keeps_what_is_asked_for_and_counts_what_went(custody: Custody) -> None:
    others = [b"one", b"two"]
    for data in (DATA, *others):
        with custody.obtain(sha256(data), Bytes(data)):
            pass
    assert custody.collect({DIGEST}) == 2
    assert custody.collect({DIGEST}) == 0
    assert obtained(custody, never) == DATA


def test_collecting_leaves_what_is_open_now(custody: Custody) -> None:
    with custody.obtain(DIGEST, Bytes()):
        assert custody.collect(set()) == 0
        assert obtained(custody, never) == DATA
    assert custody.collect(set()) == 1


def test_collecting_before_anything_was_fetched_finds_nothing(custody: Custody) -> None:
    assert custody.collect(set()) == 0


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "A" * 64, "a" * 63, "a" * 64 + "\n"])
def test_a_digest_that_is_none_becomes_no_path(custody: Custody, name: str) -> None:
    with pytest.raises(ValueError, match="not a digest"), custody.obtain(Digest(name), never):
        pass
    with pytest.raises(ValueError, match="not a digest"):
        custody.holds(Digest(name))
