import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("feature_generator", "easyrec", "serving", "rag")
HEAVY = ("torch", "pandas", "sklearn", "optuna", "faiss")


def python(*words, cwd=ROOT):
    return subprocess.run([sys.executable, *words], cwd=cwd, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of this tree without compiled kernels, built beside folders that must not get in."""
    copy = tmp_path_factory.mktemp("tree")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy / name)
    for name in ("tests", "examples", "docs", "benchmarks", "configs", "runs"):
        (copy / name).mkdir()
        (copy / name / "__init__.py").write_text("")
    built = python("setup.py", "-q", "build_py", "bdist_wheel", "--skip-build", "--dist-dir", "out", cwd=copy)
    assert built.returncode == 0, built.stderr
    (path,) = (copy / "out").glob("*.whl")
    return zipfile.ZipFile(path)


def test_the_wheel_holds_exactly_the_four_packages(wheel):
    top = {name.partition("/")[0] for name in wheel.namelist()}
    assert {name for name in top if not name.endswith(".dist-info")} == set(PACKAGES)


def test_kernels_of_a_package_that_has_none_are_refused(tmp_path):
    done = python("setup.py", "-q", "build_ext", "--only", "easyrec.x", "--build-lib", str(tmp_path))
    assert done.returncode == 1
    assert "takes a package with kernels, feature_generator or easyrec, not 'easyrec.x'" in done.stderr


def test_the_wheel_is_called_easyrec_torch_and_brings_the_easyrec_command(wheel):
    files = {name.rpartition("/")[2]: name for name in wheel.namelist() if ".dist-info/" in name}
    assert "Name: easyrec-torch\n" in wheel.read(files["METADATA"]).decode()
    assert "easyrec = easyrec.cli:main" in wheel.read(files["entry_points.txt"]).decode()


def test_every_source_of_a_package_is_in_the_wheel(wheel):
    inside = set(wheel.namelist())
    wanted = {".py", ".css", ".typed"}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*"):
            if path.suffix in wanted or path.name == "py.typed":
                assert path.relative_to(ROOT).as_posix() in inside


@pytest.mark.parametrize("package", PACKAGES)
def test_importing_a_package_loads_nothing_heavy_and_prints_nothing(package):
    code = f"import {package}, sys; assert not [n for n in {HEAVY!r} if n in sys.modules]"
    done = python("-W", "error", "-c", code)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("words", [["--help"], ["-h"], []])
def test_help_comes_without_the_library(words):
    code = (
        "import sys\nfrom easyrec.cli import main\n"
        f"main({words!r})\n"
        "assert not [n for n in ('torch', 'pandas', 'numpy', 'pyarrow', 'pydantic') if n in sys.modules]"
    )
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
    assert "train" in done.stdout


def test_imports_run_down_the_floors():
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_constraints_pin_what_the_project_asks_for():
    import tomllib
    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *(r for extra in project["optional-dependencies"].values() for r in extra)]
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {
        name.lower().replace("_", "-"): version for name, _, version in (x.partition("==") for x in lines if "==" in x)
    }
    for requirement in map(Requirement, asked):
        version = pinned[requirement.name.lower()]
        assert requirement.specifier.contains(version), f"{requirement} against {version}"
    assert pinned["torch"] == "2.13.0"


def test_what_is_installed_beside_the_build_is_what_the_project_asks_for():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    done = python(".ci/requirements", "redis,serving")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [*project["dependencies"], *extras["redis"], *extras["serving"]]
    assert python(".ci/requirements", "rediss").returncode == 1


def test_no_file_names_a_package_index():
    names = (
        "pypi" + ".org",
        "pythonhosted" + ".org",
        "download.pytorch" + ".org",
        "--index" + "-url",
        "--extra-index" + "-url",
    )
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, done.stdout.split("\0")):
        path = ROOT / name
        text = path.read_bytes().decode("utf-8", "replace") if path.is_file() else ""
        assert not [bad for bad in names if bad in text], name
