"""What GitHub understood and does not do, told apart from not being able to tell."""

from __future__ import annotations

from reconciler.net import Answer

_SHOWN_CHARACTERS = 300


class NotThere(Exception):
    """404 or 410. GitHub says 404, too, where the credential may not even know that something is there.

    Args:
        path: What was asked for.
        gone: Whether GitHub says that it was there once (410).
    """

    def __init__(self, path: str, gone: bool = False) -> None:
        super().__init__(f"{path} {'is gone' if gone else 'is not there'}")
        self.path = path
        self.gone = gone


class Refused(Exception):
    """GitHub understood a change that it was asked for, and said no for good: 422, 409, 403, 401 ….

    Args:
        status: The HTTP status.
        message: What GitHub said, in one line, without secrets.
        hint: What a person can do about it; the missing permission, if that is it.
    """

    def __init__(self, status: int, message: str, hint: str = "") -> None:
        super().__init__(f"GitHub answers {status}: {message}")
        self.status = status
        self.message = message
        self.hint = hint


def told(data: object, secret: str) -> str:
    """What an error's JSON says, for people.

    The shape is that of GitHub's `basic-error` and `validation-error`.

    Args:
        data: The decoded body, whatever it is.
        secret: What must not be shown, should it be in there.
    """
    if not isinstance(data, dict):
        return ""
    errors = data.get("errors")
    details = [_detail(one) for one in errors[:5]] if isinstance(errors, list) else []
    text = ": ".join(filter(None, [_text(data.get("message")), ", ".join(filter(None, details))]))
    return line(text.replace(secret, "***") if secret else text)


def hint_of(answer: Answer) -> str:
    """What to do about a 401 or 403, by the headers that GitHub documents in "Troubleshooting the REST API"."""
    if answer.status == 401:
        return "the credential is expired, revoked or not GitHub's: put a new one where the settings say"
    if "required" in answer.headers.get("X-GitHub-SSO", ""):
        return "authorize the token for the organisation's single sign-on"
    if wanted := line(answer.headers.get("X-Accepted-GitHub-Permissions", "")):
        return f"give the token or the App this permission: {wanted}"
    return "give the token or the App the permission, and access to this repository"


def line(text: str) -> str:
    """Foreign text for a message: one line, printable, bounded."""
    clean = "".join(one if one.isprintable() else " " for one in text[: 4 * _SHOWN_CHARACTERS])
    clean = " ".join(clean.split())
    return clean if len(clean) <= _SHOWN_CHARACTERS else clean[: _SHOWN_CHARACTERS - 3] + "..."


def _detail(error: object) -> str:
    if isinstance(error, str):
        return error
    if not isinstance(error, dict):
        return ""
    where = ".".join(filter(None, (_text(error.get(key)) for key in ("resource", "field"))))
    return " ".join(filter(None, [where, _text(error.get("message")) or _text(error.get("code"))]))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
