"""The feature pages are true: their configs load, their examples print what they show, every key has its place."""

import contextlib
import io
import re
import shutil
from pathlib import Path

import pytest
import yaml

from feature_generator import FeatureGenerator
from feature_generator.config import member, members

REFERENCE = Path(__file__).parents[1] / "docs" / "reference"
TOKENIZER = Path(__file__).parent / "golden" / "assets" / "tiny_tokenizer.json"
FEATURES = sorted((REFERENCE / "features").glob("*.md"))
TYPES = members("feature_generator.features")


def blocks(page):
    """(language, text) of the fenced blocks of a page, in order."""
    return re.findall(r"^```(\w+)\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)


def shown(language, pages):
    """Every block of a language, with the block that follows it."""
    params = []
    for page in pages:
        found = [*blocks(page), ("", "")]
        for i, (name, text) in enumerate(found[:-1]):
            if name == language:
                params.append(pytest.param(text, found[i + 1], id=f"{page.stem}-{i}"))
    return params


@pytest.mark.parametrize(("text", "_"), shown("yaml", [REFERENCE / "feature_generator.md", *FEATURES]))
def test_a_shown_config_loads(text, _, tmp_path):
    (tmp_path / "shown.yaml").write_text(text, encoding="utf-8")
    shutil.copy(TOKENIZER, tmp_path / "tokenizer.json")
    assert FeatureGenerator.load(tmp_path / "shown.yaml").outputs
    assert yaml.safe_load(text)["features"]


@pytest.mark.parametrize(("text", "following"), shown("python", [REFERENCE / "expressions.md", *FEATURES]))
def test_an_example_prints_what_the_page_shows(text, following, tmp_path, monkeypatch):
    language, printed = following
    assert language == "text", "what an example prints must follow it, as a block of text"
    monkeypatch.chdir(tmp_path)
    shutil.copy(TOKENIZER, tmp_path / "tokenizer.json")
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(text, "example", "exec"), {"__name__": "example"})
    assert out.getvalue() == printed


@pytest.mark.parametrize("name", TYPES)
def test_a_type_has_a_page_that_names_every_key(name):
    page = (REFERENCE / "features" / f"{name}.md").read_text(encoding="utf-8")
    fields = set(member("feature_generator.features", name).Config.model_fields) - {"type"}
    assert [key for key in sorted(fields) if f"`{key}" not in page] == []


@pytest.mark.parametrize("name", TYPES)
def test_a_page_has_a_config_an_example_its_output_and_its_source(name):
    page = REFERENCE / "features" / f"{name}.md"
    assert {"yaml", "python", "text"} <= {language for language, _ in blocks(page)}
    assert re.search(r"^## Edge cases$", page.read_text(encoding="utf-8"), re.M)
    assert re.search(r"^Source: ", page.read_text(encoding="utf-8"), re.M)
