"""A base image without a registry: some of this machine's Debian packages, with their files and dpkg's word of them.

Stands in for the image that the Dockerfile names, where no registry can be reached. What comes of it is a Debian in
which apt works, so that the Dockerfile's own steps run as they are; and it has nothing that they are to install.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

WANTED = ("apt", "debian-archive-keyring", "python3", "python3-venv")
"""Beside what Debian itself calls required."""
_DPKG = Path("/var/lib/dpkg")
_COPIED = ("/etc/apt", "/etc/alternatives", "/etc/nsswitch.conf", "/etc/ssl", f"{_DPKG}/alternatives")
"""What no package lists, and programs look for; the machine's way to its package archive among it."""
_MADE = {"/etc/passwd": "/usr/share/base-passwd/passwd.master", "/etc/group": "/usr/share/base-passwd/group.master"}
_FOLDERS = ("tmp", "proc", "sys", "dev", "run", "root", "var/log", "var/lib/apt/lists/partial")
_CACHES = ("var/cache/apt/archives/partial", f"{_DPKG}/updates"[1:], f"{_DPKG}/triggers"[1:])
_LINKS = {
    **{name: f"usr/{name}" for name in ("bin", "sbin", "lib", "lib64")},
    "usr/local/bin/python": "/usr/bin/python3",
}
_SPEED = ("etc/dpkg/dpkg.cfg.d/docker-apt-speedup", b"force-unsafe-io\n")
"""As in Debian's own images: no fsync for each file of a package."""
_LEFT_OUT = re.compile(r"/usr/share/(doc|man|locale|info)/")
_FORMAT = (
    r"${binary:Package}\t${Package}\t${Essential}\t${Priority}\t${db:Status-Status}\t${Pre-Depends}, ${Depends}"
    r"\t${Provides}\n"
)


class Package(NamedTuple):
    """One that is installed here."""

    installed_as: str
    name: str
    required: bool
    needs: tuple[tuple[str, ...], ...]
    """Alternatives, the first one that is there being meant."""
    provides: tuple[str, ...]


def absent() -> set[str]:
    """What a base image needs and this machine lacks.

    Raises:
        OSError: This machine is no Debian.
    """
    return set(WANTED) - {package.name for package in installed()}


def installed() -> Iterator[Package]:
    """What dpkg has installed here."""
    told = subprocess.run(("dpkg-query", "-W", "-f", _FORMAT), capture_output=True, text=True, check=True)
    for line in told.stdout.splitlines():
        installed_as, name, essential, priority, status, needs, provides = line.split("\t")
        if status == "installed":
            required = essential == "yes" or priority == "required"
            yield Package(installed_as, name, required, tuple(_relations(needs)), tuple(_names(provides)))


def _relations(text: str) -> Iterator[tuple[str, ...]]:
    for relation in text.split(","):
        if names := tuple(name for alternative in relation.split("|") for name in _names(alternative)):
            yield names


def _names(text: str) -> Iterator[str]:
    """Names of packages without versions and architectures."""
    return (found.split("(")[0].strip().split(":")[0] for found in text.split(",") if found.strip())


def chosen(packages: dict[str, Package]) -> list[Package]:
    """Those of the base, with all that they need.

    Raises:
        KeyError: One of them is not installed here.
    """
    providers = {provided: package.name for package in packages.values() for provided in package.provides}
    found: dict[str, Package] = {}
    ahead = [*WANTED, *(package.name for package in packages.values() if package.required)]
    while ahead:
        name = ahead.pop()
        if name not in found:
            found[name] = packages[name]
            ahead += [next(_there(names, packages, providers)) for names in packages[name].needs]
    return [found[name] for name in sorted(found)]


def _there(names: Iterable[str], packages: dict[str, Package], providers: dict[str, str]) -> Iterator[str]:
    for name in names:
        if name in packages:
            yield name
        elif name in providers:
            yield providers[name]


def write_base(stream: IO[bytes]) -> None:
    """The base image's file system as a tar, for `docker import`."""
    packages = chosen({package.name: package for package in installed()})
    with tarfile.open(fileobj=stream, mode="w|") as tar:
        for folder in (*_FOLDERS, *_CACHES):
            _add_folder(tar, folder, 0o1777 if folder == "tmp" else 0o755)
        for name, target in _LINKS.items():
            _add_link(tar, name, target)
        for name, master in _MADE.items():
            tar.add(master, name, recursive=False)
        for path in sorted(_files(packages)):
            tar.add(path, path, recursive=False)
        status = b"\n".join(_status({package.name for package in packages}))
        _add_file(tar, f"{_DPKG}/status", status)
        _add_file(tar, *_SPEED)


def _files(packages: list[Package]) -> set[str]:
    """Each file once, where it really lies: packages name some of them through /bin and /lib, which are links now."""
    told = subprocess.run(
        ("dpkg-query", "-L", *(package.installed_as for package in packages)),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    listed = [line for line in told.stdout.splitlines() if line.startswith("/") and not _LEFT_OUT.match(line)]
    listed += [str(path) for name in _COPIED for path in (Path(name), *Path(name).rglob("*"))]
    listed += [str(path) for package in packages for path in _info(package)]
    real = {os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path)) for path in listed}  # noqa: PTH118, PTH119, PTH120
    ours = {*_MADE, *(f"/{name}" for name in _LINKS), f"{_DPKG}/status"}
    return {path for path in real - ours if Path(path).is_symlink() or Path(path).is_file()}


def _info(package: Package) -> Iterator[Path]:
    yield _DPKG / "info" / "format"
    for name in (package.installed_as, package.name):
        yield from (_DPKG / "info").glob(f"{name}.*")


def _status(names: set[str]) -> Iterator[bytes]:
    for paragraph in (_DPKG / "status").read_bytes().split(b"\n\n"):
        name = re.match(rb"Package: (\S+)", paragraph)
        if name and name[1].decode() in names and b"\nStatus: install ok installed\n" in paragraph:
            yield paragraph.strip() + b"\n"


def _add_folder(tar: tarfile.TarFile, name: str, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = tarfile.DIRTYPE, mode
    tar.addfile(entry)


def _add_link(tar: tarfile.TarFile, name: str, target: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = tarfile.SYMTYPE, target
    tar.addfile(entry)


def _add_file(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    tar.addfile(entry, io.BytesIO(data))
