"""The catalog on a real repository: kept along, it is what it is when read anew; what lies on disk is not believed."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.bounds import Bounds
from reconciler.core.declare import Reading
from reconciler.core.yamltree import MAX_BYTES
from reconciler.declarations import catalog as catalogs
from reconciler.declarations import outlines
from reconciler.declarations.catalog import Catalog, Declared
from reconciler.errors import Reason, Transient
from reconciler.git import Mirror
from reconciler.model import CommitId, EnvironmentName
from tests.gitworld import Author, GitWorld

ALICE = Author("Alice", "alice@example.com")
NAMES = ["dev", "qa", "shop/prod", "shop/staging", "x"]


def text(path: str, *, run: int = 1, after: tuple[str, ...] = (), soak: str = "30m") -> str:
    told = f"version: 1\nartifact: {{name: app, run_id: {run}, sha256: {'a' * 64}}}\n"
    told += f"target: {{type: directory, path: {path}}}\n"
    return told + (f"promote: {{after: [{', '.join(after)}], soak: {soak}}}\n" if after else "")


class Stage:
    """A repository of declarations, and catalogs of it."""

    def __init__(self, folder: Path) -> None:
        self.world = GitWorld(folder / "world")
        self.state = folder / "state"
        self.cache = self.state / "outlines"
        self.steps: list[str] = []
        self.mirror = self.open()

    def open(self) -> Mirror:
        """A mirror that has nothing in memory."""
        return Mirror(self.world.url, "main", "environments", self.state / "git", Bounds(), self.steps.append)

    def follow(self) -> CommitId:
        tip = self.mirror.head()
        assert tip
        self.mirror.fetch(tip)
        return tip

    def opened(self, *, cache: bool = True) -> Catalog:
        """As after a start."""
        found = Catalog(self.mirror, Bounds(), self.cache if cache else None)
        found.refresh(self.follow())
        return found

    def few(self) -> None:
        """Some declarations."""
        self.world.write("environments/dev.yaml", text("/srv/a")).write("environments/qa.yaml", text("/srv/a/b"))
        self.world.write("environments/prod.yaml", text("/srv/p", after=("qa", "gone"), soak="2h"))
        self.world.write("environments/bad.yaml", "version: [").symlink("environments/link.yaml", "dev.yaml")
        self.world.write("environments/big.yaml", "#" * (MAX_BYTES + 1)).commit(ALICE, "some").push()


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def told(catalog: Catalog) -> list[object]:
    """All that it says, with every file read."""
    return [
        catalog.tip,
        catalog.misnamed,
        catalog.policy,
        dict(catalog.soaks),
        [(file, _read(file)) for name in catalog.environments for file in [catalog.get(name)]],
        list(catalog.in_order(catalog.environments)),
        [(catalog.artifact(name), catalog.upstreams(name)) for name in catalog.environments],
    ]


def _read(file: Declared) -> Reading:
    assert file.reading is not None
    return Reading(file.reading.file, file.reading.digest, file.reading.declaration, file.reading.problems)


@pytest.mark.parametrize("seed", range(3))
def test_after_any_commits_it_is_what_it_is_when_read_anew(stage: Stage, seed: int) -> None:
    chance = random.Random(seed)
    stage.few()
    known = stage.opened()
    before = {name: known.get(name) for name in known.environments}
    for _ in range(8):
        for name in chance.sample(NAMES, chance.choice([1, 1, 2, 4])):
            path = f"environments/{name}.yaml"
            if (stage.world.work / path).exists() and chance.random() < 0.3:
                stage.world.remove(path)
            else:
                after = tuple(chance.sample(NAMES, chance.choice([0, 0, 1, 2])))
                place = chance.choice(["/srv/a", "/srv/a/b", "/srv/c", f"/own/{name}"])
                stage.world.write(path, text(place, run=chance.randrange(1, 4), after=after))
        stage.world.commit(ALICE, "change").push()
        changed = known.refresh(stage.follow())
        assert told(known) == told(stage.opened(cache=False)) == told(stage.opened())
        now = {name: known.get(name) for name in known.environments}
        differing = {name for name in {*before, *now} if _without_tip(before.get(name)) != _without_tip(now.get(name))}
        assert differing <= changed
        before = now


def _without_tip(file: Declared | None) -> object:
    return file and (file.path, file.reading, file.rivals, file.upstream_problem, file.policy_problems)


def test_a_start_reads_no_file_that_was_read_before(stage: Stage) -> None:
    stage.few()
    stage.world.remove("environments/big.yaml").commit(ALICE, "small ones alone").push()
    first = stage.opened()
    stage.mirror = stage.open()
    stage.steps.clear()
    again = stage.opened()
    assert stage.steps == ["git:tip", "git ls-tree"]
    assert told(again) == told(first)
    assert "git cat-file" in stage.steps


def _flip(place: Path) -> None:
    data = bytearray(place.read_bytes())
    for at in range(100, len(data), 7):
        data[at] ^= 1
    place.write_bytes(data)


def _replace(old: bytes, new: bytes) -> Callable[[Path], None]:
    def damage(place: Path) -> None:
        data = place.read_bytes()
        assert old in data
        place.write_bytes(data.replace(old, new))

    return damage


def _make_folder(place: Path) -> None:
    place.unlink()
    place.mkdir()


DAMAGE: dict[str, Callable[[Path], object]] = {
    "gone": Path.unlink,
    "empty": lambda place: place.write_bytes(b""),
    "cut in half": lambda place: place.write_bytes(place.read_bytes()[: place.stat().st_size // 2]),
    "cut after a page": lambda place: place.write_bytes(place.read_bytes()[:4096]),
    "bits are flipped": _flip,
    "something else": lambda place: place.write_text("hello"),
    "another's end": lambda place: place.write_bytes(place.read_bytes() + b"0" * 32 + b" 9\n9"),
    "other places": _replace(b"/srv/a", b"/srv/z"),
    "a length that is none": _replace(b"\n", b"9\n"),
    "not UTF-8": _replace(b"/srv/a", b"/srv/\xff"),
    "a folder": _make_folder,
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_what_is_kept_is_read_anew_when_it_is(stage: Stage, damage: Callable[[Path], object]) -> None:
    stage.few()
    stage.opened()
    damage(stage.cache)
    assert told(stage.opened()) == told(stage.opened(cache=False))
    assert told(stage.opened()) == told(stage.opened(cache=False))


@pytest.mark.parametrize("what", ["FORMAT", "__version__"])
def test_what_another_version_kept_is_read_anew(stage: Stage, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    stage.few()
    with monkeypatch.context() as patch:
        patch.setattr(outlines, what, "another")
        stage.opened()
    blobs = [entry.blob for entry in stage.mirror.tree(stage.follow()).values()]
    assert outlines.Outlines(stage.cache).known(blobs) == {}
    stage.opened()
    assert len(outlines.Outlines(stage.cache).known(blobs)) == 4


def test_what_nobody_needs_any_more_is_let_go(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlines, "SPARE", 3)
    known = stage.world
    for run in range(1, 12):
        known.write("environments/dev.yaml", text("/srv/a", run=run)).commit(ALICE, str(run)).push()
        stage.opened()
    assert len(stage.cache.read_bytes().splitlines()) <= 2 * 6


def test_one_change_adds_one_line_to_what_is_kept_and_the_next_start_finds_it(stage: Stage) -> None:
    stage.few()
    known = stage.opened()
    before = stage.cache.read_bytes()
    stage.world.write("environments/dev.yaml", text("/srv/new")).commit(ALICE, "one").push()
    known.refresh(stage.follow())
    after = stage.cache.read_bytes()
    assert after.startswith(before)
    assert after.removeprefix(before).count(b"\n") == 1
    blobs = [entry.blob for entry in stage.mirror.tree(stage.follow()).values()]
    assert len(outlines.Outlines(stage.cache).known(blobs)) == 4


def test_what_is_kept_behind_a_damaged_part_is_kept_anew(stage: Stage) -> None:
    stage.few()
    stage.opened()
    stage.cache.write_bytes(stage.cache.read_bytes()[:-1])
    stage.opened()
    blobs = [entry.blob for entry in stage.mirror.tree(stage.follow()).values()]
    assert len(outlines.Outlines(stage.cache).known(blobs)) == 4


def test_a_file_is_read_when_somebody_asks_what_it_says(stage: Stage) -> None:
    stage.few()
    stage.world.remove("environments/big.yaml").commit(ALICE, "small ones alone").push()
    stage.opened()
    stage.mirror = stage.open()
    known = stage.opened()
    shutil.rmtree(stage.world.origin)
    shutil.rmtree(next(stage.state.glob("git/*/mirror.git")))
    file, same = known.get(EnvironmentName("dev")), known.get(EnvironmentName("dev"))
    assert file == same
    assert file.rivals == ("qa",)
    assert file.reading
    assert len(file.reading.digest) == 64
    with pytest.raises(Transient) as failed:
        print(file.reading.declaration)
    assert failed.value.reason is Reason.REPOSITORY_UNAVAILABLE


def test_only_the_last_readings_are_kept(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogs, "READINGS_KEPT", 2)
    stage.few()
    known = stage.opened()
    assert told(known) == told(stage.opened(cache=False))
    assert len(known._readings._kept) == 2
