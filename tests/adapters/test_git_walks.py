"""Answers that are read from objects are git's own: on random histories and odd trees, whatever lies beside them."""

from __future__ import annotations

import itertools
import random
import subprocess
from pathlib import Path

import pytest

from reconciler.bounds import Bounds
from reconciler.git import history, nodes
from reconciler.git.command import Git, GitFailed
from reconciler.git.history import History
from reconciler.git.local import LocalMirror
from reconciler.git.nodes import Nodes, TooFar
from reconciler.git.reader import Readers
from reconciler.git.remote import parse
from reconciler.git.trees import Tree, Trees, between
from reconciler.model import BlobId, CommitId, TreeEntry
from tests.gitworld import Author, GitWorld

ALICE = Author("Alice", "alice@example.com")
PATHS = ("environments/a.yaml", "environments/b.yaml", "environments/shop/c.yaml", "README")
COMMITS = 30


class Walks:
    """A repository of our own making, read by walks and by git."""

    def __init__(self, folder: Path, branch: str = "main") -> None:
        self.folder = folder
        self.steps: list[str] = []
        remote = parse("/nowhere")
        self.git = Git(remote, Bounds(), self.steps.append)
        self.local = LocalMirror(folder, remote, branch, self.git, Bounds())
        self.local.path.parent.mkdir(parents=True)
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(self.local.path)], check=True)
        self.forget()

    def forget(self) -> None:
        """Begin anew, with nothing in memory."""
        self.readers = Readers(self.git, self.local, Bounds())
        self.nodes, self.trees = Nodes(self.readers), Trees(self.readers)
        self.history = History(self.git, self.local, "environments", self.nodes, self.trees, Bounds())

    def ask(self, *arguments: str) -> list[str]:
        """What git prints, in words."""
        code, output, complaint = self.git.ask(self.local.path, *arguments)
        assert code in (0, 1), complaint
        return output.decode().split()

    def holds(self, *arguments: str) -> bool:
        """What git says by its exit code."""
        return self.git.ask(self.local.path, *arguments)[0] == 0

    def processes(self) -> set[str]:
        """Which were started since the last call."""
        found = set(self.steps)
        self.steps.clear()
        return found


def grow(walks: Walks, seed: int, *, honest: bool = True) -> list[CommitId]:
    """A history of merges of up to three parents, several roots, and dates that may go back."""
    chance = random.Random(seed)
    lines, files = [], dict[int, dict[str, str]]()
    for mark in range(1, COMMITS + 1):
        parents = chance.sample(range(max(1, mark - 6), mark), min(mark - 1, chance.choice([0, 1, 1, 1, 2, 2, 3])))
        date = 1_770_000_000 + (mark // 2 if honest else chance.randrange(40)) * 60
        content = dict(files[parents[0]]) if parents else {}
        for path in chance.sample(PATHS, chance.choice([0, 1, 1, 2])):
            if path in content and chance.random() < 0.3:
                del content[path]
            else:
                content[path] = f"{chance.choice(['100644', '100644', '100755', '120000'])} {chance.randrange(4)}"
        files[mark] = content
        lines += [f"commit refs/heads/c{mark}", f"mark :{mark}", f"committer A <a@x> {date} +0000", "data 1", "x"]
        lines += [f"{'merge' if index else 'from'} :{parent}" for index, parent in enumerate(parents)]
        lines += ["deleteall"]
        for path, text in content.items():
            mode, _, data = text.partition(" ")
            lines += [f"M {mode} inline {path}", f"data {len(data)}", data]
    script = "\n".join([*lines, "done", ""]).encode()
    walks.git.local(walks.local.path, "fast-import", "--quiet", "--done", "--force", stdin=script)
    names = (f"refs/heads/c{mark}" for mark in range(1, COMMITS + 1))
    return [CommitId(walks.ask("rev-parse", name)[0]) for name in names]


@pytest.fixture
def walks(tmp_path: Path) -> Walks:
    return Walks(tmp_path / "walks")


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("honest", [True, False], ids=["dates in order", "dates that go back"])
def test_on_any_history_descent_bases_and_ranges_are_git_s(walks: Walks, seed: int, honest: bool) -> None:
    commits = grow(walks, seed, honest=honest)
    for one, other in random.Random(seed).sample(list(itertools.product(commits, commits)), 60):
        walks.forget()
        assert walks.nodes.walk().descends(one, other) == walks.holds("merge-base", "--is-ancestor", one, other)
        assert list(walks.history.merge_bases(one, other)) == walks.ask("merge-base", "--all", one, other)
        for limit in (2, 100):
            wanted = walks.ask("rev-list", f"--max-count={limit + 1}", other, f"^{one}", "--")
            assert list(walks.history.between(one, other, limit)) == wanted


@pytest.mark.parametrize("seed", range(6))
def test_on_any_history_changes_and_changed_paths_are_git_s(
    walks: Walks, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits = grow(walks, seed)
    options = ("diff-tree", "-r", "--name-only", "--no-renames", "--ignore-submodules=none")
    for old, new in random.Random(seed).sample(list(itertools.product(commits, commits)), 40):
        walks.forget()
        paths = walks.ask(*options, old, new, "--", "environments")
        assert {f"environments/{path}" for path in walks.history.changed_paths(old, new)} == set(paths)
        for path in ("a.yaml", "shop/c.yaml", "absent.yaml"):
            for after in (old, None):
                near = walks.history.changes(path, after, new)
                with monkeypatch.context() as patch:
                    patch.setattr(nodes, "READ", -1)
                    patch.setattr(nodes.Nodes, "known", lambda *_: None)
                    assert near == walks.history.changes(path, after, new)  # by git log


def test_short_ways_start_no_process_but_the_one_that_reads(walks: Walks) -> None:
    commits = grow(walks, 1)
    walks.forget()
    walks.processes()
    walks.history.changed_paths(commits[0], commits[-1])
    walks.history.entry(commits[-1], "a.yaml")
    walks.history.changes("a.yaml", None, commits[-1])
    walks.nodes.walk().descends(commits[0], commits[-1])
    assert walks.processes() == {"git cat-file"}


def test_a_long_way_is_left_to_git(walks: Walks, monkeypatch: pytest.MonkeyPatch) -> None:
    commits = grow(walks, 1)
    monkeypatch.setattr(nodes, "READ", 0)
    walks.forget()
    with pytest.raises(TooFar):
        walks.nodes.walk().chain(commits[-1], None)
    walks.history.changes("a.yaml", None, commits[-1])
    walks.history.between(commits[0], commits[-1], 5)
    walks.history.merge_bases(commits[0], commits[-1])
    assert {"git log", "git rev-list", "git merge-base"} <= walks.processes()


def test_a_history_of_many_comparisons_is_left_to_git(walks: Walks, monkeypatch: pytest.MonkeyPatch) -> None:
    commits = grow(walks, 1)
    near = walks.history.changes("a.yaml", None, commits[-1])
    monkeypatch.setattr(history, "COMPARED", 0)
    walks.processes()
    assert walks.history.changes("a.yaml", None, commits[-1]) == near
    assert walks.processes() == set()  # all is in memory
    walks.forget()
    assert walks.history.changes("a.yaml", None, commits[-1]) == near
    assert "git log" in walks.processes()


@pytest.mark.parametrize("trick", ["a graft", "a shallow boundary", "a replace reference", "a commit-graph"])
def test_what_lies_beside_the_objects_changes_no_answer(walks: Walks, trick: str) -> None:
    commits = grow(walks, 3)
    tip, *parents = walks.ask("rev-list", "--parents", "--max-count=1", "--merges", commits[-1], "--")
    place, first = walks.local.path, commits[0]
    if trick == "a graft":
        (place / "info").mkdir(exist_ok=True)
        (place / "info/grafts").write_text(f"{tip} {first}\n")
    elif trick == "a shallow boundary":
        (place / "shallow").write_text(f"{tip}\n")
    elif trick == "a replace reference":
        (place / "refs/replace").mkdir()
        (place / "refs/replace" / tip).write_text(f"{first}\n")
    else:
        subprocess.run(["git", f"--git-dir={place}", "commit-graph", "write", "--reachable"], check=True)
        for graph in (place / "objects/info").rglob("*graph*"):
            graph.chmod(0o600)
            data = bytearray(graph.read_bytes()) if graph.is_file() else bytearray()
            data[len(data) // 2 :] = bytes(byte ^ 1 for byte in data[len(data) // 2 :])
            graph.write_bytes(data)
    walks.forget()
    for parent in map(CommitId, parents):
        assert walks.nodes.walk().descends(parent, CommitId(tip))
        assert walks.holds("merge-base", "--is-ancestor", parent, tip)  # and where a long way is left to git
    assert walks.ask("rev-list", "--parents", "--max-count=1", tip, "--") == [tip, *parents]


# --- trees --------------------------------------------------------------------------------------

NAME = bytes(range(20))


def entries(raw: bytes) -> dict[bytes, str]:
    tree = Tree.of(raw, 20)
    return {name: entry.mode for name, entry in tree.part(0, len(raw)).items()}


def test_modes_come_out_as_git_shows_them() -> None:
    raw = b"100664 a\0" + NAME + b"0100644 b\0" + NAME + b"040000 c\0" + NAME + b"100775 d\0" + NAME
    assert entries(raw) == {b"a": "100644", b"b": "100644", b"c": "040000", b"d": "100755"}
    assert Tree.of(b"120000 a\0" + NAME + b"160000 b\0" + NAME, 20).entry(b"b") == TreeEntry(
        "160000", BlobId(NAME.hex())
    )


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"100644 a\0" + NAME[:-1], id="cut short"),
        pytest.param(b"100644 a\0" + NAME + b"x", id="with more behind it"),
        pytest.param(b"x100644 a\0" + NAME, id="with more in front of it"),
        pytest.param(b"100644 a\0" + NAME + b"40000 a\0" + NAME + b"040000 a\0" + NAME, id="a name twice"),
        pytest.param(b"100644 a\0" + NAME + b"100644 a\0" + NAME, id="an entry twice"),
        pytest.param(b"100644 a/b\0" + NAME, id="a slash in a name"),
        pytest.param(b"100644 \0" + NAME, id="no name"),
        pytest.param(b"10064x a\0" + NAME, id="a mode that is none"),
    ],
)
def test_a_tree_that_is_none_is_refused(raw: bytes) -> None:
    with pytest.raises(GitFailed):
        entries(raw)
    with pytest.raises(GitFailed):
        Tree.of(raw, 20).entry(b"a")


def test_an_entry_s_bytes_inside_another_are_no_entry() -> None:
    inner = b" evil\0" + NAME[:14]
    raw = b"100644 a\0" + inner + b"100644 x evil\0" + NAME + b"100644 z\0" + NAME
    tree = Tree.of(raw, 20)
    assert tree.entry(b"evil") is None
    assert tree.entry(b"x evil")
    assert tree.entry(b"a") == TreeEntry("100644", BlobId(inner.hex()))


@pytest.mark.parametrize("seed", range(20))
def test_what_differs_between_large_trees_is_found_wherever_it_is(seed: int) -> None:
    chance = random.Random(seed)
    # Few different bytes, so that beginnings and ends are alike where no entry begins.
    old = {b"%05d" % n: bytes(chance.choice(b"01 ") for _ in range(20)) for n in range(chance.choice([1, 70, 400]))}
    new = dict(old)
    for _ in range(chance.choice([1, 1, 3, 30])):
        name = b"%05d" % chance.randrange(420) + chance.choice([b"", b"x"])
        if chance.random() < 0.4:
            new.pop(name, None)
        else:
            new[name] = bytes(chance.choice(b"01 ") for _ in range(20))
    one, other = (
        Tree.of(b"".join(b"100644 %s\0%s" % (name, files[name]) for name in sorted(files)), 20) for files in (old, new)
    )
    before, after = between(one, other)
    differing = {name for name in {*before, *after} if before.get(name) != after.get(name)}
    assert differing == {name for name in {*old, *new} if old.get(name) != new.get(name)}
    assert all(other.entry(name) == TreeEntry("100644", BlobId(binary.hex())) for name, binary in new.items())


def test_trees_that_end_alike_with_other_names_differ_in_them() -> None:
    many = b"".join(b"100644 a%02d\0%s" % (number, NAME) for number in range(64))
    one, other = Tree.of(many + b"100644 b\0" + NAME, 20), Tree.of(many + b"100644 x100644 b\0" + NAME, 20)
    before, after = between(one, other)
    assert {name for name in {*before, *after} if before.get(name) != after.get(name)} == {b"b", b"x100644 b"}


@pytest.mark.parametrize("path", ["", "/", "../README", "./a.yaml", "*.yaml", ":(top)README", "a.yaml/", "a.yaml:x"])
def test_a_path_is_resolved_literally(tmp_path: Path, path: str) -> None:
    walks = Walks(tmp_path / "walks")
    world = GitWorld(tmp_path / "world")
    tip = world.write("environments/a.yaml", "1").write("README", "2").commit(ALICE, "all").tip
    world.git("push", "--quiet", str(walks.local.path), "HEAD:refs/heads/main")
    assert walks.history.entry(tip, "a.yaml")
    assert walks.history.entry(tip, path) is None


def test_a_file_in_a_folder_s_place_and_the_other_way_round_differ_in_all_that_is_below(tmp_path: Path) -> None:
    walks = Walks(tmp_path / "walks")
    world = GitWorld(tmp_path / "world")
    old = world.write("environments/x", "1").write("environments/y/z.yaml", "1").commit(ALICE, "one").tip
    world.remove("environments/x").remove("environments/y").write("environments/x/deep/z.yaml", "1")
    new = world.write("environments/y", "1").commit(ALICE, "two").tip
    gone = world.remove("environments").symlink("environments", "elsewhere").commit(ALICE, "three").tip
    world.git("push", "--quiet", str(walks.local.path), "HEAD:refs/heads/main")
    assert walks.history.changed_paths(old, new) == {"x", "y", "y/z.yaml", "x/deep/z.yaml"}
    assert walks.history.changed_paths(new, gone) == {"", "y", "x/deep/z.yaml"}
