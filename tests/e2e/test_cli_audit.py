"""An auditor with an export of a real store: every attack on every entry, with the file alone, a key, and an anchor."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from reconciler import wiring
from reconciler.core import audit
from reconciler.core.audit import START, Entry, Fact
from reconciler.core.audit.entry import digest, of_object
from reconciler.model import (
    AcceptedPolicy,
    Action,
    Attempt,
    CommitId,
    Declared,
    Digest,
    EnvironmentName,
    Gate,
    GateResult,
    Health,
    OperatorHand,
    Outcome,
    RunId,
    Status,
    Sync,
    Verdict,
)
from reconciler.ports import Store
from reconciler.settings import load
from tests.cliworld import CliWorld, cli, program
from tests.factories import NOON

PROD = EnvironmentName("prod")
DECLARED = Declared(CommitId("c" * 40), RunId(101), Digest("a" * 64))
GATES = (GateResult(Gate.APPROVAL, Verdict.PASSED, evidence=("signed by 7",)),)
ATTEMPT = Attempt(
    PROD, Action.DEPLOY, DECLARED, None, NOON, request="#12", approvers=("7",), gates=GATES, plan="d" * 64
)
STATUS = Status(PROD, Sync.SYNCED, Health.HEALTHY, None, "", "", DECLARED, None, None, ())
REF = "refs/reconciler/audit"
Log = list[bytes]


@dataclass(frozen=True)
class Audited:
    """A site whose store holds more than 200 entries, and what an auditor has of it."""

    world: CliWorld
    folder: Path
    file: Path
    key: Path
    log: Log

    @property
    def repository(self) -> str:
        return str(self.world.site.git.origin)

    def verify(self, log: Log, *options: str) -> tuple[int, Any]:
        """By the program, in this process."""
        file = self.folder / "tried.jsonl"
        file.write_bytes(b"".join(log))
        result = cli("audit", "verify", str(file), *options, "-o", "json")
        return result.exit_code, json.loads(result.stdout)

    def keyed(self, log: Log) -> tuple[int, str]:
        code, found = self.verify(log, "--key", str(self.key))
        return code, told(found)

    def anchored(self, log: Log) -> tuple[int, str]:
        code, found = self.verify(log, "--key", str(self.key), "--anchor", self.repository)
        return code, told(found)


def told(found: Any) -> str:
    return " / ".join(problem["what"] for problem in found["problems"])


def fill(store: Store, first: int, last: int) -> None:
    for number in range(first, last):
        begun = store.begin(ATTEMPT)
        at = NOON + timedelta(minutes=number)
        store.finish(replace(begun, finished=at, outcome=Outcome.SUCCEEDED), STATUS, None)
        store.refuse(replace(ATTEMPT, finished=at, outcome=Outcome.REFUSED, message="no one approved"), STATUS)
        store.save_hand(PROD, OperatorHand(number % 2 == 0, f"maintenance {number}", "ops"), "suspend", at)
    store.save_policy(AcceptedPolicy(CommitId("b" * 40), Digest(f"{last:064d}"), "#13", ("7",), NOON))


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Audited:
    folder = tmp_path_factory.mktemp("audited")
    world = CliWorld(folder / "site", audit={"anchor": REF})
    settings = load(world.site.settings_file)
    for first, last in ((0, 26), (26, 52)):
        store = wiring.open_store(settings)
        fill(store, first, last)
        store.close()
        assert world("audit", "checkpoint").exit_code == 0
    file = folder / "audit.jsonl"
    assert world("audit", "export", "--output-file", str(file)).exit_code == 0
    log = file.read_bytes().splitlines(keepends=True)
    return Audited(world, folder, file, settings.state / "audit" / "key.pub", log)


def places(log: Log) -> list[int]:
    """Where entries stand."""
    return [i for i, line in enumerate(log) if b'"kind":"checkpoint"' not in line and b'"kind":"end"' not in line]


def entries(log: Log) -> list[Entry]:
    return [audit.parse(log[i]) for i in places(log)]


def recomputed(log: Log, upto: int, change: Callable[[Fact], Fact], at: int) -> Log:
    """One entry changed, and every hash from there on, and the end line, computed anew."""
    chain: list[Entry] = []
    honest = entries(log)[:upto]
    chain += honest[:at]
    for number, entry in list(enumerate(honest))[at:]:
        fact = Fact(**{name: getattr(entry, name) for name in Fact.__dataclass_fields__})
        chain.append(audit.seal(change(fact) if number == at else fact, chain[-1].head if chain else START))
    return [*map(audit.line, chain), audit.trailer(len(chain), chain[-1].hash)]


def with_another_sha(fact: Fact) -> Fact:
    return replace(fact, sha256=Digest("e" * 64))


# --- what is there --------------------------------------------------------------------------------


def test_an_untouched_export_is_intact_signed_and_anchored(audited: Audited) -> None:
    code, found = audited.verify(audited.log, "--key", str(audited.key), "--anchor", audited.repository)
    assert (code, found["intact"], found["problems"]) == (0, True, [])
    assert found["entries"] == len(places(audited.log)) >= 200
    assert (found["checkpoints"], found["signed"]["entries"]) == (3, found["entries"])
    assert found["anchored"]["entries"] == found["entries"]
    shown = subprocess.run(["ssh-keygen", "-l", "-f", audited.key], capture_output=True, text=True, check=True).stdout
    assert found["signed"]["key"] == shown.split()[1]


def test_the_program_verifies_offline_and_says_what_was_signed(audited: Audited) -> None:
    done = program("audit", "verify", str(audited.file), "--key", str(audited.key), cwd=audited.folder)
    assert done.returncode == 0
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == ["intact", "signed"]
    bare = program("audit", "verify", str(audited.file), cwd=audited.folder)
    assert (bare.returncode, bare.stdout.count("\n")) == (0, 1)
    assert "3 signatures not checked" in bare.stderr


def test_checkpoints_stand_right_behind_the_entry_that_they_speak_of(audited: Audited) -> None:
    found = [i for i, line in enumerate(audited.log) if b'"kind":"checkpoint"' in line]
    assert found == [105, 211, 213]
    assert b'"kind":"end"' in audited.log[212]
    assert [audit.parse_checkpoint(audited.log[i]).entries for i in found] == [105, 210, 210]


# --- attacks on every entry, from the file alone --------------------------------------------------


def edited(log: Log, i: int, share: float) -> Log:
    at = int(share * (len(log[i]) - 1))
    return [*log[:i], log[i][:at] + bytes([log[i][at] ^ 1]) + log[i][at + 1 :], *log[i + 1 :]]


def rewritten(log: Log, i: int, name: str) -> Log:
    """A field changed as somebody would who knows the format."""
    document = json.loads(log[i])
    document[name] = {"environment": "dev", "message": "nothing happened", "approvers": ["9"], "hash": "0" * 64}[name]
    line = json.dumps(document, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    return [*log[:i], line, *log[i + 1 :]]


ATTACKS: dict[str, Callable[[Log, int], Log]] = {
    **{f"editing the byte at {share} of it": lambda log, i, s=share: edited(log, i, s) for share in (0, 0.4, 1)},  # type: ignore[misc]
    **{
        f"editing its {name}": lambda log, i, n=name: rewritten(log, i, n)  # type: ignore[misc]
        for name in ("environment", "message", "approvers", "hash")
    },
    "dropping it": lambda log, i: log[:i] + log[i + 1 :],
    "swapping it with the next line": lambda log, i: [*log[:i], log[i + 1], log[i], *log[i + 2 :]],
    "duplicating it": lambda log, i: [*log[: i + 1], *log[i:]],
    "cutting it and all behind it": lambda log, i: log[:i],
    "cutting it and all behind it but the end": lambda log, i: [*log[:i], *log[-2:]],
}


@pytest.fixture
def read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is the same line in each of thousands of logs is read and hashed once: nothing else goes into these two."""
    read: dict[bytes, Entry] = {}

    def once(document: dict[str, object], data: bytes) -> Entry:
        if data not in read:
            read[data] = of_object(document, data)
        return read[data]

    monkeypatch.setattr("reconciler.core.audit.chain.of_object", once)
    monkeypatch.setattr("reconciler.core.audit.chain.digest", cache(digest))


@pytest.mark.usefixtures("read_once")
@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_on_every_entry_what_is_found_is(audited: Audited, attack: Callable[[Log, int], Log]) -> None:
    for i in places(audited.log):
        assert not audit.verify(attack(audited.log, i)).intact, i


@pytest.mark.parametrize("name", ["dropping it", "editing its approvers", "swapping it with the next line"])
def test_the_program_finds_it_too_and_ends_with_1(audited: Audited, name: str) -> None:
    for i in (0, 104, 211 - 1):
        file = audited.folder / "attacked.jsonl"
        file.write_bytes(b"".join(ATTACKS[name](audited.log, i)))
        done = program("audit", "verify", str(file))
        assert (done.returncode, done.stdout.startswith(f"{file}:")) == (1, True)


# --- whoever computes everything anew -------------------------------------------------------------


@pytest.mark.usefixtures("read_once")
def test_on_every_entry_a_chain_computed_anew_is_found_with_the_key(audited: Audited) -> None:
    """Signatures are checked by their statement here: the real tool is asked below."""
    honest = {
        audit.statement(c.entries, c.head, c.at)
        for c in (audit.parse_checkpoint(line) for line in audited.log if b'"kind":"checkpoint"' in line)
    }

    def check(found: audit.Checkpoint) -> audit.Signature:
        good = audit.statement(found.entries, found.head, found.at) in honest
        return audit.Signature("SHA256:…", "" if good else "is not signed")

    total = len(places(audited.log))
    assert audit.verify(audited.log, check).intact
    for at in range(total):
        forged = [*recomputed(audited.log, total, with_another_sha, at), audited.log[-1]]
        assert not audit.verify(forged, check).intact, at


def test_a_chain_computed_anew_is_found_by_the_program_with_the_key(audited: Audited) -> None:
    forged = recomputed(audited.log, 210, with_another_sha, 60)
    assert audited.verify(forged)[0] == 0
    assert audited.keyed(forged) == (1, "the end is not signed: no good signature")
    code, what = audited.keyed([*forged, audited.log[-1]])
    assert code == 1
    assert "the checkpoint speaks of 210 entries" in what


def test_an_end_that_is_not_signed_is_found_with_the_key(audited: Audited) -> None:
    forged = [*audited.log[:106], *recomputed(audited.log, 180, with_another_sha, 150)[105:]]
    assert audited.verify(forged)[0] == 0
    assert audited.keyed(forged) == (1, "the end is not signed: signed up to entry 105 of 180")


def test_a_file_cut_to_an_old_signature_is_found_with_the_anchor_only(audited: Audited) -> None:
    cut = [*audited.log[:106], audit.trailer(105, audit.parse(audited.log[104]).hash)]
    assert audited.keyed(cut) == (0, "")
    assert audited.anchored(cut) == (1, "the end was cut: the anchor knows of 210 entries, here are 105")


@pytest.mark.usefixtures("read_once")
def test_on_every_entry_a_cut_with_a_new_end_line_is_found_with_the_anchor(audited: Audited) -> None:
    anchor = audit.parse_checkpoint(audited.log[-1])
    for i in places(audited.log):
        seq = audit.parse(audited.log[i]).seq
        head = audit.parse(audited.log[i]).prev
        cut = [*audited.log[:i], audit.trailer(seq - 1, head)]
        assert not audit.verify(cut, None, [anchor]).intact, i


def test_a_chain_computed_anew_is_found_with_the_anchor_without_the_key(audited: Audited) -> None:
    forged = recomputed(audited.log, 210, with_another_sha, 150)
    code, found = audited.verify(forged, "--anchor", audited.repository)
    assert code == 1
    assert "entry 210 is not the one that was anchored" in told(found)
    assert found["anchored"]["entries"] == 105


def test_an_anchor_that_is_gone_is_no_anchor_that_agrees(audited: Audited) -> None:
    done = cli("audit", "verify", str(audited.file), "--anchor", audited.repository, "--ref", "refs/other/audit")
    assert done.exit_code == 1
    assert "there is no refs/other/audit" in done.stderr


@pytest.mark.parametrize("anchor", ["/nowhere", "empty"])
def test_a_repository_that_can_not_be_asked_is_told_by_the_option_that_names_it(
    audited: Audited, tmp_path: Path, anchor: str
) -> None:
    done = cli("audit", "verify", str(audited.file), "--anchor", anchor if anchor[0] == "/" else str(tmp_path))
    assert done.exit_code in (1, 2)
    assert "repository.url" not in done.stderr
    assert "--anchor" in done.stderr


def test_a_reference_that_is_none_is_told_by_its_option_with_one_to_write(audited: Audited) -> None:
    done = cli("audit", "verify", str(audited.file), "--anchor", audited.repository, "--ref", "refs/x")
    assert done.exit_code == 2
    assert done.stderr == (
        "error: --ref: 'refs/x' is not the whole name of a reference\nhint: write one such as refs/reconciler/audit\n"
    )


def test_where_nothing_is_signed_intact_is_not_all_that_is_said(audited: Audited, tmp_path: Path) -> None:
    forged = tmp_path / "forged.jsonl"
    forged.write_bytes(b"".join(recomputed(audited.log, 180, with_another_sha, 150)))
    done = cli("audit", "verify", str(forged))
    assert (done.exit_code, "intact" in done.stdout) == (0, True)
    assert "nothing in this file is signed: without --key or --anchor" in done.stderr


def test_lines_that_were_converted_are_told_once(audited: Audited) -> None:
    code, found = audited.verify([line[:-1] + b"\r\n" for line in audited.log])
    assert (code, len(found["problems"]), found["problems"][0]["line"]) == (1, 1, 1)
    assert "carriage return" in told(found)


def test_only_what_an_answer_can_be_printed_as_is_offered(audited: Audited) -> None:
    assert cli("audit", "verify", str(audited.file), "-o", "name").exit_code == 2
    assert cli("audit", "verify", str(audited.file), "-o", "yaml").exit_code == 0


# --- keys -----------------------------------------------------------------------------------------


def keygen(place: Path) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", place], check=True)
    return place


def signed_anew(audited: Audited, key: Path, namespace: str = audit.NAMESPACE) -> Log:
    last = audit.parse_checkpoint(audited.log[-1])
    said = audit.statement(last.entries, last.head, last.at)
    argv = ("ssh-keygen", "-q", "-Y", "sign", "-n", namespace, "-f", key)
    armor = subprocess.run(argv, input=said, capture_output=True, check=True).stdout.decode()
    return [*audited.log[:-1], audit.checkpoint_line(replace(last, signature=armor))]


def test_a_signature_of_an_unknown_key_is_found(audited: Audited, tmp_path: Path) -> None:
    code, what = audited.keyed(signed_anew(audited, keygen(tmp_path / "mallory")))
    assert code == 1
    assert "which is not the one that was given" in what


def test_a_signature_that_was_made_for_something_else_is_found(audited: Audited) -> None:
    code, what = audited.keyed(signed_anew(audited, audited.key.with_suffix(""), "git"))
    assert code == 1
    assert "was signed for b'git' and not for reconciler-audit@v1" in what


def test_a_signature_over_another_statement_is_found(audited: Audited) -> None:
    last = audit.parse_checkpoint(audited.log[-1])
    for other in (
        replace(last, at=last.at + timedelta(days=1)),
        replace(last, signature=last.signature[:-60] + last.signature[-60:].swapcase()),
    ):
        code, what = audited.keyed([*audited.log[:-1], audit.checkpoint_line(other)])
        assert (code, "checkpoint over 210 entries" in what) == (1, True)


def test_a_file_of_allowed_signers_will_do_as_the_key(audited: Audited, tmp_path: Path) -> None:
    key = " ".join(audited.key.read_text().split()[:2])
    file = tmp_path / "signers"
    file.write_text(f'# ours\n"daemon@example.com" namespaces="{audit.NAMESPACE}" {key} comment\n')
    assert audited.verify(audited.log, "--key", str(file))[0] == 0
    file.write_text(f'daemon@example.com valid-before="20200101Z" {key}\n')
    assert "ssh-keygen refuses" in told(audited.verify(audited.log, "--key", str(file))[1])


@pytest.mark.parametrize("text", ["", "not a key\n", "x" * 40_000], ids=["nothing", "no key", "too long"])
def test_a_file_without_a_key_is_a_usage_error(audited: Audited, tmp_path: Path, text: str) -> None:
    file = tmp_path / "key.pub"
    file.write_text(text)
    assert cli("audit", "verify", str(audited.file), "--key", str(file)).exit_code == 2
    assert cli("audit", "verify", str(audited.file), "--key", str(tmp_path / "none")).exit_code == 2


# --- making them ----------------------------------------------------------------------------------


def test_a_checkpoint_says_what_was_signed_and_by_which_key(audited: Audited) -> None:
    first, again = (audited.world.json("audit", "checkpoint") for _ in range(2))
    assert first == again, "one that adds nothing is not made"
    assert set(first) == {"apiVersion", "kind", "entries", "head", "at", "key", "anchor"}
    assert (first["entries"], first["anchor"]) == (210, REF)
    text = audited.world("audit", "checkpoint").stdout
    assert all(word in text for word in ("210 entries", first["head"], first["key"], REF))


def test_the_key_is_for_the_daemon_s_user_alone(audited: Audited) -> None:
    private = audited.key.with_suffix("")
    assert private.stat().st_mode & 0o777 == 0o600
    assert private.parent.stat().st_mode & 0o777 == 0o700
    assert sorted(path.name for path in private.parent.iterdir()) == ["key", "key.pub"]


def test_a_store_that_was_lost_is_not_anchored_over_the_old_one(audited: Audited, tmp_path: Path) -> None:
    """An operator's new state folder, the old repository."""
    lost = shutil.copytree(audited.world.site.folder, tmp_path / "lost")
    (settings := lost / "reconciler.yaml").write_text(audited.world.site.settings_file.read_text())
    shutil.rmtree(lost / "state")
    store = wiring.open_store(load(settings))
    fill(store, 0, 2)
    store.close()
    done = cli("-c", str(settings), "audit", "checkpoint")
    assert done.exit_code == 1
    assert "the audit log is not the one that was anchored" in done.stderr


@pytest.mark.parametrize(
    ("sql", "what"),
    [
        pytest.param(
            "UPDATE audit SET line = replace(line, 'signed by 7', 'signed by 9') WHERE seq = 6",
            "entry 5 is not",
            id="edited",
        ),
        pytest.param("DELETE FROM audit WHERE seq = 6", "entry 5 is not followed", id="dropped"),
        pytest.param("DELETE FROM audit WHERE seq >= 5", "entry 5 is not the one that was signed", id="cut"),
    ],
)
def test_a_log_that_was_altered_in_the_store_is_never_signed(tmp_path: Path, sql: str, what: str) -> None:
    world = CliWorld(tmp_path)
    settings = load(world.site.settings_file)
    for first in (0, 1):
        store = wiring.open_store(settings)
        fill(store, first, first + 1)
        store.close()
        if first == 0:
            assert world.json("audit", "checkpoint")["entries"] == 5
    with contextlib.closing(sqlite3.connect(settings.state / "reconciler.db")) as database:
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f"DROP TRIGGER {name}")
        assert database.execute(sql).rowcount
        database.commit()
    done = world("audit", "checkpoint")
    assert (done.exit_code, what in done.stderr) == (1, True)
    assert world("audit", "export", "--output-file", str(tmp_path / "audit.jsonl")).exit_code == 0
    assert cli("audit", "verify", str(tmp_path / "audit.jsonl")).exit_code == 1


def test_a_checkpoint_that_could_not_be_anchored_is_anchored_next_time(tmp_path: Path) -> None:
    world = CliWorld(tmp_path, audit={"anchor": REF})
    store = wiring.open_store(load(world.site.settings_file))
    fill(store, 0, 1)
    store.close()
    origin = world.site.git.origin
    away = origin.rename(origin.with_name("away"))
    assert world("audit", "checkpoint").exit_code == 1
    away.rename(origin)
    assert world("audit", "checkpoint").exit_code == 0
    assert world.site.git.run("git", f"--git-dir={origin}", "rev-list", "--count", REF).strip() == b"1"


def test_without_a_key_an_export_is_not_signed_and_says_so(tmp_path: Path) -> None:
    world = CliWorld(tmp_path)
    world.site.publish(101)
    world.site.declare("dev", 101, approval="none")
    world("reconcile")
    shutil.rmtree(tmp_path / "state" / "audit", ignore_errors=True)
    done = world("audit", "export")
    assert "not signed" in done.stderr
    assert b'"kind":"end"' in done.stdout.encode().splitlines()[-1]


def a_store_without_entries(world: CliWorld) -> None:
    store = wiring.open_store(load(world.site.settings_file))
    store.save_tip(CommitId("c" * 40))
    store.close()


def test_nothing_to_sign_yet_is_said(tmp_path: Path) -> None:
    world = CliWorld(tmp_path)
    a_store_without_entries(world)
    done = world("audit", "checkpoint")
    assert (done.exit_code, "no entry to sign yet" in done.stderr) == (8, True)


def test_a_key_that_the_settings_name_must_be_there(tmp_path: Path) -> None:
    world = CliWorld(tmp_path, audit={"key": "keys/audit"})
    a_store_without_entries(world)
    done = world("audit", "export", "--output-file", str(tmp_path / "audit.jsonl"))
    assert done.exit_code == 2
    assert f"audit.key: {tmp_path}/keys/audit" in done.stderr
    assert not (tmp_path / "audit.jsonl").exists()


def test_the_guide_s_way_to_check_a_signature_without_this_program_works(audited: Audited, tmp_path: Path) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "audit.md").read_text()
    script = guide.split("```python\n")[2].split("```")[0]
    (tmp_path / "audit.jsonl").write_bytes(b"".join(audited.log))
    subprocess.run([sys.executable, "-c", script, "audit.jsonl"], cwd=tmp_path, check=True)
    (tmp_path / "signers").write_text(f"auditor {audited.key.read_text()}")
    argv = [
        "ssh-keygen",
        "-Y",
        "verify",
        "-f",
        "signers",
        "-I",
        "auditor",
        "-n",
        audit.NAMESPACE,
        "-s",
        "checkpoint.sig",
    ]
    said = (tmp_path / "checkpoint").read_bytes()
    assert subprocess.run(argv, cwd=tmp_path, input=said, capture_output=True).returncode == 0
    assert subprocess.run(argv, cwd=tmp_path, input=said + b" ", capture_output=True).returncode != 0
    assert "ssh-keygen -Y verify -f signers -I auditor -n reconciler-audit@v1 -s checkpoint.sig < checkpoint" in guide
