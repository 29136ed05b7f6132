"""What users meet by name is documented under that name, from where the code says it; and the examples are valid."""

from __future__ import annotations

import re
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import yaml

from reconciler.activators import command as command_activator
from reconciler.activators import supervisor, systemd
from reconciler.core.declare import Declaration, read
from reconciler.core.policyfile import PolicyDocument, read_policy
from reconciler.core.running import ActivateSpec
from reconciler.errors import Reason
from reconciler.settings import Settings
from tests.core.test_declare import GOOD
from tests.core.test_running import RUN
from tests.jobs import PROD, parts
from tools.docsite import keys, pages, sections

DOCS = Path(__file__).parents[2] / "docs"
MODELS = {
    "environments": (Declaration, ""),
    "the policy": (PolicyDocument, ""),
    **{name: (model, prefix) for name, model, prefix in (*sections.sections(), *sections.adapters())},
}

CREATE = {"command": command_activator.create, "systemd": systemd.create, "supervisor": supervisor.create}
SPECS = {
    "command": ActivateSpec.model_validate({"command": ("/opt/tools/deploy", "--service", "shop-web")}),
    "systemd": ActivateSpec.model_validate({"systemd": "shop-web.service"}),
    "supervisor": ActivateSpec.model_validate({"supervisor": "shop-prod"}),
}
"""What the example in activation.md says that it allows."""


@pytest.mark.parametrize("reason", Reason)
def test_each_reason_is_in_the_index(reason: Reason) -> None:
    assert f"[{reason}](reasons/{reason}.md)" in (DOCS / "reasons.md").read_text()


@pytest.mark.parametrize("page", pages.TABLES)
def test_the_tables_in_the_checkout_are_what_the_code_says(page: str) -> None:
    text = (DOCS / page).read_text()
    assert pages.fill(text) == text, "bring them up to date: python -m tools.docsite write"


def test_each_table_stands_in_a_page_of_its_subject() -> None:
    texts = [(DOCS / page).read_text() for page in pages.TABLES]
    asked = {name for text in texts for name in re.findall(r"<!-- table: (\S+) -->", text)} - {"end"}
    assert set(sections.all_tables()) == asked - {sections.REST}


@pytest.mark.parametrize(("model", "prefix"), MODELS.values(), ids=MODELS.keys())
def test_each_key_has_a_meaning(model: type, prefix: str) -> None:
    for row in keys.rows(model, prefix):
        assert row.meaning, f"{row.key} has no description in the code"


@pytest.mark.parametrize("group", sections.PLACES)
def test_each_plug_in_point_is_documented(group: str) -> None:
    text = (DOCS / "settings.md").read_text()
    for point in entry_points(group=f"reconciler.{group}"):
        assert f"<!-- table: {group}.{point.name} -->" in text


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
