"""The pages of models are complete, and what that of composed models shows is true."""

import ast
import re
from pathlib import Path

import pytest

from easyrec.check import build
from easyrec.config import load_experiment
from easyrec.models import Model
from easyrec.models._composition import HeadConfig, PackageConfig
from easyrec.modules.blocks import BLOCKS
from feature_generator import plugins
from feature_generator.config import member, members, plug

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "models" / "backbone.md").read_text(encoding="utf-8")
GUIDE = (ROOT / "docs" / "guide" / "custom_models.md").read_text(encoding="utf-8")
SHARED = {"type", "name", "group", "input"}
MLP = {"hidden", "activation", "dropout", "batch_norm", "layer_norm"}


def fences(language, text):
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.M | re.S)


def row_of(name):
    """The row of a block in the tables of the page."""
    for line in PAGE.splitlines():
        first = line.split("|")[1] if line.startswith("|") else ""
        if f"`{name}`" in re.findall(r"`[a-z_]+`", first):
            return line
    raise AssertionError(f"no table has a row for '{name}'")


@pytest.mark.parametrize("name", [*members("easyrec.models"), *members("easyrec.statistics")])
def test_a_page_says_what_a_reader_asks(name):
    text = (ROOT / "docs" / "models" / f"{name}.md").read_text(encoding="utf-8")
    asked = {
        "formula": rf"\A# `{name}`\n\n```\n",
        "source": r"\b(19|20)\d\d\b|arXiv|EasyRec",
        "when": r"\bTake it\b",
        "config": r"^```yaml\n",
        "parameters": r"^(Parameters: |## Parameters)",
        "results": r"^## Results\n\n\S",
    }
    lacking = [what for what, pattern in asked.items() if not re.search(pattern, text, re.MULTILINE)]
    if name in ("backbone", "popularity"):  # of no paper
        lacking = [what for what in lacking if what != "source"]
    assert lacking == []
    assert text.count("Parameters: ") + text.count("**Parameters") <= 1  # told once, so that nothing contradicts it


@pytest.mark.parametrize("name", [n for n in members(BLOCKS) if n != "package"])
def test_the_page_has_every_block_with_its_keys(name):
    keys = set(member(BLOCKS, name).Config.model_fields) - SHARED
    row = row_of(name)
    if "those of an MLP" in row:
        keys -= MLP
    assert {key for key in keys if f"`{key}`" not in row} == set()


@pytest.mark.parametrize("config", [PackageConfig, HeadConfig])
def test_the_page_has_every_key_of_packages_and_heads(config):
    assert {key for key in config.model_fields if f"| `{key}` |" not in PAGE} == set()


@pytest.mark.parametrize("number", range(len(fences("yaml", PAGE))))
def test_a_shown_model_is_built(number, tmp_path):
    (tmp_path / "shop.yaml").write_text((ROOT / "configs" / "shop" / "shop.yaml").read_text())
    (tmp_path / "shown.yaml").write_text(fences("yaml", PAGE)[number])
    assert build(load_experiment(tmp_path / "shown.yaml")).dense_parameters


@pytest.fixture
def forgotten():
    yield
    plugins.files.clear()
    members.cache_clear()


def test_the_block_and_the_model_that_are_shown_are_plugged_in(tmp_path, forgotten):
    (tmp_path / "power.py").write_text(fences("python", PAGE)[0])
    (tmp_path / "my_model.py").write_text(fences("python", GUIDE)[0])
    for name in ("power", "my_model"):
        plug(tmp_path / f"{name}.py")
    assert {name for _, name in plugins.files} == {"power", "my_model"}


class Bare(ast.NodeTransformer):
    """Code without docstrings, and without the types of functions."""

    def visit_Expr(self, node):
        return None if isinstance(node.value, ast.Constant) else node

    def visit_FunctionDef(self, node):
        node.returns = None
        for argument in node.args.args:
            argument.annotation = None
        return self.generic_visit(node)

    def visit_ImportFrom(self, node):
        return None if node.module in ("torch", "easyrec.batch") else node


def bare(text):
    return ast.unparse(Bare().visit(ast.parse(text)))


def test_the_model_of_the_guide_is_that_of_the_examples():
    example = (ROOT / "examples" / "my_model.py").read_text(encoding="utf-8")
    assert bare(fences("python", GUIDE)[0]) == bare(example)


def test_a_model_has_what_the_guide_says_it_may_ask():
    part = GUIDE.partition("## What a model may ask")[2].partition("\n## ")[0]
    asked = set(re.findall(r"`self\.(\w+)\(", part))
    assert len(asked) >= 9
    assert {name for name in asked if not callable(getattr(Model, name, None))} == set()


def test_the_report_that_the_page_shows_is_in_our_words(tmp_path):
    shown = fences("text", PAGE)[0]
    for words in (
        "no block is called 'feilds'; did you mean 'fields'?",
        "a term is one number per row, (B, 1), but 'deep' is (B, 128)",
    ):
        assert words in shown
    text = (
        fences("yaml", PAGE)[0]
        .replace("input: fields}", "input: feilds}")
        .replace("terms: [linear, fm]", "terms: deep")
    )
    (tmp_path / "shop.yaml").write_text((ROOT / "configs" / "shop" / "shop.yaml").read_text())
    (tmp_path / "shown.yaml").write_text(text)
    with pytest.raises(Exception, match="feilds") as error:
        load_experiment(tmp_path / "shown.yaml")
    for line in shown.splitlines()[2:]:
        if line.strip() and not line.strip().startswith("line"):
            assert line.strip() in str(error.value)
