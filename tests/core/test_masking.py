"""What looks like a secret is masked in the log; what does not is left as it is."""

from __future__ import annotations

import pytest

from reconciler.cli.masking import masked

SECRETS = {
    "credentials in an address": ("fetch https://deploy:hunter2@git.example.com/a.git failed", "hunter2"),
    "a user in an address, who may be a token": ("https://hunter2@git.example.com/a.git", "hunter2"),
    "a classic token of GitHub": ("said ghp_0123456789abcdefABCDEF0123456789abcd", "0123456789abcdef"),
    "an installation token": ("ghs_0123456789abcdefABCDEF0123456789abcd, twice", "0123456789abcdef"),
    "a fine-grained token": ("github_pat_11ABCDEFG0123456789_abcdefghij", "11ABCDEFG"),
    "a header": ("Authorization: Bearer abcdef.0123456789", "abcdef.0123456789"),
    "basic authentication": ("authorization: basic ZGVwbG95Omh1bnRlcjI=", "ZGVwbG95"),
    "a JSON web token": ("eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiIxMjM0NSJ9.c2lnbmF0dXJl", "c2lnbmF0dXJl"),
    "a signed address of a storage": ("https://store/x.zip?se=2026&sig=aGVsbG8%3D&sp=r", "aGVsbG8"),
    "a signed address of another": ("https://store/x?X-Amz-Signature=0123abcd&x=1", "0123abcd"),
    "an age key": ("AGE-SECRET-KEY-1QQQQQQQQQQQQQQQQQQQQQQQQQQ", "1QQQ"),
    "a private key": ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3Blbn\n-----END OPENSSH PRIVATE KEY----- end", "b3Blbn"),
    "a private key that is cut": ("-----BEGIN PRIVATE KEY-----\nMIIEvQ\nIBADANBg", "IBADANBg"),
}
ORDINARY = (
    "commit b7ec97b4025b came to the branch without an approval: it is not a merge",
    "https://github.com/acme/deploy/pull/12?tab=files&page=2",
    "the fencing token 42 is above 41; the basic rule stays",
    "sha256 8a0c9a260d3d8a0c9a260d3d8a0c9a260d3d8a0c9a260d3d8a0c9a260d3d8a0c over 1024 bytes",
    "write to ops@example.com or to git@example.com:acme/deploy.git",
)


@pytest.mark.parametrize(("text", "secret"), SECRETS.values(), ids=SECRETS.keys())
def test_what_looks_like_a_secret_is_masked(text: str, secret: str) -> None:
    assert secret in text
    assert secret not in masked(text)
    assert "***" in masked(text)


@pytest.mark.parametrize("text", ORDINARY)
def test_other_text_is_left_as_it_is(text: str) -> None:
    assert masked(text) == text


def test_what_stands_around_a_secret_stays() -> None:
    assert masked("GET https://u:p@host/x?sig=abc&sp=r said no") == "GET https://***@host/x?sig=***&sp=r said no"
