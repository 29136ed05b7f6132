"""What `reconciler check` tells an operator of GitHub and of the listener, before anything depends on them."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.github.plugin import GitHub, github, referee  # noqa: F401 - fixtures
from tests.github.site import TOKEN, GitHubSite
from tests.site import eventually

APP_KEY = "GITHUB_APP_KEY_OF_THE_TESTS"


@pytest.fixture
def site(tmp_path: Path, github: GitHub) -> GitHubSite:  # noqa: F811
    return GitHubSite(tmp_path, github)


def check(site: GitHubSite) -> dict[str, dict[str, Any]]:
    return {item["name"]: item for item in json.loads(site.answer("check", "-o", "json").stdout)["items"]}


def change(site: GitHubSite, **options: object) -> None:
    forge = site.settings["forge"]
    assert isinstance(forge, dict)
    site.configure(forge={**forge, **options})


def as_app(site: GitHubSite) -> dict[str, str]:
    """The forge asks as an App; gives its rights, to be changed."""
    app = site.hub.app()
    os.environ[APP_KEY] = app.key
    change(site, app={"id": app.id, "installation": app.installation, "key_env": APP_KEY})
    forge = site.settings["forge"]
    assert isinstance(forge, dict)
    del forge["token_env"]
    site.configure()
    return app.rights


def asked(site: GitHubSite) -> list[str]:
    return [f"{call.method} {call.path.partition('?')[0]}" for call in site.hub.log]


def test_a_token_is_shown_to_work_by_reading_and_what_is_not_tried_is_said(site: GitHubSite) -> None:
    found = check(site)
    assert found["forge"]["ok"]
    first, second = found["forge"]["message"].splitlines()
    readable = "contents, pull_requests, deployments"
    assert first == f"github: acme/deploy (id {site.deploy.id}) answers, and the token may read {readable}"
    assert second.startswith("not tried: pull_requests: write (who approved it; comments with plans), statuses: write")
    assert found["sources.ci"]["message"] == (
        f"github-actions: acme/shop (id {site.shop.id}) answers, and the token may read actions, contents"
    )
    assert all(call.method == "GET" for call in site.hub.log)
    assert site.hub.requests == 7


def test_every_right_that_a_token_lacks_is_named_at_once(site: GitHubSite) -> None:
    for path in ("acme/deploy/pulls", "acme/deploy/deployments", "acme/shop/actions"):
        site.hub.fail(403, path=path)
    found = check(site)
    assert not found["forge"]["ok"]
    assert "missing: pull_requests: write" in found["forge"]["message"]
    assert "missing: deployments: write (rollouts as deployments)" in found["forge"]["message"]
    assert "contents" not in found["forge"]["message"]
    assert found["forge"]["hint"] == (
        "give the token or the App on this repository: pull_requests: write, deployments: write"
    )
    assert "missing: actions: read (runs and artifacts)" in found["sources.ci"]["message"]


def test_an_apps_rights_are_told_by_github_also_those_to_write(site: GitHubSite) -> None:
    rights = as_app(site)
    assert check(site)["forge"]["message"].endswith("answers, and the App has every right that is needed")
    assert asked(site)[:2] == [
        f"POST /app/installations/{site.hub.app().installation}/access_tokens",
        "GET /repos/acme/deploy",
    ]
    rights["pull_requests"] = "read"
    del rights["statuses"]
    found = check(site)["forge"]
    assert not found["ok"]
    assert "missing: pull_requests: write" in found["message"]
    assert "missing: statuses: write (the status reconciler/plan)" in found["message"]
    assert "deployments" not in found["message"]
    assert "has to accept it at the installation" in found["hint"]


def test_what_is_turned_off_needs_no_right(site: GitHubSite) -> None:
    rights = as_app(site)
    rights["pull_requests"] = "read"
    del rights["statuses"], rights["deployments"]
    change(site, plans=False, rollouts=False)
    assert check(site)["forge"]["ok"]


def test_a_repository_that_is_not_there_or_not_shown(site: GitHubSite) -> None:
    change(site, repository="acme/elsewhere")
    found = check(site)["forge"]
    assert "GitHub has no repository acme/elsewhere, or does not show it to this credential" in found["message"]


def test_a_repository_of_another_number(site: GitHubSite) -> None:
    change(site, repository_id=7)
    assert f"has the id {site.deploy.id}, not 7: it is another one" in check(site)["forge"]["message"]


def test_a_token_that_does_not_hold_any_more(site: GitHubSite) -> None:
    os.environ[TOKEN] = "ghp_revoked"
    found = check(site)["forge"]
    assert "answers 401: Bad credentials" in found["message"]
    assert "expired, revoked or not GitHub's" in found["hint"]
    os.environ[TOKEN] = ""
    assert f"the environment variable {TOKEN} holds nothing" in check(site)["forge"]["message"]


def test_a_github_that_is_down_is_no_missing_right(site: GitHubSite) -> None:
    site.hub.fail(502, times=99)
    message = check(site)["forge"]["message"]
    assert "answers 502" in message
    assert "missing" not in message


# --- the listener ---------------------------------------------------------------------------------

READ = "127.0.0.1:0 can be had; pages and API are open to everybody on this machine"


def test_the_listener_and_its_secret(site: GitHubSite) -> None:
    assert "web" not in check(site)
    (site.folder / "secret").write_text("a secret of the tests\nand the next one of them\n")
    site.configure(web={"listen": "127.0.0.1:0"})
    assert check(site)["web"]["message"] == f"{READ}; no webhooks are taken, as no secret is named"
    site.configure(web={"listen": "127.0.0.1:0", "webhook_secret_file": "secret"})
    bare = f"everybody on this machine can read {site.folder / 'secret'}: chmod 600"
    assert check(site)["web"]["message"] == f"{READ}; webhooks are proven by 2 secrets; {bare}"
    (site.folder / "secret").chmod(0o600)
    assert check(site)["web"]["message"] == f"{READ}; webhooks are proven by 2 secrets"
    (site.folder / "secret").write_text("hunter2\n")
    found = check(site)["web"]
    assert not found["ok"]
    assert "a secret of fewer than 16 characters" in found["message"]
    assert "hunter2" not in json.dumps(found)


def test_an_address_that_another_program_has_is_told_but_not_our_own_daemons(site: GitHubSite) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        site.configure(web={"listen": listen})
        assert f"{listen} can't be had: Address already in use" in check(site)["web"]["message"]
    with site.daemon():
        eventually(lambda: "listening=" in (site.folder / "daemon.log").read_text())
        assert "is left to the daemon that runs" in check(site)["web"]["message"]
