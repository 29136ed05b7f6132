"""What an operator may name as a repository, a branch and a folder, and what never reaches git."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.errors import Reason, Terminal
from reconciler.git import remote
from tests.gitworld import GitWorld


@pytest.mark.parametrize(
    ("url", "address", "protocol"),
    [
        pytest.param("/srv/git/shop.git", "/srv/git/shop.git", "file", id="a local path"),
        pytest.param("/srv/a:b", "/srv/a:b", "file", id="a local path with a colon behind a slash"),
        pytest.param("file:///srv/a%20b.git", "/srv/a b.git", "file", id="a file URL, decoded"),
        pytest.param("ssh://git@host:2222/shop.git", "ssh://git@host:2222/shop.git", "ssh", id="an ssh URL"),
        pytest.param("git@host:shop.git", "git@host:shop.git", "ssh", id="the form of scp"),
        pytest.param("https://host/shop.git", "https://host/shop.git", "https", id="https"),
        pytest.param("http://127.0.0.1:80/x.git", "http://127.0.0.1:80/x.git", "http", id="http, when written so"),
        pytest.param("https://[::1]:8443/x.git", "https://[::1]:8443/x.git", "https", id="an IPv6 address"),
    ],
)
def test_an_allowed_address_goes_to_git_over_its_own_transport_only(url: str, address: str, protocol: str) -> None:
    found = remote.parse(url)
    assert (found.address, found.protocol, found.authorization) == (address, protocol, None)


def test_a_relative_path_becomes_absolute_since_git_runs_elsewhere() -> None:
    assert remote.parse("some/where").path == Path.cwd() / "some/where"


def test_credentials_leave_the_address_and_become_a_header() -> None:
    found = remote.parse("https://bot:s3cr%2Fet@host:8443/shop.git")
    assert found.address == "https://host:8443/shop.git"
    assert found.authorization == "Basic Ym90OnMzY3IvZXQ="
    assert "s3cr" not in repr(found)
    assert "Ym90" not in repr(found)


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("", id="nothing"),
        pytest.param("--upload-pack=touch /tmp/x", id="an option"),
        pytest.param("ext::sh -c 'touch x'", id="a transport that runs a command"),
        pytest.param("fd::3", id="a transport over an inherited descriptor"),
        pytest.param("https::https://host/x", id="a helper named outright"),
        pytest.param("git://host/x.git", id="the protocol without any protection"),
        pytest.param("ftp://host/x.git", id="ftp"),
        pytest.param("EXT://host/x", id="an unknown scheme"),
        pytest.param("ssh://-oProxyCommand=x/y", id="a host that ssh takes for an option"),
        pytest.param("ssh://-l@host/y", id="a user that ssh takes for an option"),
        pytest.param("ssh://git:secret@host/y", id="a password for ssh"),
        pytest.param("-oProxyCommand=x:y", id="an option in the form of scp"),
        pytest.param("host:-x", id="a path that begins with a dash"),
        pytest.param("https://host", id="a host without a path"),
        pytest.param("https:///x", id="a path without a host"),
        pytest.param("https://host:99999/x", id="a port out of range"),
        pytest.param("https://host/x?y", id="a query"),
        pytest.param("file://elsewhere/x", id="a file on another host"),
        pytest.param("https://host/x\n", id="a line feed"),
        pytest.param("https://host\\@evil/x", id="a backslash"),
    ],
)
def test_every_other_address_is_refused(url: str) -> None:
    with pytest.raises(Terminal) as refused:
        remote.parse(url)
    assert refused.value.reason is Reason.INVALID_SETTINGS


def test_a_refused_address_is_not_shown_with_its_credentials() -> None:
    for url in ("ftp://bot:hunter2@host/x", "https://bot:hunter2@host/x?y", "ssh://bot:hunter2@host/x"):
        with pytest.raises(Terminal) as refused:
            remote.parse(url)
        assert "hunter2" not in f"{refused.value} {refused.value.hint}"


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("bot:hunter2@host:path", id="a password in the form of scp"),
        pytest.param("bot@host:hunter2@path", id="a second @ in the form of scp"),
        pytest.param("hunter2@h::x/y", id="what looks like a transport"),
        pytest.param("bot:hunter2@host://x", id="what looks like a scheme"),
        pytest.param("hunter2://host/x", id="a scheme that is none"),
        pytest.param("https:/bot:hunter2@host/x", id="https with one slash"),
        pytest.param("https//bot:hunter2@host/x", id="https without its colon"),
        pytest.param("https//hunter2@host/x", id="a token alone, without the colon"),
        pytest.param("https://bot:12/hunter2@host/x", id="a slash in a password"),
        pytest.param("ssh://bot:hunter2@host/x", id="a password for ssh"),
        pytest.param("https://bot:hunter2@/x", id="no host"),
    ],
)
def test_what_may_hold_credentials_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(Terminal) as refused:
        remote.parse(url)
    assert "hunter2" not in f"{refused.value!r} {refused.value} {refused.value.hint}"


@pytest.mark.parametrize("branch", ["main", "release/2026.1", "a-b_c", "über", "feature/#12"])
def test_a_branch_name_is_taken_as_it_is(branch: str) -> None:
    assert remote.check_branch(branch) == branch


@pytest.mark.parametrize(
    "branch",
    [
        *("", "-x", "/x", "x/", "a..b", "a b", "a:b", "*", "a?", "[a]", "a~1", "a^", "@{u}", "@", "x.lock", ".x"),
        *("a/.b", "a//b", "a.", "x.lock/y", "a\\b", "a\nb", "a\x7f", "a\u202eb"),
    ],
)
def test_what_git_would_not_take_for_a_branch_is_refused(branch: str) -> None:
    with pytest.raises(Terminal):
        remote.check_branch(branch)


@pytest.mark.parametrize("folder", ["../x", "a/../b", "/etc", "a//b", "a\nb", "./a"])
def test_a_folder_outside_the_repository_is_refused(folder: str) -> None:
    with pytest.raises(Terminal):
        remote.check_folder(folder)


def test_only_the_very_branch_counts_in_what_a_server_lists() -> None:
    one, two = "1" * 40, "2" * 40
    listing = f"{one}\trefs/heads/main\n{two}\trefs/remotes/x/refs/heads/main\n{two}\trefs/tags/main\nrubbish\n"
    assert remote.tip_of(listing.encode(), "main") == (one,)


# --- the tip out of a file ----------------------------------------------------------------------


@pytest.mark.parametrize("object_format", ["sha1", "sha256"])
def test_the_tip_is_what_the_branch_s_file_says_also_beside_an_older_packed_one(
    tmp_path: Path, object_format: str
) -> None:
    world = GitWorld(tmp_path, object_format=object_format)
    author, origin = world.person("alice"), remote.parse(world.url)
    assert remote.loose_tip(origin, "main") is None
    world.write("x", "1").commit(author, "1").push()
    world.run("git", "pack-refs", "--all", cwd=world.origin)
    assert remote.loose_tip(origin, "main") is None  # git is to be asked
    tip = world.write("x", "2").commit(author, "2").push().tip
    assert remote.loose_tip(origin, "main") == tip
    assert remote.loose_tip(remote.parse(str(world.work)), "main") == tip


OTHER = "1" * 40
NO_TIP: dict[str, Callable[[Path], object]] = {
    "another reference": lambda file: file.write_text("ref: refs/heads/other\n"),
    "nothing": lambda file: file.write_text(""),
    "the name of nothing": lambda file: file.write_text("0" * 40 + "\n"),
    "part of a name": lambda file: file.write_text(OTHER[:39]),
    "more than a name": lambda file: file.write_text(OTHER + "\n" + OTHER + "\n"),
    "a name in capitals": lambda file: file.write_text("A" * 40 + "\n"),
    "no text": lambda file: file.write_bytes(b"\xff" * 41),
    "very much": lambda file: file.write_text(OTHER * 10_000),
    "a folder": Path.mkdir,
    "a link": lambda file: file.symlink_to("other"),
    "a pipe": os.mkfifo,
}


@pytest.mark.parametrize("make", NO_TIP.values(), ids=NO_TIP.keys())
def test_a_file_that_holds_anything_but_a_commit_s_name_is_left_to_git(
    tmp_path: Path, make: Callable[[Path], object]
) -> None:
    world = GitWorld(tmp_path)
    world.write("x", "1").commit(world.person("alice"), "1").push()
    file = world.origin / "refs/heads/main"
    (file.with_name("other")).write_text(OTHER + "\n")
    file.unlink()
    make(file)
    assert remote.loose_tip(remote.parse(world.url), "main") is None


@pytest.mark.parametrize("url", ["https://host/x.git", "git@host:x.git", "/does/not/exist"])
def test_a_remote_that_is_not_here_has_no_file(url: str) -> None:
    assert remote.loose_tip(remote.parse(url), "main") is None


# --- what to watch ------------------------------------------------------------------------------


def test_a_bare_repository_is_watched_where_its_references_are(tmp_path: Path) -> None:
    world = GitWorld(tmp_path)
    found = remote.watched(remote.parse(world.url), "release/1")
    assert found == (world.origin, world.origin / "refs/heads")


def test_a_working_repository_is_watched_in_its_git_folder(tmp_path: Path) -> None:
    world = GitWorld(tmp_path)
    author = world.person("alice")
    world.write("x", "1").commit(author, "x").branch("release/1")
    found = remote.watched(remote.parse(str(world.work)), "release/1")
    home = world.work / ".git"
    assert found == (home, home / "refs/heads", home / "refs/heads/release")


def test_a_linked_worktree_is_watched_where_its_main_repository_is(tmp_path: Path) -> None:
    world = GitWorld(tmp_path)
    world.write("x", "1").commit(world.person("alice"), "x")
    world.git("worktree", "add", "--quiet", "--detach", str(tmp_path / "linked"))
    found = remote.watched(remote.parse(str(tmp_path / "linked")), "main")
    assert found == (world.work / ".git", world.work / ".git/refs/heads")


@pytest.mark.parametrize("url", ["https://host/x.git", "git@host:x.git", "/does/not/exist"])
def test_nothing_is_watched_where_nothing_is_local(url: str) -> None:
    assert remote.watched(remote.parse(url), "main") == ()
