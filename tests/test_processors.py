import os
import subprocess
import sys
from pathlib import Path

import pytest

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
def test_waiting_threads_sleep_unless_the_user_says_otherwise(code):
    assert policy(code) == "PASSIVE"
    assert policy(code, OMP_WAIT_POLICY="ACTIVE") == "ACTIVE"


def test_an_import_alone_changes_nothing():
    assert policy("import easyrec, feature_generator, serving") == "None"
