"""YAML in, plain values with positions out: strict where YAML is generous.

One document in UTF-8; mappings, lists and scalars only. Refused while the events come in, before
anything is built: anchors, aliases, tags, merge keys, duplicate keys, depth, size. Plain scalars mean
what they look like: `true`, `false`, `null`, a plain decimal number, or text. Whatever YAML 1.1 would read as
something else again (`012`, `1_2`, `1e9`, `12:34:56`, `yes`, a date) comes out as `Ambiguous`, which
no schema accepts, so that nobody's typing error becomes a number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Set
from dataclasses import dataclass
from typing import NamedTuple

import yaml

MAX_BYTES = 64 * 1024
"""Bytes of one file. Some 50 KB of `[` make the C loader overrun its stack when it composes them."""
MAX_DEPTH = 20
"""Nested mappings and lists; a declaration needs four."""

MAX_PROBLEMS = 50
"""Problems told of one file; a file of nothing but problems must not become a book."""

Path = tuple[str | int, ...]
Value = object

_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]{0,18})")
_FRACTION = re.compile(r"-?(?:0|[1-9][0-9]{0,18})\.[0-9]{1,18}")
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_RESOLVERS = yaml.SafeLoader.yaml_implicit_resolvers


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in one file, told so that it can be mended without a manual."""

    file: str
    line: int
    column: int
    at: str
    """Dotted path of the field, empty for the file as a whole."""
    found: str
    wanted: str
    hint: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}: " + (f"{self.at}: " if self.at else "")
        return f"{place}found {self.found}; wanted {self.wanted}" + (f" ({self.hint})" if self.hint else "")


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """A plain scalar that YAML reads in a way its writer may not have meant."""

    text: str
    kind: str


class Span(NamedTuple):
    """Where a value stands: line and column from 1, and its characters `start:end` in the text."""

    line: int
    column: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Tree:
    """A document's plain values, where each stands, and how each scalar was written."""

    root: Value
    spans: dict[Path, Span]
    keys: dict[Path, Span]


class Malformed(Exception):
    """The file is not a document this reader takes; `problems` says all that could be told."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems


def parse(file: str, data: bytes, text_paths: Set[Path] = frozenset()) -> Tree:
    """Read one document.

    Args:
        file: Its name, for messages.
        data: Its bytes.
        text_paths: Fields whose plain scalars are text whatever their characters. An index is written as 0, and
            stands for every entry of its list.

    Raises:
        Malformed: With every problem that can be told at once.
    """
    return _Builder(file, decode(file, data), text_paths).build()


def decode(file: str, data: bytes) -> str:
    """Bytes to text: UTF-8 without BOM, bounded, without characters that hide or break lines.

    Raises:
        Malformed: Naming the first offending place.
    """
    if len(data) > MAX_BYTES:
        raise Malformed((Problem(file, 1, 1, "", f"{len(data)} bytes", f"at most {MAX_BYTES} bytes"),))
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line, column = data.count(b"\n", 0, error.start) + 1, error.start - data.rfind(b"\n", 0, error.start)
        found = f"byte 0x{data[error.start]:02x}"
        raise Malformed((Problem(file, line, column, "", found, "UTF-8 text"),)) from None
    if bad := _FORBIDDEN.search(text):
        at = bad.start()
        line, column = text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
        found = f"character U+{ord(bad.group()):04X}"
        wanted = "UTF-8 text without control characters or a byte order mark"
        raise Malformed((Problem(file, line, column, "", found, wanted),))
    return text


class _Builder:
    """Walks the parser's events with its own bounds and its own idea of scalars."""

    def __init__(self, file: str, text: str, text_paths: Set[Path]) -> None:
        self._file = file
        self._text = text
        self._text_paths = text_paths
        self._spans: dict[Path, Span] = {}
        self._keys: dict[Path, Span] = {}
        self._problems: list[Problem] = []
        self._events: Iterator[yaml.Event] = yaml.parse(text, Loader=yaml.CSafeLoader)

    def build(self) -> Tree:
        try:
            root = self._document()
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
            found = f"broken YAML: {(error.problem or 'nobody can read it').removeprefix('found ')}"
            hint = "put a value that begins with * in quotes" if "alias" in str(error.context) else ""
            self._problems.append(Problem(self._file, line, column, "", found, "well-formed YAML", hint))
            raise Malformed(tuple(self._problems)) from None
        if self._problems:
            raise Malformed(tuple(self._problems))
        return Tree(root, self._spans, self._keys)

    def _document(self) -> Value:
        root: Value = None
        documents = 0
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self._complain(event, (), "a second document", "one document in a file")
                    break
                root = self._value(next(self._events), ())
        if documents == 0:
            self._problems.append(Problem(self._file, 1, 1, "", "an empty file", "a mapping"))
        return root

    def _value(self, event: yaml.Event, path: Path) -> Value:
        if isinstance(event, yaml.AliasEvent):
            self._complain(event, path, f"the alias *{event.anchor}", "the value itself, written out")
            return None
        if isinstance(event, yaml.NodeEvent) and event.anchor is not None:
            self._complain(event, path, f"the anchor &{event.anchor}", "no anchors")
        tag = getattr(event, "tag", None)
        if tag is not None:
            self._complain(event, path, f"the tag {tag}", "no tags")
        if len(path) > MAX_DEPTH:
            self._complain(event, path[:3], f"nesting deeper than {MAX_DEPTH}", f"at most {MAX_DEPTH} levels")
            raise Malformed(tuple(self._problems))
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(event, path)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(event, path)
        assert isinstance(event, yaml.ScalarEvent)
        self._spans[path] = _span(event, event)
        return self._scalar(event, path)

    def _mapping(self, start: yaml.Event, path: Path) -> dict[str, Value]:
        values: dict[str, Value] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = event.value if isinstance(event, yaml.ScalarEvent) else ""
            if not isinstance(event, yaml.ScalarEvent):
                self._complain(event, path, "a key that is not plain text", "a plain text key")
                self._value(event, (*path, key))
            elif event.anchor is not None or event.tag is not None:
                self._complain(event, path, "an anchor or a tag on a key", "a plain text key")
            elif key == "<<" and not event.style:
                self._complain(event, path, "the merge key <<", "the values themselves, written out")
            elif key in values:
                first = self._keys[(*path, key)].line
                self._complain(event, (*path, key), f"the key a second time (first in line {first})", "each key once")
            self._keys.setdefault((*path, key), _span(event, event))
            values[key] = self._value(next(self._events), (*path, key))
        self._spans[path] = _span(start, event)
        return values

    def _sequence(self, start: yaml.Event, path: Path) -> list[Value]:
        values: list[Value] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            values.append(self._value(event, (*path, len(values))))
        self._spans[path] = _span(start, event)
        return values

    def _scalar(self, event: yaml.ScalarEvent, path: Path) -> Value:
        text: str = event.value
        if event.style or tuple(0 if isinstance(part, int) else part for part in path) in self._text_paths:
            return text
        kind = _kind(text)
        if kind == "str":
            return text
        if kind == "null":
            return None
        if kind == "bool" and text in ("true", "false"):
            return text == "true"
        if kind == "int" and _DECIMAL.fullmatch(text):
            return int(text)
        if kind == "float" and _FRACTION.fullmatch(text):
            return float(text)
        return Ambiguous(text, kind)

    def _complain(self, event: yaml.Event, path: Path, found: str, wanted: str) -> None:
        if len(self._problems) >= MAX_PROBLEMS:
            raise Malformed(tuple(self._problems))
        mark = _mark(event)
        self._problems.append(Problem(self._file, mark.line + 1, mark.column + 1, dotted(path), found, wanted))


def dotted(path: Path) -> str:
    """A path as people write it: `approval.from[0]`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _span(start: yaml.Event, end: yaml.Event) -> Span:
    mark = _mark(start)
    assert end.end_mark is not None
    return Span(mark.line + 1, mark.column + 1, mark.index, end.end_mark.index)


def _mark(event: yaml.Event) -> yaml.error.Mark:
    mark = event.start_mark
    assert mark is not None
    return mark  # type: ignore[return-value]  # the C parser's mark has the same three numbers


def _kind(text: str) -> str:
    """What YAML 1.1 takes a plain scalar for: `str`, `int`, `float`, `bool`, `null`, `timestamp` …"""
    for tag, pattern in [*_RESOLVERS.get(text[:1], ()), *_RESOLVERS.get(None, ())]:
        if pattern.match(text):
            return str(tag).rsplit(":", 1)[-1]
    return "str"
