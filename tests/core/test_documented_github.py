"""docs/github.md keeps what it says: its files are valid, its commands exist, and its figures are the tests' own."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from reconciler.cli.app import app
from reconciler.core.declare import Declaration, read
from reconciler.core.policyfile import read_policy
from reconciler.errors import Reason
from reconciler.forges.github import GitHubForgeOptions
from reconciler.settings import Settings, load
from reconciler.sources import github_actions
from reconciler.web import deliveries
from tests.e2e.test_github_attacks import TRICKS
from tests.e2e.test_github_life import FIRST_JUDGEMENT
from tests.github import install

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples" / "github"
PAGE = (ROOT / "docs" / "github.md").read_text()
MANIFEST: dict[str, Any] = json.loads((EXAMPLES / "app-manifest.json").read_text())
BUILD: dict[str, Any] = yaml.safe_load((EXAMPLES / "build.yml").read_text())

_PERMISSION = re.compile(r"^\| `([a-z_]+)` \| `(read|write)` \|", re.MULTILINE)
_CAMEL = re.compile(r"`((?:[A-Z][a-z]+){2,})`")
_LINK = re.compile(r"\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)")
_SCRIPT = re.compile(r"<<'END'\n(.*?)^END$", re.MULTILINE | re.DOTALL)


class _Input(HTMLParser):
    """The attributes of the last input field, as a browser reads them."""

    found: dict[str, str | None]

    @classmethod
    def of(cls, page: str) -> dict[str, str | None]:
        parser = cls()
        parser.feed(page)
        return parser.found

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "input":
            self.found = dict(attrs)


def blocks(language: str) -> list[str]:
    """Every block of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def files() -> dict[str, str]:
    """The YAML blocks, by the name of the file that the first line of each says."""
    return {block.splitlines()[0].removeprefix("# "): block for block in blocks("yaml")}


ENVIRONMENTS = [name for name in files() if name.startswith("environments/") and "policy" not in name]
SETTINGS = [name for name in files() if "reconciler.yaml" in name]


def declaration(name: str) -> Declaration:
    """What an environment file of the page says."""
    reading = read(name, files()[name].encode())
    assert reading.problems == ()
    assert reading.declaration is not None
    return reading.declaration


def settings(name: str, folder: Path) -> Settings:
    """What a settings file of the page says, as the program loads it."""
    place = folder / "reconciler.yaml"
    place.write_text(files()[name])
    return load(place)


def test_each_yaml_on_the_page_is_a_file_that_is_checked_here() -> None:
    assert {*ENVIRONMENTS, *SETTINGS, "environments/policy.yaml"} == set(files())
    assert (len(ENVIRONMENTS), len(SETTINGS)) == (3, 2)


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_the_environment_files_are_valid_and_run_what_the_workflow_builds(name: str) -> None:
    (upload,) = [step for step in BUILD["jobs"]["build"]["steps"] if step.get("id") == "upload"]
    artifact = declaration(name).artifact
    assert artifact.name == upload["with"]["name"]
    assert artifact.unpack == "inner"


def test_the_environment_files_and_the_policy_stand_together(tmp_path: Path) -> None:
    for name, text in files().items():
        if name.startswith("environments/"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(text)
    assert read_policy("policy.yaml", files()["environments/policy.yaml"].encode()).problems == ()
    argv = (sys.executable, "-m", "reconciler", "validate", "-o", "json")
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done
    assert json.loads(done.stdout)["items"] == []


@pytest.mark.parametrize("name", SETTINGS)
def test_the_settings_load_and_each_adapter_takes_its_options(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GH_TOKEN", "token")
    found = settings(name, tmp_path)
    assert found.forge is not None
    assert found.forge.type == "github"
    GitHubForgeOptions.model_validate(dict(found.forge.options))
    (source,) = found.sources.values()
    assert source.type == "github-actions"
    github_actions.Options.model_validate(dict(source.options))
    assert all(number.isdecimal() for number in source.provenance.repositories)
    assert source.provenance.workflows == (".github/workflows/build.yml",)


def test_the_settings_allow_where_the_environments_go(tmp_path: Path) -> None:
    (daemon,) = [name for name in SETTINGS if name.startswith("/etc/")]
    roots = settings(daemon, tmp_path).targets["directory"]["roots"]
    for name in ENVIRONMENTS:
        assert any(Path(declaration(name).target.path).is_relative_to(root) for root in roots)


def test_the_manifest_asks_for_exactly_the_documented_permissions() -> None:
    documented = _PERMISSION.findall(PAGE)
    assert len(documented) == len(dict(documented))
    assert MANIFEST["default_permissions"] == dict(documented)
    assert MANIFEST["public"] is False


def test_the_manifests_permissions_are_ones_that_github_knows() -> None:
    known = json.loads(install.DESCRIPTION.read_text())["components"]["schemas"]["app-permissions"]["properties"]
    for name, level in MANIFEST["default_permissions"].items():
        assert level in known[name]["enum"], name


def test_the_manifests_events_are_those_that_wake_the_daemon() -> None:
    # A merge group's event takes a permission of its own, and the push that ends it wakes just as well.
    assert set(MANIFEST["default_events"]) == set(deliveries._JUDGES) - {"merge_group"}
    assert MANIFEST["hook_attributes"]["url"].endswith("/api/webhook/github")


def test_the_workflow_prints_the_two_lines_with_read_access_alone() -> None:
    assert BUILD["permissions"] == {"contents": "read"}
    last = BUILD["jobs"]["build"]["steps"][-1]
    assert 'echo "run_id: $RUN_ID"' in last["run"]
    assert 'echo "sha256: $SHA256"' in last["run"]
    assert last["env"] == {
        "RUN_ID": "${{ github.run_id }}",
        "SHA256": "${{ steps.upload.outputs.artifact-digest }}",
    }


def test_the_scripts_make_the_button_and_keep_what_github_answers(tmp_path: Path) -> None:
    button, keep = _SCRIPT.findall(PAGE)
    made = subprocess.run((sys.executable, "-"), input=button, cwd=ROOT, capture_output=True, text=True, timeout=60)
    fields = _Input.of(made.stdout)
    assert fields["name"] == "manifest"
    assert json.loads(fields["value"] or "") == MANIFEST, made

    answer = {"client_id": "Iv23", "pem": "-----BEGIN\n", "webhook_secret": "s" * 40}
    (tmp_path / "app.json").write_text(json.dumps(answer))
    kept = subprocess.run((sys.executable, "-"), input=keep, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert kept.stdout == "id: Iv23\n", kept
    assert (tmp_path / "github-app.pem").read_text() == answer["pem"]
    assert (tmp_path / "webhook-secret").read_text() == answer["webhook_secret"] + "\n"


def test_each_command_exists_with_its_options() -> None:
    group: Any = typer.main.get_command(app)
    typed = [line for block in blocks("console") for line in re.findall(r"^\$ (reconciler .*)$", block, re.MULTILINE)]
    assert len(typed) > 5
    for line in typed:
        _, name, *arguments = shlex.split(line)
        command = group.get_command(None, name)
        assert command is not None, line
        command.make_context(name, arguments)


def test_each_reason_is_one_and_each_trick_of_the_tests_comes_to_one_that_is_named() -> None:
    named = set(_CAMEL.findall(PAGE))
    assert named <= set(Reason)
    assert set(TRICKS.values()) <= named


def test_the_first_judgement_costs_what_the_page_says() -> None:
    (figure,) = re.findall(r"^\| the first judgement of one change.*\| (\d+): (.*) \|$", PAGE, re.MULTILINE)
    assert int(figure[0]) == FIRST_JUDGEMENT
    assert sum(map(int, re.findall(r"\b(\d+) (?:about|for)\b", figure[1]))) == FIRST_JUDGEMENT


def test_each_link_leads_somewhere() -> None:
    for place, anchor in _LINK.findall(PAGE):
        page = ROOT / "docs" / (place or "github.md")
        assert page.exists(), place
        if anchor:
            titles = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}, anchor
