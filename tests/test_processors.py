import os
import subprocess
import sys
from pathlib import Path

import pytest

from easyrec.processors import num_processors, num_threads

ROOT = Path(__file__).parents[1]
SHOW = "import os; print(os.environ.get('OMP_WAIT_POLICY'))"


def policy(code, **environment):
    kept = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{SHOW}"],
        cwd=ROOT,
        env=kept | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    "code",
    ["import easyrec; easyrec.predict", "from easyrec.cli import main; main(['--help'])"],
    ids=["python", "command-line"],
)
def test_waiting_threads_sleep(code):
    assert policy(code) == "PASSIVE"


def test_the_users_own_policy_stays():
    assert policy("from easyrec.cli import main; main(['--help'])", OMP_WAIT_POLICY="ACTIVE") == "ACTIVE"


def test_an_import_alone_changes_nothing():
    assert policy("import easyrec, feature_generator, serving") == "None"


@pytest.mark.parametrize(
    ("given", "threads"),
    [(None, num_processors()), ("1", 1), ("3", 3), ("4,2", 4), ("0", num_processors()), ("all", num_processors())],
)
def test_threads_are_those_of_the_environment_else_one_per_processor(monkeypatch, given, threads):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if given is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", given)
    assert num_threads() == threads
