"""What users meet by name is documented under that name, with the default that it has."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from reconciler.activators import command as command_activator
from reconciler.activators import supervisor, systemd
from reconciler.bounds import Bounds
from reconciler.core.allowance import CommandAllowance
from reconciler.core.declare import ApprovalSpec, ArtifactSpec, Declaration, DirectoryTarget, PromoteSpec, read
from reconciler.core.policyfile import FloorSpec, FreezeSpec, PolicyDocument, RevokedSpec, read_policy
from reconciler.core.provenance import Provenance
from reconciler.core.running import ActivateSpec, HealthSpec, SecretSpec
from reconciler.errors import Reason
from reconciler.forges.github import GitHubForgeOptions
from reconciler.forges.signed_merge import SignedMergeOptions
from reconciler.github.options import AppOptions
from reconciler.probes import command as command_probe
from reconciler.probes import http as http_probe
from reconciler.probes import tcp
from reconciler.probes.hosts import HostsAllowance
from reconciler.secretkeeper import SecretAllowance, SecretSettings
from reconciler.settings import AuditSettings, RepositorySettings, Settings, WebSettings
from reconciler.sources import directory as directory_source
from reconciler.sources import github_actions, http
from reconciler.targets import directory as directory_target
from tests.core.test_declare import GOOD
from tests.core.test_running import RUN
from tests.jobs import PROD, parts

DOCS = Path(__file__).parents[2] / "docs"
_ROW = re.compile(r"^\| `([^`]+)` \| (.*?) \| (.*?) \|$", re.MULTILINE)

SECTIONS: dict[str, tuple[str, str, type[BaseModel]]] = {
    "settings": ("settings.md", "", Settings),
    "repository": ("settings.md", "repository.", RepositorySettings),
    "audit": ("settings.md", "audit.", AuditSettings),
    "web": ("settings.md", "web.", WebSettings),
    "bounds": ("settings.md", "bounds.", Bounds),
    "forge signed_merge": ("settings.md", "forge.", SignedMergeOptions),
    "forge github": ("settings.md", "forge.", GitHubForgeOptions),
    "forge github's App": ("settings.md", "forge.app.", AppOptions),
    "source directory": ("settings.md", "sources.<name>.", directory_source.Options),
    "source http": ("settings.md", "sources.<name>.", http.Options),
    "source github-actions": ("settings.md", "sources.<name>.", github_actions.Options),
    "provenance": ("settings.md", "sources.<name>.provenance.", Provenance),
    "activator command": ("settings.md", "activators.command.", command_activator.Options),
    "commands": ("settings.md", "activators.command.allow[].", command_activator.Rule),
    "activator systemd": ("settings.md", "activators.systemd.", systemd.Options),
    "units": ("settings.md", "activators.systemd.allow[].", systemd.Rule),
    "activator supervisor": ("settings.md", "activators.supervisor.", supervisor.Options),
    "programs": ("settings.md", "activators.supervisor.allow[].", supervisor.Rule),
    "secrets": ("settings.md", "secrets.", SecretSettings),
    "secrets' rules": ("settings.md", "secrets.allow[].", SecretAllowance),
    "probe http": ("settings.md", "probes.http.", http_probe.Options),
    "probe http's hosts": ("settings.md", "probes.http.allow[].", HostsAllowance),
    "probe tcp": ("settings.md", "probes.tcp.", tcp.Options),
    "probe tcp's hosts": ("settings.md", "probes.tcp.allow[].", HostsAllowance),
    "probe command": ("settings.md", "probes.command.", command_probe.Options),
    "probe command's commands": ("settings.md", "probes.command.allow[].", CommandAllowance),
    "target directory": ("settings.md", "targets.directory.", directory_target.Options),
    "environment": ("environments.md", "", Declaration),
    "artifact": ("environments.md", "artifact.", ArtifactSpec),
    "approval": ("environments.md", "approval.", ApprovalSpec),
    "promote": ("environments.md", "promote.", PromoteSpec),
    "target": ("environments.md", "target.", DirectoryTarget),
    "activate": ("environments.md", "activate.", ActivateSpec),
    "secret references": ("environments.md", "secrets.<name>.", SecretSpec),
    "health": ("environments.md", "health.", HealthSpec),
    "floors": ("settings.md", "floors[].", FloorSpec),
    "policy": ("policy.md", "", PolicyDocument),
    "policy floors": ("policy.md", "approval[].", FloorSpec),
    "freezes": ("policy.md", "freeze[].", FreezeSpec),
    "revocations": ("policy.md", "revoked[].", RevokedSpec),
}

CREATE = {"command": command_activator.create, "systemd": systemd.create, "supervisor": supervisor.create}
SPECS = {
    "command": ActivateSpec.model_validate({"command": ("/opt/tools/deploy", "--service", "shop-web")}),
    "systemd": ActivateSpec.model_validate({"systemd": "shop-web.service"}),
    "supervisor": ActivateSpec.model_validate({"supervisor": "shop-prod"}),
}
"""What the example in activation.md says that it allows."""

IN_WORDS = {
    ("settings.md", "state"): "`~/.local/state/reconciler`",
    ("settings.md", "new_environments"): "`{required: 1}`",
    ("environments.md", "approval"): "`{required: 1}`",
    ("environments.md", "artifact.source"): "the only one",
}
"""Defaults that depend on where the program runs, or that are written as YAML."""


def rows(page: str) -> dict[str, dict[str, str]]:
    """Of every table in a page: meaning by key and default; adapters may give one key different defaults."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for key, default, meaning in _ROW.findall((DOCS / page).read_text()):
        found[key][default] = meaning
    return found


def default(info: Any) -> str:
    """As the tables write it."""
    if info.is_required():
        return "required"
    value = info.default
    if value is PydanticUndefined or value is None:
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`{list(value)}`" if value else "`[]`"
    return f"`{value}`"


@pytest.mark.parametrize("reason", Reason)
def test_each_reason_has_its_section(reason: Reason) -> None:
    assert f"\n## {reason}\n" in (DOCS / "reasons.md").read_text()


def test_no_section_is_about_a_reason_that_is_gone() -> None:
    sections = {line[3:] for line in (DOCS / "reasons.md").read_text().splitlines() if line.startswith("## ")}
    assert sections == set(Reason)


@pytest.mark.parametrize(("page", "section", "model"), SECTIONS.values(), ids=SECTIONS.keys())
def test_each_key_is_in_the_table_with_its_default_and_a_meaning(
    page: str, section: str, model: type[BaseModel]
) -> None:
    found = rows(page)
    for name, info in model.model_fields.items():
        key = section + (info.alias or name)
        assert key in found, f"{key} is not in docs/{page}"
        wanted = IN_WORDS.get((page, key), default(info))
        assert wanted in found[key], key
        assert found[key][wanted].strip(), f"{key} has no meaning in docs/{page}"


@pytest.mark.parametrize("page", ["settings.md", "environments.md", "policy.md"])
def test_no_row_is_about_a_key_that_is_gone(page: str) -> None:
    known: dict[str, set[str]] = defaultdict(set)
    for where, section, model in SECTIONS.values():
        for name, info in model.model_fields.items() if where == page else ():
            key = section + (info.alias or name)
            known[key].add(IN_WORDS.get((page, key), default(info)))
    found = rows(page)
    assert set(found) - set(known) <= {"forge.type", "sources.<name>.type", "sources.<name>.provenance"}
    assert {key: set(found[key]) for key in found if key in known} == {key: known[key] for key in found if key in known}


@pytest.mark.parametrize("number", [-2, -1], ids=["with a gate", "without a gate"])
def test_the_examples_of_environments_are_valid(number: int) -> None:
    text = (DOCS / "environments.md").read_text()
    examples = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert read("example.yaml", examples[number].encode()).problems == ()


def test_the_example_of_a_policy_is_valid() -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", (DOCS / "policy.md").read_text(), re.DOTALL)
    assert read_policy("policy.yaml", example.encode()).problems == ()


def test_the_example_of_settings_has_only_keys_that_exist() -> None:
    text = (DOCS / "settings.md").read_text()
    (example,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert Settings.model_validate(yaml.safe_load(example)).sources["ci"].type == "http"


def test_the_examples_of_activation_are_valid(tmp_path: Path) -> None:
    examples = re.findall(r"^```yaml\n(.*?)^```", (DOCS / "activation.md").read_text(), re.DOTALL | re.MULTILINE)
    assert len(examples) == 6
    for example in examples:
        if "activators:" in example:
            settings = Settings.model_validate(yaml.safe_load(example))
            for name, create in CREATE.items():
                create(settings.activators[name], parts(tmp_path)).allow(PROD, SPECS[name])
            assert settings.secrets.allow[0].covers(PROD)
            continue
        text = example.replace("…", "YWdl")
        assert read("example.yaml", (GOOD + ("" if "activate:" in text else RUN) + text).encode()).problems == ()
