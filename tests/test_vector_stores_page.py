"""docs/guide/vector_stores.md: configs are read, and tables tell the defaults."""

import re
from pathlib import Path

import pytest
import yaml

from feature_generator.config import member, members
from rag.config import load_rag

PAGE = (Path(__file__).parents[1] / "docs" / "guide" / "vector_stores.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


def test_every_store_has_a_config_that_is_read():
    kinds = [load_rag(yaml.safe_load(block)).knowledge.store.type for block in BLOCKS]
    assert sorted(kinds) == sorted(members("rag.stores"))


@pytest.mark.parametrize("kind", members("rag.stores"))
def test_every_key_is_told_with_its_default(kind):
    fields = member("rag.stores", kind).Config.model_fields
    part = next(one for one in PAGE.split("\n## ") if one.partition("\n")[0].endswith(f"`{kind}`"))
    told = set(re.findall(r"`([a-z0-9_]+)`", part)) | set(re.findall(r"([a-z_]+): ", part))
    assert set(fields) - {"type"} <= told
    for names, defaults in re.findall(r"^\| (`[^|]*`) \| ([^|]*) \|", part, re.MULTILINE):
        for name, default in zip(re.findall(r"`(\w+)`", names), defaults.split(","), strict=True):
            shown = default.strip().strip("`")
            if shown:
                assert yaml.safe_load(shown) == fields[name].default, name
