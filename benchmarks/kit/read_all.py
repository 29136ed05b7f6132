"""The plain way to read all declarations, in seconds: `python -m benchmarks.kit.read_all URL CLONE COUNT`.

Clones when there is no clone yet; then one `ls-tree`, one `cat-file --batch`, PyYAML's C loader, pydantic.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml
from pydantic import BaseModel

from benchmarks.kit.sides import seconds


class Artifact(BaseModel):
    """What is to run."""

    name: str
    run_id: int
    sha256: str


class Target(BaseModel):
    """Where."""

    type: str
    path: Path
    keep: int


class Environment(BaseModel):
    """A file."""

    version: int
    artifact: Artifact
    target: Target
    suspend: bool = False


def read(url: str, clone: Path) -> list[Environment]:
    """Every environment at the tip."""
    if not clone.exists():
        subprocess.run(["git", "clone", "-q", "--bare", url, str(clone)], check=True)
    git = ["git", f"--git-dir={clone}"]
    listed = subprocess.run([*git, "ls-tree", "-r", "-z", "main", "environments/"], check=True, capture_output=True)
    ids = [line.split()[2] for line in listed.stdout.split(b"\0") if line]
    batch = subprocess.run([*git, "cat-file", "--batch"], input=b"\n".join(ids), check=True, capture_output=True)
    return [Environment.model_validate(yaml.load(text, yaml.CSafeLoader)) for text in _blobs(batch.stdout)]


def _blobs(output: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(output):
        end = output.index(b"\n", at)
        size = int(output[at:end].split()[2])
        yield output[end + 1 : end + 1 + size]
        at = end + 1 + size + 1


def main() -> None:
    """Print the seconds."""
    found: list[Environment] = []
    print(seconds(lambda: found.extend(read(sys.argv[1], Path(sys.argv[2])))))
    if len(found) != int(sys.argv[3]):
        sys.exit(f"{len(found)} environments were found, wanted {sys.argv[3]}")


if __name__ == "__main__":
    main()
