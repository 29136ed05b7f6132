"""Reading what git prints: commits by their raw bytes, objects by their hash."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from reconciler.git import objects
from reconciler.git.command import GitFailed
from reconciler.model import CommitId
from tests.gitworld import GitWorld

NAME = CommitId("a" * 40)
PARENT = "b" * 40
HEAD = f"tree {'c' * 40}\nparent {PARENT}\nauthor A <a@x> 1 +0000\ncommitter C <c@x> 2 +0000\n"


def test_a_commit_is_read_from_its_headers() -> None:
    found = objects.commit(NAME, f"{HEAD}\nSubject\n\nBody\n".encode())
    assert (found.parents, found.author, found.committer) == ((PARENT,), "A <a@x>", "C <c@x>")
    assert (found.message, found.signature) == ("Subject\n\nBody\n", None)


def test_the_payload_is_what_git_verifies_on_a_real_signed_commit(tmp_path: Path) -> None:
    world = GitWorld(tmp_path)
    alice = world.person("alice")
    world.write("x", "1").commit(alice, "Subject\n\nGrüße", sign=True)
    found = objects.commit(world.tip, world.raw())
    assert found.signature is not None
    (tmp_path / "sig").write_text(found.signature)
    verify = ("-Y", "verify", "-n", "git", "-I", alice.email, "-s", str(tmp_path / "sig"))
    world.run("ssh-keygen", *verify, "-f", str(world.allowed_signers), stdin=found.payload)


@pytest.mark.parametrize("header", ["gpgsig", "gpgsig-sha256"])
def test_a_signature_of_either_hash_is_taken_out(header: str) -> None:
    raw = f"{HEAD}{header} -----BEGIN\n line\n \n -----END\nencoding x\n\nm\n"
    found = objects.commit(NAME, raw.encode())
    assert found.signature == "-----BEGIN\nline\n\n-----END\n"
    assert found.payload == f"{HEAD}encoding x\n\nm\n".encode()


def test_a_merged_tag_stays_in_the_payload_with_whatever_it_quotes() -> None:
    tag = "mergetag object x\n gpgsig no\n parent no\n"
    found = objects.commit(NAME, f"{HEAD}{tag}\nm\n".encode())
    assert found.signature is None
    assert found.payload == f"{HEAD}{tag}\nm\n".encode()


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param(f"parent {'d' * 40}\n", id="a parent behind the committer"),
        pytest.param("author Mallory <m@x> 1 +0000\n", id="a second author"),
        pytest.param("committer Mallory <m@x> 1 +0000\n", id="a second committer"),
        pytest.param("x y\n author Mallory <m@x> 1 +0000\n", id="an author in a continued line"),
    ],
)
def test_headers_out_of_place_mean_nothing(extra: str) -> None:
    found = objects.commit(NAME, f"{HEAD}{extra}\nm\n".encode())
    assert (found.parents, found.author, found.committer) == ((PARENT,), "A <a@x>", "C <c@x>")


def test_a_message_that_looks_like_headers_is_a_message() -> None:
    found = objects.commit(NAME, f"{HEAD}\ngpgsig x\nparent {PARENT}\n".encode())
    assert (found.signature, found.parents) == (None, (PARENT,))


def test_bytes_that_are_no_text_are_shown_as_escapes() -> None:
    found = objects.commit(NAME, HEAD.encode() + b"\n\xff\xfe\n")
    assert found.message == "\\xff\\xfe\n"


# --- cat-file -----------------------------------------------------------------------------------


def _batch(*contents: bytes, kind: str = "blob") -> tuple[bytes, list[str]]:
    names = [hashlib.sha1(b"%s %d\0" % (kind.encode(), len(c)) + c).hexdigest() for c in contents]
    output = b"".join(
        b"%s %s %d\n%s\n" % (n.encode(), kind.encode(), len(c), c) for n, c in zip(names, contents, strict=True)
    )
    return output, names


@pytest.mark.parametrize("step", [1, 2, 7, 1000])
def test_objects_come_out_whole_however_the_output_is_cut(step: int) -> None:
    contents = (b"", b"one\n", b"x" * 50, b"\0two")
    output, names = _batch(*contents)
    found: dict[str, bytes | None] = {}
    batch = objects.Batch("blob", 10, found.__setitem__)
    for at in range(0, len(output), step):
        batch.feed(output[at : at + step])
    assert found == dict(zip(names, (b"", b"one\n", None, b"\0two"), strict=True))


@pytest.mark.parametrize(
    "output",
    [
        pytest.param(f"{NAME} missing\n".encode(), id="a missing object"),
        pytest.param(f"{NAME} tag 1\nx\n".encode(), id="an object of another type"),
        pytest.param(f"{NAME} blob 3\nabc\n".encode(), id="content that is not what its name says"),
        pytest.param(b"x" * 1000, id="no header at all"),
    ],
)
def test_a_wrong_object_is_refused(output: bytes) -> None:
    with pytest.raises(GitFailed):
        objects.Batch("blob", 10, lambda *_: None).feed(output)
