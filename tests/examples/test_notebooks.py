import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))


def code(path):
    """The code cells, one after another."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


@pytest.mark.parametrize(
    "path", [pytest.param(p, id=p.name, marks=[pytest.mark.slow] * (p.name != "shop.ipynb")) for p in NOTEBOOKS]
)
def test_every_cell_of_a_notebook_runs(path, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", code(path)],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "best possible" in done.stdout


def test_there_is_a_notebook_without_paths_of_a_machine():
    assert NOTEBOOKS
    for path in NOTEBOOKS:
        text = path.read_text(encoding="utf-8")
        assert "/tmp/" not in text
        assert "/home/" not in text
        assert str(ROOT.parent) + "/" not in text
