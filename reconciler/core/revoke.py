"""One more revocation in a policy file, with every other character of it kept."""

from __future__ import annotations

import json

from reconciler.core.policyfile import TEXT_PATHS, PolicyDocument, RevokedSpec, read_policy
from reconciler.core.yamltree import Malformed, Problem, Tree, decode, parse

_AT = "revoked"


def with_revocation(file: str, data: bytes | None, entry: RevokedSpec) -> bytes:
    """The same file with one more revocation behind the others; the same bytes when it is in there already.

    Args:
        file: Its name, for messages.
        data: Its bytes; None: there is no policy yet, and a new one is made.
        entry: What to revoke. Another reason is no other revocation.

    Raises:
        Malformed: The file as it stands is no valid policy, or is laid out so that a person must add the entry.
    """
    if data is None:
        return f"version: 1\n{_AT}:\n{_block(entry, '  ', chr(10))}".encode()
    reading = read_policy(file, data)
    if reading.document is None:
        raise Malformed(reading.problems)
    if any((known.sha256, known.run_id) == (entry.sha256, entry.run_id) for known in reading.document.revoked):
        return data
    tree, text = parse(file, data, TEXT_PATHS), decode(file, data)
    at, added = _edit(tree, text, len(reading.document.revoked), entry)
    changed = (text[:at] + added + text[at:]).encode()
    _check(file, tree, reading.document, entry, changed)
    return changed


def _edit(tree: Tree, text: str, count: int, entry: RevokedSpec) -> tuple[int, str]:
    """Where something goes in, and what."""
    end = "\r\n" if "\r\n" in text else "\n"
    if (_AT,) not in tree.spans:
        margin = " " * (tree.spans[()].column - 1)
        begin = "" if text.endswith("\n") else end
        return len(text), f"{begin}{margin}{_AT}:{end}{_block(entry, margin + '  ', end)}"
    listed = tree.spans[(_AT,)]
    if text[listed.start] != "-":
        if count == 0:
            return listed.start + 1, _flow(entry)
        return tree.spans[(_AT, count - 1)].end, ", " + _flow(entry)
    last = _behind(tree, text, count - 1)
    after = text.find("\n", last - 1) + 1
    begin = "" if after else end
    return after or len(text), begin + _block(entry, " " * (listed.column - 1), end)


def _behind(tree: Tree, text: str, index: int) -> int:
    """Where an entry of a block list ends. A block mapping is said to end where the next thing begins."""
    entry = tree.spans[(_AT, index)]
    if text[entry.start] == "{":
        return entry.end
    return max(span.end for path, span in tree.spans.items() if path[:2] == (_AT, index) and len(path) > 2)


def _block(entry: RevokedSpec, margin: str, end: str) -> str:
    first, second = _pairs(entry)
    return f"{margin}- {first}{end}{margin}  {second}{end}"


def _flow(entry: RevokedSpec) -> str:
    return "{" + ", ".join(_pairs(entry)) + "}"


def _pairs(entry: RevokedSpec) -> tuple[str, str]:
    what = f"sha256: {entry.sha256}" if entry.sha256 else f"run_id: {entry.run_id}"
    return what, f"reason: {json.dumps(entry.reason, ensure_ascii=False)}"


def _check(file: str, tree: Tree, before: PolicyDocument, entry: RevokedSpec, changed: bytes) -> None:
    """The edit must have done what was meant: YAML has more layouts than anybody thinks of."""
    wanted = before.model_copy(update={"revoked": (*before.revoked, entry)})
    after = read_policy(file, changed)
    if after.document == wanted:
        return
    full = after.problems and (" bytes" in after.problems[0].found or after.problems[0].at == _AT)
    if full:
        raise Malformed(after.problems)
    place = tree.keys.get((_AT,)) or tree.spans[()]
    found, hint = "a layout that can't be added to", f"add this by hand: {_flow(entry)}"
    raise Malformed((Problem(file, place.line, place.column, _AT, found, "a list with one entry a line", hint),))
