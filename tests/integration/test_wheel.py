"""The wheel and the sdist are complete: installed in a new environment outside the checkout, every module imports."""

from __future__ import annotations

import os
import site
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from engine._core.isa import profile
from tests.source.files import ROOT, module_name, sources

pytestmark = [
    pytest.mark.slow,
    # What is shipped is the release build; a wheel of an instrumented one proves nothing more and takes minutes.
    pytest.mark.skipif(profile() != "release", reason="wheels are made of the release profile"),
]
ENVIRONMENT = {k: v for k, v in os.environ.items() if k not in ("BOT4_BENCH", "BOT4_PROFILE", "PYTHONPATH")}
# What the checkout translated is not translated again: what goes in and what comes out are the same.
ENVIRONMENT |= {"BOT4_CYTHON_CACHE": str(ROOT / "build" / "cython-cache")}
# What is in the wheel is the question here, not how fast it runs: the optimiser is three quarters of the time.
ENVIRONMENT |= {} if "BOT4_STRESS" in os.environ else {"BOT4_DRAFT": "1"}
# What Cython adds to every kernel alike has no source here: setup.py lets it write one module of it for all.
SHARED = "engine._core._shared"


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An sdist of this checkout, and the wheel made from that sdist alone: what a stranger gets."""
    copy, made = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("dist")
    subprocess.run([ROOT / ".ci" / "copy-tree", copy], check=True)
    done = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", made, copy],
        env=ENVIRONMENT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return made


def _wheel(dist: Path) -> Path:
    (wheel,) = dist.glob("*.whl")
    return wheel


def test_the_sdist_holds_everything_that_builds_tests_and_explains(dist):
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    wanted = {"LICENSE", "README.md", "Makefile", "setup.py", "pyproject.toml", "engine/py.typed", "bench/budgets.toml"}
    for folder in ("engine", "strategies", "bench", "tests"):
        wanted |= {str(path) for path in sources(folder, ".py", ".pyx", ".pxd", ".pyi")}
    wanted |= {str(path) for path in sources("requirements", ".txt", ".in", ".sh")}
    assert wanted <= names, sorted(wanted - names)
    assert not [name for name in names if name.endswith((".so", ".pyc"))]


def test_the_wheel_holds_the_license_contracts_stubs_and_no_bench(dist):
    with zipfile.ZipFile(_wheel(dist)) as archive:
        names = set(archive.namelist())
    wanted = {str(path) for path in sources("engine", ".py", ".pxd", ".pyi") + sources("strategies", ".py")}
    wanted |= {f"engine/{path}" for path in sources("config", ".toml")} | {"engine/py.typed"}
    assert wanted <= names, sorted(wanted - names)
    compiled = {name.split(".")[0] for name in names if name.endswith(".so")}
    assert compiled == {str(path.with_suffix("")) for path in sources("engine", ".pyx")} | {SHARED.replace(".", "/")}
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if name.startswith(("bench/", "tests/")) or name.endswith(".c")]


def test_the_installed_wheel_imports_every_module_outside_the_checkout(dist, tmp_path):
    home = tmp_path / "venv"
    venv.create(home, with_pip=True, symlinks=True)
    python = home / "bin" / "python"
    # The dependencies come from this environment by a path file; the engine itself from the wheel alone.
    library = next((home / "lib").glob("python*/site-packages"))
    (library / "dependencies.pth").write_text(f"{site.getsitepackages()[0]}\n")
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--force-reinstall", _wheel(dist)],
        check=True, cwd=tmp_path, env=ENVIRONMENT,
    )  # fmt: skip
    done = subprocess.run(
        # Isolated: the script's own folder, which has a package of the same name, is not searched.
        [python, "-I", ROOT / "tests" / "support" / "import_all.py"],
        cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    where, *modules = done.stdout.split()
    assert Path(where).is_relative_to(library)
    expected = sources("engine", ".py", ".pyx") + sources("strategies", ".py")
    assert set(modules) == {module_name(path) for path in expected} | {SHARED}
    version = subprocess.run(
        [home / "bin" / "bot4", "--version"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert version.stdout.startswith("bot4")
