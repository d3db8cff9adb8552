"""The pages about sequences, vectors and consistency in the store: their examples print what they say."""

import re
from pathlib import Path

import pytest
import yaml

from easyrec.cli import main
from easyrec.store.behaviour import Events, Sequence

GUIDE = Path(__file__).parents[1] / "docs" / "guide"


def page(name):
    return (GUIDE / name).read_text(encoding="utf-8")


def blocks(name, kind):
    return re.findall(rf"```{kind}\n(.*?)```", page(name), re.DOTALL)


@pytest.mark.parametrize("name", ["sequences_in_the_store.md", "consistency.md"])
def test_the_example_prints_what_the_page_says(name, tmp_path, monkeypatch, capsys):
    pytest.importorskip("duckdb", reason="needs the extra 'store'")
    (tmp_path / "store.yaml").write_text(blocks(name, "yaml")[0])
    monkeypatch.chdir(tmp_path)
    exec(compile(blocks(name, "python")[0], name, "exec"), {})
    assert capsys.readouterr().out == blocks(name, "text")[0]
    if name == "consistency.md":
        for line in blocks(name, "bash")[0].splitlines()[:2]:
            assert main(line.split()[1:]) == 0
        assert "holds" in (tmp_path / "consistency.html").read_text()
        assert "0 of 3 values differ" in capsys.readouterr().out


def test_every_key_is_on_the_page():
    told = re.findall(r"^\| `(\w+)` \|", page("sequences_in_the_store.md"), re.MULTILINE)
    assert set(told) == {*Events.model_fields, *Sequence.model_fields}


def test_features_over_a_sequence_are_read():
    from feature_generator import FeatureGenerator

    made = FeatureGenerator.load(yaml.safe_load(blocks("sequences_in_the_store.md", "yaml")[1]))
    assert set(made.inputs) == {"click_50__item_id", "click_50__ts"}
