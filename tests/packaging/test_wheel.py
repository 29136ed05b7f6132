"""The wheel and the sdist: built by the real backend, and the wheel doing its work in an environment of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.site import Site

ROOT = Path(__file__).parents[2]


def built(kind: str, source: Path, place: Path) -> Path:
    """What the backend makes of a source tree."""
    argv = (sys.executable, "-P", "-m", "hatchling", "build", "-t", kind, "-d", str(place))
    done = subprocess.run(argv, cwd=source, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = place.iterdir()
    return found


def files_of(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def program(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program as the wheel brings it; its dependencies, at the lock's versions, are those of this environment."""
    place = tmp_path_factory.mktemp("venv")
    subprocess.run((sys.executable, "-m", "venv", "--without-pip", str(place)), check=True, timeout=60)
    python = place / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index")
    subprocess.run((*pip, str(wheel)), check=True, timeout=120)
    (packages,) = (place / "lib").glob("python3*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return place / "bin" / "reconciler"


def test_the_wheel_holds_the_package_with_all_of_its_files_and_nothing_else(wheel: Path) -> None:
    folder = ROOT / "reconciler"
    ours = [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    wanted = {path.relative_to(ROOT).as_posix() for path in ours}
    found = files_of(wheel)
    assert wanted <= found
    assert {name for name in found - wanted if not name.startswith("reconciler/reasons/")} == set()
    assert "reconciler/py.typed" in found


def test_the_wheel_that_is_built_from_the_sdist_is_the_same(wheel: Path, tmp_path: Path) -> None:
    with tarfile.open(built("sdist", ROOT, tmp_path / "sdist")) as archive:
        if hasattr(tarfile, "data_filter"):  # before 3.11.4 there is none, and what we built ourselves needs none
            archive.extraction_filter = tarfile.data_filter
        archive.extractall(tmp_path)
    (tree,) = tmp_path.glob("reconciler-*")
    assert files_of(built("wheel", tree, tmp_path / "again")) == files_of(wheel)


def run(program: Path, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run((program, *arguments), cwd=folder, capture_output=True, text=True, timeout=60, env=own)


def test_the_installed_program_is_the_wheel_s_and_knows_its_version(program: Path, wheel: Path, tmp_path: Path) -> None:
    python = program.with_name("python")
    done = run(python, "-c", "import reconciler; print(reconciler.__file__, reconciler.__version__)", folder=tmp_path)
    file, version = done.stdout.split()
    assert file.startswith(str(program.parent.parent)), file
    assert f"-{version}-" in wheel.name
    assert version in run(program, "version", folder=tmp_path).stdout
    assert "reconcile" in run(program, "--help", folder=tmp_path).stdout
    assert run(program, "schema", folder=tmp_path).stdout == (ROOT / "environments/environment.schema.json").read_text()


def test_the_installed_program_brings_an_environment_live(program: Path, tmp_path: Path) -> None:
    site = Site(tmp_path / "site")
    site.publish(1)
    site.declare("prod", 1)
    done = run(program, "-c", str(site.settings_file), "reconcile", folder=tmp_path)
    assert (done.returncode, site.current("prod")) == (0, 1), done.stderr
