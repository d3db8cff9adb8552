"""What both READMEs show runs as it stands."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "README.zh.md")


def blocks(page, language):
    """The code blocks of a language, without what stands behind `#`."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)
    return [re.sub(r" *#.*", "", block) for block in found]


@pytest.mark.parametrize("language", ["bash", "yaml", "python"])
def test_both_languages_show_the_same_code(language):
    assert blocks(PAGES[0], language) == blocks(PAGES[1], language) != []


def test_the_config_trains_and_the_bundle_scores(tmp_path):
    (config,), (code,) = blocks(PAGES[0], "yaml"), blocks(PAGES[0], "python")
    experiment = yaml.safe_load(config)
    for part in ("train", "valid", "test"):
        experiment["data"][part]["rows"] = 30_000
    (tmp_path / "my_shop.yaml").write_text(yaml.safe_dump(experiment))
    train = "from easyrec.cli import main; main(['train', '-c', 'my_shop.yaml'])"
    for lines in (train, code):
        done = subprocess.run(
            [sys.executable, "-c", lines],
            cwd=tmp_path,
            env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    scores = [float(number) for number in re.findall(r"\d\.\d+", done.stdout)]
    assert len(scores) == 2
    assert all(0 < score < 1 for score in scores)
