"""What the guide shows is what the command does."""

import re
from pathlib import Path

from easyrec.cli import main
from easyrec.convert.pyfg_features import OWN

PAGE = (Path(__file__).parents[2] / "docs" / "guide" / "convert.md").read_text(encoding="utf-8")


def block(language):
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return found


def test_the_shown_config_becomes_the_shown_experiment(tmp_path, monkeypatch, capsys):
    (tmp_path / "shop.config").write_text(block("protobuf"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert main(["convert", "shop.config"]) == 0
    out, err = capsys.readouterr()
    assert out == block("yaml")
    assert err.split() == block("text").split()


def test_every_feature_type_is_listed():
    assert [name for name in OWN if not re.search(rf"`{name}(_feature)?`", PAGE)] == []
