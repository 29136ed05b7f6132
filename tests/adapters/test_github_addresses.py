"""Where GitHub shows things to people: links are made of what was checked, and of nothing else."""

from __future__ import annotations

import pytest

from reconciler.github.addresses import Addresses
from reconciler.github.options import GitHubOptions

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def addresses(branch: str = "main", **options: str) -> Addresses:
    return Addresses(GitHubOptions.model_validate({"repository": "acme/deploy", "token_env": "T", **options}), branch)


def test_pages_of_github_com() -> None:
    home = "https://github.com/acme/deploy"
    found = addresses("release/2 #1")
    assert found.request("#12") == f"{home}/pull/12"
    assert found.commit(COMMIT) == f"{home}/commit/{COMMIT}"
    assert found.run(17243512345) == f"{home}/actions/runs/17243512345"
    assert found.edit("environments/shop/prod.yaml") == f"{home}/edit/release/2%20%231/environments/shop/prod.yaml"
    assert addresses("").edit("environments/prod.yaml") == ""


def test_pages_of_a_server_of_ones_own() -> None:
    assert (
        addresses(url="https://git.example.com/api/v3/").run(1) == "https://git.example.com/acme/deploy/actions/runs/1"
    )


@pytest.mark.parametrize("text", ["", "12", "#0", "#-1", "#1/../..", "javascript:alert(1)", "#1\n", "merge 0123"])
def test_what_is_no_request_or_commit_has_no_page(text: str) -> None:
    assert (addresses().request(text), addresses().commit(text)) == ("", "")
