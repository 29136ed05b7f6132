"""The real program with its listener: a webhook saves the wait for the poll, and the poll needs no webhook."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reconciler.web.deliveries import full_name
from tests.adapters.weblistener import HOOK, SECRET, Answer, Client, about, push, sign, signed
from tests.site import Site, eventually


class Hooked:
    """A site with a listener, on a remote that is looked at once an hour unless it is said otherwise."""

    def __init__(self, site: Site, url: str, poll_seconds: float) -> None:
        self.site = site
        self._name = full_name(url)
        self.secret = site.folder / "hook-secret"
        self.secret.write_text(f"{SECRET}\n")
        site.configure(
            repository={"url": url, "poll_seconds": poll_seconds},
            web={"listen": "127.0.0.1:0", "webhook_secret_file": self.secret.name},
        )

    @property
    def log(self) -> str:
        return (self.site.folder / "daemon.log").read_text()

    @contextmanager
    def daemon(self) -> Iterator[None]:
        with self.site.daemon():
            eventually(lambda: "listening=" in self.log)
            yield

    def ask(self, method: str, path: str, *lines: str, body: bytes = b"") -> Answer:
        found = re.findall(r"listening=http://127\.0\.0\.1:(\d+)", self.log)
        client = Client(int(found[-1]))
        with client.socket:
            client.head(*lines, f"Content-Length: {len(body)}", path=path, method=method)
            client.send(body)
            return client.answer(method)

    def deliver(self, branch: str = "main", secret: str = SECRET) -> Answer:
        """What GitHub would send after a push."""
        payload = push(branch, after=self.site.git.tip, repository={"id": 7, "full_name": self._name})
        body = json.dumps(payload).encode()
        return self.ask("POST", HOOK, *signed(body, secret), *about("push"), body=body)

    def is_live(self, run: int) -> bool:
        return self.site.current("prod") == run


@contextmanager
def hooked(folder: Path, poll_seconds: float) -> Iterator[Hooked]:
    site = Site(folder)
    for run in (1, 2):
        site.publish(run)
    site.declare("prod", 1)
    with site.git.serve() as url:
        yield Hooked(site, url, poll_seconds)


def test_a_signed_push_makes_a_merge_live_long_before_the_poll(tmp_path: Path) -> None:
    with hooked(tmp_path, poll_seconds=3600) as hook, hook.daemon():
        eventually(lambda: hook.is_live(1))
        hook.site.declare("prod", 2)
        for answer in (hook.deliver("next"), hook.deliver(secret="another secret of somebody")):
            assert answer.status in (202, 401)
        assert hook.deliver().said == "woken"
        eventually(lambda: hook.is_live(2), 20)
        assert hook.deliver().said == "seen before"


def test_when_every_webhook_is_lost_or_refused_the_poll_does_it(tmp_path: Path) -> None:
    with hooked(tmp_path, poll_seconds=0.3) as hook, hook.daemon():
        eventually(lambda: hook.is_live(1))
        hook.site.declare("prod", 2)
        assert hook.deliver(secret="another secret of somebody").status == 401
        eventually(lambda: hook.is_live(2), 20)


def test_the_probes_tell_when_the_repository_was_looked_at(tmp_path: Path) -> None:
    with hooked(tmp_path, poll_seconds=0.3) as hook:
        hook.site.git.origin.rename(tmp_path / "away")
        with hook.daemon():
            assert hook.ask("GET", "/livez").status == 200
            eventually(lambda: "can't be looked at" in hook.log)
            assert hook.ask("GET", "/readyz").status == 503
            (tmp_path / "away").rename(hook.site.git.origin)
            eventually(lambda: hook.ask("GET", "/readyz").status == 200)


def test_a_secret_is_rotated_while_it_runs_and_stands_nowhere(tmp_path: Path) -> None:
    with hooked(tmp_path, poll_seconds=3600) as hook:
        hook.site.configure(log_level="debug")
        with hook.daemon():
            eventually(lambda: hook.is_live(1))
            hook.secret.write_text("the next secret of all\n")
            assert hook.deliver().status == 401
            hook.secret.write_text("too short\n")
            assert hook.deliver().status == 503
            hook.secret.write_text("the next secret of all\n")
            assert hook.deliver(secret="the next secret of all").said == "woken"
        log = hook.log
    assert "webhook" in log
    assert "a secret of fewer than 16 characters" in log
    for canary in (SECRET, "too short", "the next secret", sign(b""), "refs/heads"):
        assert canary not in log


def test_a_port_in_use_and_a_weak_secret_are_mistakes_in_the_settings(tmp_path: Path) -> None:
    site = Site(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        site.configure(web={"listen": listen})
        refused = site.cli("run")
    assert refused.returncode == 2
    assert f"web.listen: {listen} can't be had: Address already in use" in refused.stderr
    (tmp_path / "weak").write_text("hunter2\n")
    site.configure(web={"listen": "127.0.0.1:0", "webhook_secret_file": "weak"})
    refused = site.cli("run")
    assert refused.returncode == 2
    assert "a secret of fewer than 16 characters" in refused.stderr
    assert "hunter2" not in refused.stderr


@pytest.mark.parametrize("listen", ["8080", "http://127.0.0.1:8080", "127.0.0.1", "[::1]", "a b:1", "user@host:1"])
def test_an_address_of_another_form_is_told_with_its_place(listen: str, tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.configure(web={"listen": listen})
    refused = site.cli("run")
    assert refused.returncode == 2
    assert "web.listen: found text of" in refused.stderr
    assert "127.0.0.1:8080 or [::1]:8080" in refused.stderr
