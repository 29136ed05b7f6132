"""What somebody who may push, or who runs the server, can put in our way: it shows or it changes nothing."""

from __future__ import annotations

import gc
import hashlib
import os
import re
import socket
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reconciler.bounds import Bounds
from reconciler.errors import Reason, Transient
from reconciler.git import Mirror, command, processes
from reconciler.git.remote import parse
from reconciler.model import CommitId
from tests.gitworld import Author, GitWorld

ALICE = Author("Alice", "alice@example.com")
DEV = "environments/dev.yaml"
CANARY = "hunter2-canary"


@pytest.fixture
def world(tmp_path: Path) -> GitWorld:
    return GitWorld(tmp_path / "world")


def mirror(url: str, tmp_path: Path, branch: str = "main", **bounds: float) -> Mirror:
    return Mirror(
        url, branch, "environments", tmp_path / "state" / "git", Bounds.model_validate(bounds), lambda _: None
    )


def follow(repository: Mirror) -> CommitId:
    tip = repository.head()
    assert tip is not None
    repository.fetch(tip)
    return tip


# --- references ---------------------------------------------------------------------------------


def test_a_tag_of_the_branch_s_name_does_not_shadow_it(world: GitWorld, tmp_path: Path) -> None:
    world.write(DEV, "evil").commit(ALICE, "evil").git("tag", "main")
    world.git("push", "--quiet", "origin", "refs/tags/main")
    world.orphan("clean").write(DEV, "good").commit(ALICE, "good").git("push", "origin", "HEAD:refs/heads/main")
    repository = mirror(world.url, tmp_path)
    assert follow(repository) == world.tip


@pytest.mark.parametrize("name", ["refs/heads/refs/heads/main", "refs/x/refs/heads/main", "refs/reconciler/tip"])
def test_a_reference_with_the_branch_s_name_in_it_does_not_shadow_it(
    world: GitWorld, tmp_path: Path, name: str
) -> None:
    evil = world.write(DEV, "evil").commit(ALICE, "evil").tip
    world.git("push", "--quiet", "origin", f"HEAD:{name}")
    world.write(DEV, "good").commit(ALICE, "good").push()
    repository = mirror(world.url, tmp_path)
    assert follow(repository) == world.tip != evil


@pytest.mark.parametrize("name", ["--upload-pack=touch-x", "-x", "$(touch x)", "`id`;main", "main'"])
def test_a_reference_with_a_hostile_name_is_ignored(world: GitWorld, tmp_path: Path, name: str) -> None:
    world.write(DEV, "1").commit(ALICE, "1").push()
    place = world.origin / "refs" / "heads" / name
    place.write_text(world.tip + "\n")
    assert follow(mirror(world.url, tmp_path)) == world.tip


def test_a_deleted_branch_is_gone_and_what_was_read_stays(world: GitWorld, tmp_path: Path) -> None:
    tip = world.write(DEV, "1").commit(ALICE, "1").push().tip
    repository = mirror(world.url, tmp_path)
    follow(repository)
    world.run("git", "update-ref", "-d", "refs/heads/main", cwd=world.origin)
    assert repository.head() is None
    assert set(repository.tree(tip)) == {"dev.yaml"}


def test_a_forced_push_leaves_no_path_from_the_old_tip(world: GitWorld, tmp_path: Path) -> None:
    old = world.write(DEV, "1").commit(ALICE, "1").push().tip
    repository = mirror(world.url, tmp_path)
    follow(repository)
    world.orphan("other").write(DEV, "2").commit(ALICE, "2").force_push()
    tip = follow(repository)
    assert not repository.is_ancestor(old, tip)
    assert not mirror(world.url, tmp_path / "lost state").is_ancestor(old, tip)


def test_a_tip_that_is_rewritten_between_listing_and_fetching_is_an_error_and_not_another_commit(
    world: GitWorld, tmp_path: Path
) -> None:
    listed = world.write(DEV, "1").commit(ALICE, "1").push().tip
    world.orphan("other").write(DEV, "2").commit(ALICE, "2").force_push()
    with pytest.raises(Transient, match="moved away"):
        mirror(world.url, tmp_path).fetch(listed)


def test_a_tip_that_moved_on_between_listing_and_fetching_is_still_readable(world: GitWorld, tmp_path: Path) -> None:
    listed = world.write(DEV, "1").commit(ALICE, "1").push().tip
    world.write(DEV, "2").commit(ALICE, "2").push()
    repository = mirror(world.url, tmp_path)
    repository.fetch(listed)
    assert set(repository.tree(listed)) == {"dev.yaml"}


# --- trees --------------------------------------------------------------------------------------


def test_links_and_submodules_show_by_their_mode(world: GitWorld, tmp_path: Path) -> None:
    world.symlink(DEV, "/etc/passwd").symlink("environments/shop", "../elsewhere")
    world.write("environments/run.yaml", "x").git("update-index", "--chmod=+x", "environments/run.yaml")
    world.submodule("environments/sub.yaml", "1" * 40)
    tip = world.commit(ALICE, "links").push().tip
    repository = mirror(world.url, tmp_path)
    follow(repository)
    modes = {path: entry.mode for path, entry in repository.tree(tip).items()}
    assert modes == {"dev.yaml": "120000", "shop": "120000", "run.yaml": "100755", "sub.yaml": "160000"}
    blob = repository.tree(tip)["dev.yaml"].blob
    assert repository.read_blobs([blob], 100) == {blob: b"/etc/passwd"}


def test_a_folder_that_is_a_link_shows_as_such_and_is_not_followed(world: GitWorld, tmp_path: Path) -> None:
    tip = world.write("real/dev.yaml", "1").symlink("environments", "real").commit(ALICE, "link").push().tip
    repository = mirror(world.url, tmp_path)
    follow(repository)
    assert {path: entry.mode for path, entry in repository.tree(tip).items()} == {"": "120000"}


def test_a_change_of_mode_alone_is_a_change(world: GitWorld, tmp_path: Path) -> None:
    old = world.write(DEV, "/etc/passwd").commit(ALICE, "file").tip
    new = world.remove(DEV).symlink(DEV, "/etc/passwd").commit(ALICE, "link").push().tip
    repository = mirror(world.url, tmp_path)
    follow(repository)
    assert repository.changed_paths(old, new) == {"dev.yaml"}
    change = repository.changes("dev.yaml", old, new)[0]
    assert change.before is not None
    assert change.after is not None
    assert (change.before.mode, change.after.mode) == ("100644", "120000")


def test_a_folder_in_a_file_s_place_is_the_file_s_end(world: GitWorld, tmp_path: Path) -> None:
    old = world.write(DEV, "1").commit(ALICE, "file").tip
    new = world.remove(DEV).write(f"{DEV}/inner.yaml", "1").commit(ALICE, "folder").push().tip
    repository = mirror(world.url, tmp_path)
    follow(repository)
    assert [change.after for change in repository.changes("dev.yaml", old, new)] == [None]
    assert repository.entry(new, "dev.yaml") is None


def test_attributes_hide_nothing_and_run_nothing(world: GitWorld, tmp_path: Path) -> None:
    text = "*.yaml export-ignore filter=x diff=x -text working-tree-encoding=UTF-16\n"
    world.write(DEV, "1").write(".gitattributes", text).write("environments/.gitattributes", text)
    tip = world.commit(ALICE, "hide").push().tip
    repository = mirror(world.url, tmp_path)
    follow(repository)
    tree = repository.tree(tip)
    assert repository.read_blobs([tree["dev.yaml"].blob], 100) == {tree["dev.yaml"].blob: b"1"}


def test_a_replace_reference_replaces_nothing(world: GitWorld, tmp_path: Path) -> None:
    good = world.write(DEV, "good").commit(ALICE, "good").tip
    evil = world.write(DEV, "evil").commit(ALICE, "evil").tip
    world.git("replace", f"{good}:{DEV}", f"{evil}:{DEV}")
    world.git("replace", good, evil)
    world.reset(evil).git("push", "--quiet", "origin", "refs/replace/*:refs/replace/*")
    world.git("--no-replace-objects", "push", "--quiet", "origin", f"{good}:refs/heads/main")
    repository = mirror(world.url, tmp_path)
    assert follow(repository) == good
    blob = repository.tree(good)["dev.yaml"].blob
    assert repository.read_blobs([blob], 100) == {blob: b"good"}
    assert repository.commit(good).message == "good\n"


def test_names_with_pathspec_magic_and_control_characters_are_only_names(world: GitWorld, tmp_path: Path) -> None:
    names = ["*.yaml", ":(top)x", "a\nb.yaml", "\x1b[31m.yaml", "-x", "ü.yaml"]
    old = world.write(DEV, "1").commit(ALICE, "0").tip
    for name in names:
        (world.work / "environments" / name).write_text("x")
    world.git("add", "--all")
    tip = world.commit(ALICE, "names").push().tip
    repository = mirror(world.url, tmp_path)
    follow(repository)
    assert set(repository.tree(tip)) == {"dev.yaml", *names}
    assert repository.changed_paths(old, tip) == set(names)
    assert len(repository.changes("*.yaml", None, tip)) == 1


def test_a_name_with_pathspec_magic_is_a_name_at_the_root_too(world: GitWorld, tmp_path: Path) -> None:
    (world.work / ":(top)x").write_text("1")
    world.git("add", "--all")
    tip = world.commit(ALICE, "magic").push().tip
    repository = Mirror(world.url, "main", ".", tmp_path / "git", Bounds(), lambda _: None)
    follow(repository)
    assert [change.commit for change in repository.changes(":(top)x", None, tip)] == [tip]
    assert set(repository.tree(tip)) == {":(top)x"}


def test_a_tree_that_climbs_out_is_refused_by_name(world: GitWorld, tmp_path: Path) -> None:
    blob = world.git("hash-object", "-w", "--stdin", stdin=b"x")
    tree = _store(world, "tree", b"100644 ..\0" + bytes.fromhex(blob))
    raw = f"tree {tree}\nauthor A <a@x> 1 +0000\ncommitter A <a@x> 1 +0000\n\nx\n".encode()
    commit = _store(world, "commit", raw)
    (world.origin / "refs/heads/main").write_text(commit + "\n")
    _copy_objects(world)
    with pytest.raises(Transient) as failed:
        follow(mirror(world.url, tmp_path))
    assert failed.value.reason is Reason.REPOSITORY_UNAVAILABLE


def test_an_embedded_bare_repository_runs_nothing(world: GitWorld, tmp_path: Path) -> None:
    config = f"[core]\nrepositoryformatversion = 0\nbare = true\nfsmonitor = touch {tmp_path}/ran\n"
    for name, text in {"HEAD": "ref: refs/heads/main", "config": config, "objects/x": "", "refs/x": ""}.items():
        world.write(f"environments/bare/{name}", text)
    tip = world.commit(ALICE, "trap").push().tip
    repository = mirror(world.url, tmp_path)
    follow(repository)
    assert "bare/config" in repository.tree(tip)
    assert not (tmp_path / "ran").exists()


def test_hooks_and_settings_of_the_machine_are_not_read(
    world: GitWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.write(DEV, "1").commit(ALICE, "1").push()
    trap = f'[core]\nsshCommand = touch {tmp_path}/ran\n[url "ext::touch {tmp_path}/ran "]\ninsteadOf = /\n'
    (tmp_path / ".gitconfig").write_text(trap)
    repository = tmp_path / "cwd"
    repository.mkdir()
    subprocess.run(["git", "init", "--quiet", str(repository)], check=True)
    (repository / ".git/config").write_text(trap)
    monkeypatch.chdir(repository)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_DIR", str(repository / ".git"))
    monkeypatch.setenv("GIT_SSH_COMMAND", f"touch {tmp_path}/ran")
    assert follow(mirror(world.url, tmp_path)) == world.tip
    assert not (tmp_path / "ran").exists()


def test_a_repository_of_another_user_is_read_since_the_operator_named_it(
    world: GitWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tip = world.write(DEV, "1").commit(ALICE, "1").push().tip
    wrapper = tmp_path / "bin"
    wrapper.mkdir()
    real = subprocess.run(["sh", "-c", "command -v git"], capture_output=True, text=True, check=True).stdout.strip()
    (wrapper / "git").write_text(f'#!/bin/sh\nGIT_TEST_ASSUME_DIFFERENT_OWNER=1 exec {real} "$@"\n')
    (wrapper / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{wrapper}:{os.environ['PATH']}")
    assert follow(mirror(world.url, tmp_path)) == tip


# --- servers ------------------------------------------------------------------------------------


@contextmanager
def server(answer: bytes, *, endless: bytes = b"") -> Iterator[str]:
    """Accepts on the loopback, sends `answer`, then `endless` for ever, or nothing more, and never closes."""
    held: list[socket.socket] = []
    done = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def talk(peer: socket.socket) -> None:
        try:
            if answer:
                peer.recv(65536)
                peer.sendall(answer)
            while endless and not done.is_set():
                peer.sendall(endless)
        except OSError:
            pass

    def accept() -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            held.append(peer)
            talkers.append(threading.Thread(target=talk, args=(peer,)))
            talkers[-1].start()

    talkers: list[threading.Thread] = []
    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/shop.git"
    finally:
        done.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        accepting.join()
        for peer in held:
            peer.close()
        for talker in talkers:
            talker.join()


HEADER = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-git-upload-pack-advertisement\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "endless"),
    [
        pytest.param(b"", b"", id="a server that accepts and says nothing"),
        pytest.param(b"HTTP/1.1 200 OK\r\n", b"", id="a server that stops in its header"),
        pytest.param(HEADER + b"001e# service=git-upload-pack\n0000", b"", id="a server that stops in its answer"),
        pytest.param(b"HTTP/1.1 200 OK\r\n", b"X-More: x\r\n" * 9, id="a server whose header never ends"),
    ],
)
def test_a_server_that_hangs_costs_the_deadline_and_leaves_no_process(
    tmp_path: Path, answer: bytes, endless: bytes
) -> None:
    with server(answer, endless=endless) as url:
        begun = time.monotonic()
        with pytest.raises(Transient) as failed:
            mirror(url, tmp_path, git_seconds=0.7).head()
        assert time.monotonic() - begun < 5
        _assert_no_process_mentions(url)
    assert failed.value.reason is Reason.REPOSITORY_UNAVAILABLE
    assert failed.value.hint


def test_a_server_that_never_stops_sending_is_ended_by_the_deadline(tmp_path: Path) -> None:
    with server(HEADER, endless=b"0000" * 16384) as url:
        begun = time.monotonic()
        with pytest.raises(Transient):
            mirror(url, tmp_path, git_seconds=0.7).head()
        assert time.monotonic() - begun < 5
        _assert_no_process_mentions(url)


def test_what_talks_to_a_server_may_take_only_so_much_memory_and_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git = tmp_path / "bin" / "git"
    git.parent.mkdir()
    git.write_text("#!/bin/sh\nsleep 0.3\nexec cat /proc/self/limits\n")
    git.chmod(0o755)
    monkeypatch.setenv("PATH", f"{git.parent}:{os.environ['PATH']}")
    runner = command.Git(parse("https://host/x.git"), Bounds(), lambda _: None)
    limits = runner.network(tmp_path, "ls-remote", limit=10_000).decode()
    assert re.search(rf"Max data size +{processes.HEAP_BYTES} ", limits)
    assert re.search(rf"Max file size +{processes.FILE_BYTES} ", limits)


def test_a_git_that_hangs_does_not_outlive_the_program(world: GitWorld, tmp_path: Path) -> None:
    world.write(DEV, "1").commit(ALICE, "1").push()
    packed = world.origin / "packed-refs"
    packed.unlink(missing_ok=True)
    (world.origin / "refs/heads/main").unlink()  # so that git is asked
    os.mkfifo(packed)
    leave = "import os, sys, threading; from pathlib import Path; from reconciler.bounds import Bounds; "
    leave += "from reconciler.git import Mirror, kill_all; "
    leave += f"mirror = Mirror({world.url!r}, 'main', '', Path({str(tmp_path)!r}), Bounds(), print); "
    leave += "threading.Thread(target=mirror.head, daemon=True).start(); sys.stdin.read(1); "
    for end in ("kill_all(); os._exit(0)", "sys.exit(0)"):
        program = [sys.executable, "-c", leave + end]
        with subprocess.Popen(program, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as leaving:
            _wait_until(lambda: len(_processes_that_mention(f"upload-pack {world.url}")) > 0)
            leaving.communicate(b"x", timeout=10)
        _assert_no_process_mentions(world.url)


def test_nothing_is_started_once_everything_was_ended() -> None:
    ended = processes.Processes()
    ended.kill_all()
    with (
        pytest.raises(Transient, match="the program stops"),
        ended.running(("git", "version"), os.environ, subprocess.DEVNULL),
    ):
        pass


def test_a_server_that_redirects_is_not_followed(tmp_path: Path) -> None:
    moved = b"HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:1/x\r\nContent-Length: 0\r\n\r\n"
    with server(moved) as url, pytest.raises(Transient) as failed:
        mirror(url, tmp_path, git_seconds=5).head()
    assert "final address" in failed.value.hint


def test_a_refused_connection_names_the_address(tmp_path: Path) -> None:
    with pytest.raises(Transient, match=r"127\.0\.0\.1:1/") as failed:
        mirror("http://127.0.0.1:1/x.git", tmp_path).head()
    assert failed.value.hint


# --- credentials --------------------------------------------------------------------------------


def test_credentials_in_the_address_open_the_server_and_show_nowhere(
    world: GitWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.write(DEV, "1").commit(ALICE, "1").push()
    seen = _record_arguments(tmp_path, monkeypatch)
    with world.serve(f"bot:{CANARY}") as url:
        assert follow(mirror(url.replace("://", f"://bot:{CANARY}@"), tmp_path)) == world.tip
    assert "ls-remote" in seen.read_text()
    assert CANARY not in seen.read_text()
    assert not [path for path in (tmp_path / "state").rglob("*") if path.is_file() and CANARY in _text(path)]


@pytest.mark.parametrize("credentials", ["", "bot:wrong-" + CANARY])
def test_wrong_credentials_are_an_error_with_a_hint_and_without_them(
    world: GitWorld, tmp_path: Path, credentials: str
) -> None:
    with world.serve("bot:right") as url:
        address = url.replace("://", f"://{credentials}@") if credentials else url
        with pytest.raises(Transient) as failed:
            mirror(address, tmp_path).head()
    assert "credentials" in failed.value.hint
    assert CANARY not in f"{failed.value} {failed.value.hint}"


def test_ssh_is_asked_in_batch_mode_and_gets_the_host_as_a_host(
    world: GitWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.write(DEV, "1").commit(ALICE, "1").push()
    ssh = tmp_path / "bin" / "ssh"
    ssh.parent.mkdir()
    ssh.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/ssh\nfor last; do :; done\nexec sh -c "$last"\n')
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{ssh.parent}:{os.environ['PATH']}")
    for url in (f"ssh://git@host:2222{world.url}", f"git@host:{world.url}"):
        assert follow(mirror(url, tmp_path)) == world.tip
    said = (tmp_path / "ssh").read_text()
    assert "BatchMode=yes" in said
    assert "ConnectTimeout=5" in said
    assert "git@host git-upload-pack" in said


def test_no_descriptor_is_left_open(world: GitWorld, tmp_path: Path) -> None:
    world.write(DEV, "1").commit(ALICE, "1").push()
    repository = mirror(world.url, tmp_path)
    follow(repository)
    gc.collect()  # or a mirror of an earlier test may go in between
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        repository.tree(follow(repository))
        with pytest.raises(Transient):
            mirror("http://127.0.0.1:1/x.git", tmp_path).head()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


# --- the runner ---------------------------------------------------------------------------------


def test_words_of_a_server_are_shown_without_control_characters_or_credentials() -> None:
    words = command.last_words(b"fatal: \x1b[31mno https://bot:hunter2@host/x\n")
    assert words == "fatal: ?[31mno https://host/x"


def test_output_beyond_its_limit_ends_the_process(world: GitWorld, tmp_path: Path) -> None:
    world.write(DEV, "1").commit(ALICE, "1")
    git = command.Git(parse(world.url), Bounds(), lambda _: None)
    with pytest.raises(Transient, match="more than 10 bytes"):
        git.local(world.work / ".git", "rev-list", "HEAD", limit=10)


def test_a_local_command_reaches_no_network(world: GitWorld, tmp_path: Path) -> None:
    world.write(DEV, "1").commit(ALICE, "1").push()
    git = command.Git(parse(world.url), Bounds(), lambda _: None)
    with pytest.raises(command.GitFailed, match="not allowed"):
        git.local(world.work / ".git", "ls-remote", "--", world.url)


def test_much_input_and_much_output_do_not_wait_for_each_other(world: GitWorld, tmp_path: Path) -> None:
    tip = world.write(DEV, "x" * 20_000).commit(ALICE, "1").tip
    git = command.Git(parse(world.url), Bounds(), lambda _: None)
    wanted = f"{tip}:{DEV}\n".encode() * 2000
    output = git.local(world.work / ".git", "cat-file", "--batch", stdin=wanted)
    assert len(output) > 2000 * 20_000


def _store(world: GitWorld, kind: str, body: bytes) -> str:
    """An object as it is, past every check."""
    raw = b"%s %d\0" % (kind.encode(), len(body)) + body
    name = hashlib.sha1(raw).hexdigest()
    place = world.work / ".git/objects" / name[:2] / name[2:]
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(zlib.compress(raw))
    return name


def _copy_objects(world: GitWorld) -> None:
    subprocess.run(["cp", "-r", f"{world.work}/.git/objects/.", f"{world.origin}/objects/"], check=True)


def _record_arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have every git process, its children included, note its own command line."""
    seen = tmp_path / "seen"
    monkeypatch.setattr(command, "_PASSED_ON", (*command._PASSED_ON, "GIT_TRACE2_EVENT"))
    monkeypatch.setenv("GIT_TRACE2_EVENT", str(seen))
    return seen


def _assert_no_process_mentions(text: str) -> None:
    """A killed process may take a moment to be gone; the server would hold on to a living one for ever."""
    patience = time.monotonic() + 5
    while found := _processes_that_mention(text):
        assert time.monotonic() < patience, found
        time.sleep(0.01)


def _wait_until(happened: Callable[[], bool]) -> None:
    patience = time.monotonic() + 10
    while not happened():
        assert time.monotonic() < patience
        time.sleep(0.01)


def _processes_that_mention(text: str) -> list[str]:
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = place.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if text in line and "git" in line:
            found.append(line)
    return found


def _text(path: Path) -> str:
    return path.read_bytes().decode(errors="replace")
