"""No secret of ours is anywhere but where it belongs (S7): a whole life on GitHub, looked through afterwards.

The forge asks as an App, the source with a token, webhooks are signed, and artifacts come by signed links: each is a
canary. Searched are the log at its most talkative, everything below the state folder and the target, every command's
answer, what is told at GitHub, and the arguments and environment of every process that the program starts.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reconciler.errors import ReconcilerError
from tests.github.plugin import GitHub, github, referee  # noqa: F401 - fixtures
from tests.github.site import TOKEN, GitHubSite, file_of
from tests.ports import lasting_port
from tests.site import eventually

PROD = file_of("prod")
WEBHOOK, WEBHOOK_SECRET = "WEBHOOK_SECRET_OF_THE_SECRETS", "canary-of-the-webhook-2f9d41c6"
KEY = "APP_KEY_OF_THE_SECRETS"
WRAPPED = """#!/bin/sh
{{ tr '\\0' '\\n' < /proc/$$/cmdline; tr '\\0' '\\n' < /proc/$$/environ; }} > {folder}/{name}-$$-$(date +%N)
exec {real} "$@"
"""


class Watched:
    """A site that keeps every secret that was in use, and what the program started."""

    def __init__(self, folder: Path, site: GitHubSite, monkeypatch: pytest.MonkeyPatch) -> None:
        self.site, self.hub = site, site.hub
        self.children = folder / "children"
        app = self.hub.app()
        monkeypatch.setenv(KEY, app.key)
        monkeypatch.setenv(WEBHOOK, WEBHOOK_SECRET)
        monkeypatch.setenv("PATH", f"{self._wrappers(folder / 'bin')}{os.pathsep}{os.environ['PATH']}")
        self.port = lasting_port()
        forge = {"type": "github", "repository": "acme/deploy", "url": site.github.url}
        site.configure(
            forge={**forge, "app": {"id": app.id, "installation": app.installation, "key_env": KEY}},
            repository={"url": str(site.deploy.git_url), "poll_seconds": 0.2},
            web={"listen": f"127.0.0.1:{self.port}", "webhook_secret_env": WEBHOOK},
            log_level="debug",
        )

    def _wrappers(self, place: Path) -> Path:
        """Programs that write down what they were given, and then are what they are called."""
        place.mkdir()
        self.children.mkdir()
        for name in ("git", "ssh-keygen"):
            script = place / name
            script.write_text(WRAPPED.format(folder=self.children, name=name, real=shutil.which(name)))
            script.chmod(0o755)
        return place

    @property
    def secrets(self) -> dict[str, str]:
        """Every one that was in use, by what it is."""
        words = [call.headers.get("authorization", "").rpartition(" ")[2] for call in self.hub.log]
        links = [found for call in self.hub.storage.calls for found in re.findall(r"sig=([^&%]+)", call.path)]
        key = self.hub.app().key.splitlines()
        return {
            "token": self.site.github.token,
            "webhook": WEBHOOK_SECRET,
            "key": key[len(key) // 2],
            **{f"authorization {number}": word for number, word in enumerate(dict.fromkeys(filter(None, words)))},
            **{f"signature {number}": link for number, link in enumerate(dict.fromkeys(links))},
        }

    def leaks(self, text: str) -> list[str]:
        """Which secrets stand in a text; a beginning is enough, as texts are cut."""
        return [what for what, secret in self.secrets.items() if _telling(secret) in text]


def _telling(secret: str) -> str:
    """As much as gives it away: all JSON Web Tokens begin alike."""
    return secret[:120] if secret.startswith("ey") else secret[:20]


@pytest.fixture
def watched(tmp_path: Path, github: GitHub, monkeypatch: pytest.MonkeyPatch) -> Watched:  # noqa: F811
    site = GitHubSite(tmp_path, github)
    for run in (1, 2):
        site.build(run)
    return Watched(tmp_path, site, monkeypatch)


def everywhere(watched: Watched) -> Iterator[tuple[str, str]]:
    """Every place that somebody else may read, with what stands there."""
    site = watched.site
    for folder in (site.folder / "state", site.live):
        for path in folder.rglob("*"):
            if path.is_file() and not path.is_symlink():
                yield str(path), path.read_bytes().decode("utf-8", "replace")
    yield "daemon.log", (site.folder / "daemon.log").read_text()
    for command in (
        *(("get",), ("get", "-o", "wide"), ("get", "-o", "json"), ("why", "prod"), ("why", "prod", "-o", "json")),
        *(
            ("describe", "prod"),
            ("describe", "prod", "-o", "json"),
            ("history", "prod"),
            ("history", "prod", "-o", "json"),
        ),
        *(("check",), ("check", "-o", "json"), ("audit", "export"), ("events",), ("plan", "--request", "2")),
    ):
        done = site.cli(*command)
        assert "Traceback" not in done.stderr
        yield " ".join(command), done.stdout + done.stderr
    yield from told_at_github(watched)


def told_at_github(watched: Watched) -> Iterator[tuple[str, str]]:
    deploy = watched.site.deploy
    for pull in deploy.pulls:
        for comment in deploy.comments(pull):
            yield f"comment on #{pull.number}", comment.body
        for status in deploy.statuses(pull.head_commit):
            yield f"status of #{pull.number}", f"{status.description} {status.target_url}"
    for one in deploy.deployments:
        yield f"deployment {one.id}", f"{one.payload} {[said.description for said in one.statuses]}"


def test_a_whole_life_leaves_no_secret_anywhere(watched: Watched) -> None:
    site = watched.site
    site.declare("prod", 1)
    with site.daemon():
        eventually(lambda: "listening=" in (site.folder / "daemon.log").read_text())
        hook = site.deploy.webhook(f"http://127.0.0.1:{watched.port}/api/webhook/github", WEBHOOK_SECRET)
        eventually(lambda: site.current("prod") == 1, 60)
        pull = site.pull({PROD: site.declaration("prod", 2)})
        eventually(lambda: len(site.deploy.comments(pull)) == 1, 60)
        site.deploy.review(pull, site.reviewer, "APPROVED")
        site.deploy.merge(pull, site.reviewer, "squash")
        eventually(lambda: site.current("prod") == 2, 60)
        eventually(lambda: [one.state for one in site.deploy.deployments] == ["inactive", "success"], 60)
        assert any(delivery.status in (200, 202) for delivery in hook.deliveries)
        found = {place: watched.leaks(text) for place, text in everywhere(watched)}
    kinds = {what.partition(" ")[0] for what in watched.secrets}
    assert kinds == {"token", "webhook", "key", "authorization", "signature"}
    assert len([what for what in watched.secrets if what.startswith("authorization")]) >= 3, "proof, App, token"
    assert len(found) > 40
    assert {place: leaks for place, leaks in found.items() if leaks} == {}
    assert site.hub.storage.tokens_seen == []


def test_no_process_that_is_started_gets_to_know_a_secret(watched: Watched) -> None:
    site = watched.site
    site.declare("prod", 1)
    with site.daemon():
        eventually(lambda: site.current("prod") == 1, 60)
        site.pull({PROD: site.declaration("prod", 2)})
        eventually(lambda: any(site.deploy.comments(pull) for pull in site.deploy.pulls), 60)
    for command in (("plan", "--request", "2"), ("check",), ("audit", "checkpoint")):
        site.cli(*command)
    started = {path.name: path.read_text() for path in watched.children.iterdir()}
    assert {name.partition("-")[0] for name in started} == {"git", "ssh"}
    assert {name: watched.leaks(text) for name, text in started.items() if watched.leaks(text)} == {}
    named = re.compile(f"{TOKEN}|{KEY}|{WEBHOOK}|RECONCILER_")
    assert [name for name, text in started.items() if named.search(text)] == []


# --- a GitHub that says it back -------------------------------------------------------------------


def _said(text: str) -> bytes:
    return f'{{"message": "no: {text}", "documentation_url": "https://docs"}}'.encode()


def _headers(text: str) -> dict[str, str]:
    return {"X-Accepted-GitHub-Permissions": f"contents={text}", "X-GitHub-SSO": f"required; url=https://x/{text}"}


def refused(status: int) -> Callable[[Watched, str, str], None]:
    def echo(watched: Watched, path: str, secret: str) -> None:
        watched.hub.fail(status, times=50, path=path, headers=_headers(secret), body=_said(secret))

    return echo


def redirected(to: str) -> Callable[[Watched, str, str], None]:
    def echo(watched: Watched, path: str, secret: str) -> None:
        watched.hub.fail(307, times=50, path=path, headers={"Location": to.format(secret)}, body=b"{}")

    return echo


ECHOES = {
    **{str(status): refused(status) for status in (401, 403, 404, 500)},
    "redirect, in the path": redirected("https://elsewhere.example/{0}/x"),
    "redirect, in the query": redirected("https://elsewhere.example/x?token={0}"),
    "redirect, in the host": redirected("https://{0}.example/"),
    "redirect, as user": redirected("https://{0}@elsewhere.example/"),
}
LONG = "s" * 280
"""So that a secret behind it is cut in the middle."""
ECHOES["redirect, cut"] = redirected(f"https://elsewhere.example/{LONG}/{{0}}")


@pytest.mark.parametrize("echo", ECHOES.values(), ids=ECHOES)
@pytest.mark.parametrize("path", ["acme/shop/", "acme/deploy/"], ids=["token", "app"])
def test_a_secret_that_github_says_back_is_not_passed_on(
    watched: Watched, echo: Callable[[Watched, str, str], None], path: str
) -> None:
    """By the source's token, and by the App's; in the status, in the store, by commands, and at GitHub itself."""
    site = watched.site
    site.configure(web={})
    site.declare("prod", 1)
    pull = site.pull({PROD: site.declaration("prod", 2)})
    with site.system() as system:
        system.tracker.look()
        runner = system.runner(lambda *_: None)
        environment = next(iter(system.catalog.environments))
        installation = watched.hub.tokens.add(watched.hub.app().account, f"ghs_canary{'0' * 30}")
        secret = site.github.token if path == "acme/shop/" else _in_use(watched, system, installation)
        echo(watched, path, secret)
        texts = [repr(runner.run(environment).status)]
        texts += [_raised(job) for job in (_plans(system), _rollouts(system)) if job]
    commands = ("why", "prod", "-o", "json"), ("check",), ("history", "prod")
    texts += [site.answer(*command).stdout for command in commands]
    watched.hub.faults.clear()
    texts += [text for _, text in told_at_github(watched)] + [_stored(site)]
    assert pull.number == 2
    assert [text for text in texts if secret[:12] in text or watched.leaks(text)] == []
    status = site.store().statuses()[environment]
    assert not status.ready


def _in_use(watched: Watched, system: object, spare: str) -> str:
    """The App's token, as the forge of a system holds it by now."""
    with_forge = getattr(system, "world").forge  # noqa: B009 - the parts of a program are no types here
    with_forge.check()
    words = [call.headers.get("authorization", "").rpartition(" ")[2] for call in watched.hub.log]
    return next((word for word in reversed(words) if word.startswith("ghs_")), spare)


def _plans(system: object) -> Callable[[], object] | None:
    plans = system.plans()  # type: ignore[attr-defined]
    return plans.tell if plans else None


def _rollouts(system: object) -> Callable[[], object] | None:
    rollouts = system.rollouts()  # type: ignore[attr-defined]
    return rollouts.tell if rollouts else None


def _raised(job: Callable[[], object]) -> str:
    try:
        job()
    except ReconcilerError as error:
        return f"{error!r} {error} {error.hint} {error.__cause__!r} {error.__context__!r}"
    return ""


def _stored(site: GitHubSite) -> str:
    files = [path for path in (site.folder / "state").rglob("*") if path.is_file()]
    return "".join(path.read_bytes().decode("utf-8", "replace") for path in files)


# --- settings that are wrong ----------------------------------------------------------------------


def a_token_in_place_of_its_variable(watched: Watched) -> None:
    _source(watched, token_env=watched.site.github.token)


def a_token_file_of_two_lines(watched: Watched) -> None:
    place = watched.site.folder / "token"
    place.write_text(f"{watched.site.github.token}\nanother line\n")
    _source(watched, token_file=str(place), token_env=None)


def a_key_that_is_cut(watched: Watched) -> None:
    os.environ[KEY] = watched.hub.app().key[:800]


def a_key_in_place_of_its_variable(watched: Watched) -> None:
    _forge(watched, key_env=watched.hub.app().key)


def a_key_in_place_of_its_file(watched: Watched) -> None:
    _forge(watched, key_file=["not a path", watched.hub.app().key], key_env=None)


def a_webhooks_secret_in_place_of_its_variable(watched: Watched) -> None:
    watched.site.configure(web={"listen": "127.0.0.1:0", "webhook_secret_env": WEBHOOK_SECRET})


def a_token_under_a_key_that_is_none(watched: Watched) -> None:
    _source(watched, token=watched.site.github.token)


def _source(watched: Watched, **changes: object) -> None:
    sources = watched.site.settings["sources"]
    assert isinstance(sources, dict)
    sources["ci"] = {key: value for key, value in {**sources["ci"], **changes}.items() if value is not None}
    watched.site.configure()


def _forge(watched: Watched, **changes: object) -> None:
    forge = watched.site.settings["forge"]
    assert isinstance(forge, dict)
    forge["app"] = {key: value for key, value in {**forge["app"], **changes}.items() if value is not None}
    watched.site.configure()


WRONG = (
    a_token_in_place_of_its_variable,
    a_token_file_of_two_lines,
    a_key_that_is_cut,
    a_key_in_place_of_its_variable,
    a_key_in_place_of_its_file,
    a_webhooks_secret_in_place_of_its_variable,
    a_token_under_a_key_that_is_none,
)


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.__name__.replace("_", " "))
def test_settings_that_are_wrong_are_told_without_what_they_hold(
    wrong: Callable[[Watched], None], watched: Watched
) -> None:
    site = watched.site
    site.configure(web={})
    wrong(watched)
    site.declare("prod", 1)
    told = [site.answer(*command) for command in (("check",), ("check", "-o", "json"), ("reconcile",), ("get",))]
    assert told[0].returncode == 1, told[0].stdout
    texts = [done.stdout + done.stderr for done in told]
    assert [text for text in texts if watched.leaks(text) or site.github.token[:12] in text] == []
    assert [text for text in texts if "Traceback" in text] == []
