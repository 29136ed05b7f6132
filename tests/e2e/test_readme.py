"""The tour of the README, read out of it and typed into one shell, line by line; each line keeps what is promised.

Where there is a Chromium, the demo's pages are open in it all the while: what the terminal says, they show by
themselves, without being loaded again.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from threading import Timer

import pytest

from tests.browser.chromium import MISSING, browsing
from tests.browser.touring import Touring

ROOT = Path(__file__).resolve().parent.parent.parent
TOUR = "## Five minutes, offline"
SECONDS = 300

_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_EXCERPT = re.compile(r"^```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_VARIES = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ|\b[0-9a-f]{12}\b")
_END = "\x1eended"


@dataclass(frozen=True)
class Step:
    """One line of the tour, and what it must come to."""

    command: str
    says: tuple[str, ...] = ()
    code: int = 0


TYPED = (
    Step("make run", ("dev      102", "prod     101", "staging  101", "  cd .demo/engineer")),
    Step(". .venv/bin/activate"),
    Step("export RECONCILER_CONFIG=$PWD/.demo/reconciler.yaml"),
    Step("cd .demo/engineer"),
    Step("reconciler get", ("staging  101", "Healthy")),
    Step("reconciler promote prod --from dev", ("promote/prod/run-102", "prod: run 101 → 102")),
    Step("reconciler plan --head origin/promote/prod/run-102", ("NotInUpstream: staging runs run 101", "1 person of")),
    Step(
        "reconciler demo approve promote/prod/run-102",
        ("reviewer$ git merge -S", "held all the same: NotInUpstream. prod still runs 101-"),
    ),
    Step("reconciler demo merge", ("staging runs run 102", "prod goes on waiting: 102-", "for 10s without a break")),
    Step("reconciler why prod", ("promotion: Soaking; run 101 stays live", "Not before   20"), code=3),
    Step("reconciler wait prod --for Ready --timeout 60s", ("prod: Ready",)),
    Step("reconciler demo freeze", ("+freeze:", "reviewer$ git merge -S", "Nothing new comes to staging or prod")),
    Step("reconciler demo drift", ("bin/backdoor", "Mended", "102-")),
    Step("reconciler promote staging --run 103", ("staging: run 102 → 103",)),
    Step(
        "reconciler demo approve promote/staging/run-103",
        ("held all the same: Frozen. staging still runs 102-", "is frozen until 20", "Not before   20"),
    ),
    Step("reconciler rollback prod --revoke 'it loses orders'", ("prod: run 102 → 101", "revoked   sha256")),
    Step("reconciler demo approve rollback/prod/run-101", ("prod runs run 101: 101-",)),
    Step("reconciler get", ("Held    Degraded", "is revoked: it loses orders", "meanwhile 102-")),
    Step("reconciler demo merge dev --run 103", ("dev runs run 103: live",)),
    Step("reconciler demo freeze --lift", ("-freeze:", "staging  103", "103-")),
    Step("reconciler demo smuggle", ("Held. prod still runs 101-", "approval: ApprovalMissing; run 101 stays live")),
    Step("reconciler demo smuggle --revert", ("prod  101", "Synced")),
    Step("reconciler demo tamper", ("Held. staging still runs 103-", "DigestMismatch")),
    Step("reconciler demo tamper --restore", ("staging  104", "Synced")),
    Step(
        "reconciler demo break",
        ("web is live and healthy", "HealthCheckFailed; run 201 is live again", "rollback (automatic)  201"),
    ),
    Step(
        "reconciler history --all --limit 40",
        (
            "NotInUpstream",
            "Soaking",
            "Frozen",
            "Revoked",
            "ApprovalMissing",
            "DigestMismatch",
            "rollback              101",
        ),
    ),
    Step(
        'reconciler describe prod --at "$(date -u -d -5sec +%FT%TZ)"',
        ("prod ran run 101 at", "Approved by   reviewer@example.com"),
    ),
    Step(
        "reconciler audit export | reconciler audit verify - --key ../state/audit/key.pub --anchor ../origin.git",
        ("intact: ", "signed: up to entry", "anchored: up to entry"),
    ),
    Step("cd ../.."),
    Step("reconciler demo down", ("nothing is left",)),
)


ALONE = pytest.param(False, id="alone")
WATCHED = pytest.param(True, id="watched in a browser")
WAYS = (ALONE, pytest.param(True, id="watched", marks=pytest.mark.skip(reason=MISSING))) if MISSING else (WATCHED,)
"""With a browser, one tour is enough for both."""


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Path]:
    """Where a reader stands: the files that `make run` looks at, and `make setup` done."""
    for name in ("Makefile", "pyproject.toml", "requirements-dev.lock", "tools"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "bin").symlink_to(Path(sys.prefix) / "bin")
    (tmp_path / ".venv" / ".setup").touch()
    yield tmp_path
    down = (sys.executable, "-P", "-m", "reconciler", "demo", "down", "--dir", ".demo")
    subprocess.run(down, cwd=tmp_path, env=_environment(tmp_path), capture_output=True, check=True)


@pytest.mark.parametrize("watched", WAYS)
def test_the_tour_does_at_every_line_what_the_readme_says(watched: bool, checkout: Path) -> None:
    tour = _tour()
    commands = [line.removeprefix("$ ") for block in _BLOCK.findall(tour) for line in block.splitlines()]
    assert commands == [step.command for step in TYPED]
    with ExitStack() as stack:
        touring = Touring(stack.enter_context(browsing()), checkout, stack) if watched else None
        answers = _type(checkout, commands, touring.after if touring else lambda *_: None)
    for step, (code, said) in zip(TYPED, answers, strict=True):
        assert code == step.code, f"{step.command}\n{said}"
        assert [text for text in step.says if text not in said] == [], f"{step.command}\n{said}"
    _expect_excerpt(tour, answers[commands.index("reconciler why prod")][1])
    assert not (checkout / ".demo").exists()
    assert not touring or not touring.wrong, "\n\n".join(touring.wrong)


def _tour() -> str:
    readme = (ROOT / "README.md").read_text()
    return readme[readme.index(TOUR) : readme.index("\n## ", readme.index(TOUR) + 1)]


def _type(folder: Path, commands: list[str], after: Callable[[str, str], None]) -> list[tuple[int, str]]:
    """Type commands into one shell; returns each one's exit code and what it said.

    Args:
        folder: Where the shell begins.
        commands: One after the other, each when the one before has ended.
        after: Called behind each, with the command and what it said.
    """
    argv = ("bash", "--noprofile", "--norc", "-s")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    answers = []
    with subprocess.Popen(argv, cwd=folder, env=_environment(folder), text=True, **pipes) as shell:  # type: ignore[call-overload]
        clock = Timer(SECONDS, shell.kill)
        clock.start()
        try:
            for command in ("set -o pipefail", *commands):
                answers.append(_answer(shell, command))
                after(command, answers[-1][1])
        finally:
            clock.cancel()
    return answers[1:]


def _answer(shell: subprocess.Popen[str], command: str) -> tuple[int, str]:
    assert shell.stdin
    assert shell.stdout
    shell.stdin.write(f'{{ {command}\n}} 2>&1 </dev/null; printf "{_END} %s\\n" $?\n')
    shell.stdin.flush()
    said: list[str] = []
    for line in shell.stdout:
        before, end, code = line.partition(_END)
        said.append(before)
        if end:
            return int(code), "".join(said)
    pytest.fail(f"the shell ended in {command}, or {SECONDS} s were over; it said:\n{''.join(said)}")


def _environment(home: Path) -> dict[str, str]:
    """A shell of somebody who has set up nothing."""
    foreign = ("RECONCILER_", "GIT_", "MAKE", "MFLAGS", "PYTEST_", "VIRTUAL_ENV", "SSH_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return {**kept, "HOME": str(home), "NO_COLOR": "1"}


def _expect_excerpt(tour: str, said: str) -> None:
    """The picture in the README is what was printed, but for hashes and times; `…` stands for what was left out."""
    (excerpt,) = _EXCERPT.findall(tour)
    printed = iter(_VARIES.sub("*", said).splitlines())
    for line in _VARIES.sub("*", excerpt).splitlines():
        head, cut, _ = line.partition("…")
        wanted = head.rstrip() if cut else line
        assert any(found.startswith(wanted) if cut else found == wanted for found in printed), f"{line!r} in\n{said}"
