"""The page about Ray and Spark names every key, and its commands run where the engine is installed."""

import contextlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from easyrec.cli import main
from feature_generator.config import member, members

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "guide" / "engines.md").read_text(encoding="utf-8")


def block(language, text):
    (found,) = (b for b in re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL) if text in b)
    return found


@pytest.mark.parametrize("name", members("easyrec.data.engines"))
def test_every_key_is_described(name):
    keys = set(member("easyrec.data.engines", name).Config.model_fields) - {"type", "address", "slice_rows", "conf"}
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\| (both|ray|spark) \|", PAGE, re.MULTILINE)
    assert {key for key, engine in rows if engine in ("both", name)} == keys


@pytest.mark.parametrize("command", [["fg", "run"], ["predict"]])
def test_every_option_is_described(command, capsys):
    assert main([*command, "--help"]) == 0
    group = capsys.readouterr().out.partition("by the workers of an engine")[2]
    options = set(re.findall(r"--[a-z-]+", group.partition("\n\n")[0])) - {"--output", "--input"}
    assert options
    assert not [option for option in options if f"`{option}`" not in PAGE]


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "package"), [("ray", "ray"), ("spark", "pyspark")])
def test_the_commands_of_the_page_run(tmp_path, engine, package):
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"needs the package {package}: pip install 'easyrec-torch[{engine}]'")
    if engine == "spark" and not os.environ.get("JAVA_HOME") and shutil.which("java") is None:
        pytest.skip("needs Java: apt-get install default-jre-headless")
    with contextlib.chdir(tmp_path):
        exec(block("python", "row_group_size"), {})
    (tmp_path / "clicks.yaml").write_text(block("yaml", "name: clicks"))
    alone = "easyrec fg run -c clicks.yaml --input rows.parquet --output encoded.parquet\n"
    alone += "easyrec predict -c runs/clicks --input rows.parquet --output scores.parquet\n"
    script = 'easyrec() { "$PYTHON" -m easyrec "$@"; }\nset -e\n' + block("bash", "easyrec train -c clicks")
    path = os.pathsep.join([str(ROOT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))])
    env = {**os.environ, "PYTHON": sys.executable, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    script += block("bash", f"--output scores-{engine} ") + alone
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    for name in ("encoded", "scores"):
        parts = sorted((tmp_path / f"{name}-{engine}").glob("*.parquet"))
        found = pa.concat_tables([pq.read_table(part) for part in parts])
        assert found.equals(pq.read_table(tmp_path / f"{name}.parquet"))
