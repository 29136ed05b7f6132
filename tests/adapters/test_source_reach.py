"""Where redirects may lead, as a judge of addresses; and that no secret is in an address that is shown."""

from __future__ import annotations

import pytest

from reconciler.errors import Reason, Transient
from reconciler.net import Reach, origin, shown
from reconciler.sources.layout import unavailable

HOME = "https://ci.example/runs"
START = f"{HOME}/101/shop.zip"


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("other.zip", f"{HOME}/101/other.zip"),
        ("/files/shop.zip?sig=s", "https://ci.example/files/shop.zip?sig=s"),
        ("//ci.example/x", "https://ci.example/x"),
        ("https:///x", "https://ci.example/x"),
        ("https://CI.example:443/x", "https://CI.example:443/x"),
        ("https://ci.example./x", "https://ci.example./x"),
        ("https://blobs.example/x", "https://blobs.example/x"),
        ("https://blobs.example:8443/x", "https://blobs.example:8443/x"),
    ],
)
def test_a_redirect_is_followed_to(location: str, target: str) -> None:
    reach = Reach(HOME, ["blobs.example", "blobs.example:8443"], unavailable)
    assert reach.follow(START, location) == target


@pytest.mark.parametrize(
    "location",
    [
        None,
        "",
        "https://evil.example/x",
        "https://ci.example.evil.example/x",
        "https://ci.example:8443/x",
        "https://ci.example@evil.example/x",
        "https://user:word@ci.example/x",
        "https://ci.example\\@evil.example/x",
        "https://evil.example\\.ci.example/x",
        "https://169.254.169.254/latest/meta-data/",
        "https://127.0.0.1/x",
        "https://127.1/x",
        "https://2130706433/x",
        "https://0x7f000001/x",
        "https://10.0.0.7/x",
        "https://[::1]/x",
        "https://[::ffff:169.254.169.254]/x",
        "https://[fe80::1%25eth0]/x",
        "https://localhost/x",
        "https://0/x",
        "http://ci.example/x",
        "ftp://ci.example/x",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "https://[/x",
        "https://ci.example:99999/x",
        "https://ci.example:0x50/x",
        "https://ci.example/\tx",
        "https://ci.example/a b",
        "/a\\b",
        "https://сi.example/x",
        "https://ｃｉ.example/x",
    ],
)
def test_a_redirect_is_not_followed_to(location: str | None) -> None:
    with pytest.raises(Transient) as caught:
        Reach(HOME, ["blobs.example"], unavailable).follow(START, location)
    assert caught.value.reason is Reason.SOURCE_UNAVAILABLE
    assert "word" not in str(caught.value)


def test_an_operator_who_names_a_private_address_is_believed() -> None:
    reach = Reach("http://10.0.0.5:8080/runs", ["10.0.0.6:9000"], unavailable)
    assert reach.follow("http://10.0.0.5:8080/runs/1/x", "/y") == "http://10.0.0.5:8080/y"
    assert reach.follow("http://10.0.0.5:8080/runs/1/x", "http://10.0.0.6:9000/y") == "http://10.0.0.6:9000/y"
    with pytest.raises(Transient) as caught:
        reach.follow("http://10.0.0.5:8080/runs/1/x", "http://10.0.0.6/y")
    assert "add '10.0.0.6' to" in caught.value.hint


def test_http_may_be_left_for_https_on_the_same_host_but_not_the_other_way() -> None:
    reach = Reach("http://ci.example/runs", [], unavailable)
    assert reach.follow("http://ci.example/runs/1/x", "https://ci.example/y") == "https://ci.example/y"
    with pytest.raises(Transient, match="from https to http"):
        reach.follow("https://ci.example/y", "http://ci.example/runs/1/x")


@pytest.mark.parametrize(
    "url", ["ci.example/runs", "ftp://ci.example", "https://", "https://u:word@ci.example/", "https://[::1/"]
)
def test_an_address_that_is_none_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is looked at below
        Reach(url, [], unavailable)
    assert "word" not in str(caught.value)


@pytest.mark.parametrize(
    "entry", ["https://blobs.example", "blobs.example/x", "", "u@blobs.example", "blobs.example:99999"]
)
def test_an_allowed_host_is_a_host(entry: str) -> None:
    with pytest.raises(ValueError, match=r"host|address"):
        Reach(HOME, [entry], unavailable)


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("https://user:s3cret@ci.example/a/b?sig=s3cret#s3cret", "https://ci.example/a/b"),
        ("https://ci.example:8443/\x1b[2J", "https://ci.example:8443/%1B[2J"),
        ("https://[bad/s3cret", "an address that can't be read"),
        ("https://ci.example/" + "a" * 400, "https://ci.example/" + "a" * 278 + "..."),
    ],
)
def test_an_address_is_shown_without_what_may_be_secret(url: str, text: str) -> None:
    assert shown(url) == text


def test_origins_differ_by_scheme_host_and_port() -> None:
    assert origin("https://ci.example/a") == origin("https://CI.EXAMPLE:443/b")
    assert origin("https://ci.example") != origin("http://ci.example:443")
    assert origin("https://ci.example") != origin("https://ci.example:444")


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("http://127.0.0.1:1", True),
        ("http://[::1]/", True),
        ("http://localhost", True),
        ("http://127.0.0.1.example", False),
    ],
)
def test_loopback_is_told_by_its_address(url: str, loopback: bool) -> None:
    assert origin(url).loopback is loopback
