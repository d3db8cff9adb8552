"""Every feature config that the pages show loads, and every key has its place on its type's page."""

import re
import shutil
from pathlib import Path

import pytest
import yaml

from feature_generator import FeatureGenerator
from feature_generator.config import member, members

REFERENCE = Path(__file__).parents[1] / "docs" / "reference"
TOKENIZER = Path(__file__).parent / "golden" / "assets" / "tiny_tokenizer.json"
PAGES = [REFERENCE / "feature_generator.md", *sorted((REFERENCE / "features").glob("*.md"))]
BLOCKS = [
    pytest.param(text, id=f"{page.stem}-{i}")
    for page in PAGES
    for i, text in enumerate(re.findall(r"^```yaml\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S))
]


@pytest.mark.parametrize("text", BLOCKS)
def test_a_shown_config_loads(text, tmp_path):
    (tmp_path / "shown.yaml").write_text(text, encoding="utf-8")
    shutil.copy(TOKENIZER, tmp_path / "tokenizer.json")
    assert FeatureGenerator.load(tmp_path / "shown.yaml").outputs
    assert yaml.safe_load(text)["features"]


@pytest.mark.parametrize("name", members("feature_generator.features"))
def test_a_type_has_a_page_that_names_every_key(name):
    page = (REFERENCE / "features" / f"{name}.md").read_text(encoding="utf-8")
    fields = set(member("feature_generator.features", name).Config.model_fields) - {"type"}
    assert [key for key in sorted(fields) if f"`{key}" not in page] == []
