"""The page about several workers is complete, and its example runs."""

import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from feature_generator.config import members

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "guide" / "work_queue.md").read_text(encoding="utf-8")


def block(language, text):
    (found,) = (b for b in re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL) if text in b)
    return found


@pytest.mark.parametrize("name", members("easyrec.data.queues"))
def test_every_kind_is_described(name):
    assert re.search(rf"^\*\*`{name}`\*\*", PAGE, re.MULTILINE)


def test_the_example_gives_what_the_page_shows(tmp_path):
    with contextlib.chdir(tmp_path):
        exec(block("python", "row_group_size"), {})
    (tmp_path / "features.yaml").write_text(block("yaml", "features:"))
    script = 'easyrec() { "$PYTHON" -m easyrec "$@"; }\nset -e\n' + block("bash", "wait\n")
    env = {**os.environ, "PYTHON": sys.executable, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "140"}
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    shown = [line.strip() for line in done.stdout.splitlines() if line.strip() not in ("", "encoded")]
    assert shown == [line.strip() for line in block("text", "work/work-0").splitlines() if line.strip()]
    kept = pd.concat([pd.read_parquet(path) for path in sorted((tmp_path / "encoded").glob("*.parquet"))])
    assert kept["click"].tolist() == pd.read_parquet(tmp_path / "rows.parquet")["click"].tolist()
