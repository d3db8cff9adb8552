"""The page about drift and canaries: its configs run, its tables tell every key and its default."""

import re
import shutil
from pathlib import Path

import pytest
import yaml

from serving.server.config import CanaryConfig, DriftConfig

PAGE = (Path(__file__).parents[3] / "docs" / "guide" / "drift.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.M | re.S)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.splitlines()[0].strip("# "))
def test_a_config_of_the_page_answers(toys, with_app, request_parts, tmp_path, monkeypatch, block):
    monkeypatch.chdir(tmp_path)
    for name in ("current", "stable", "canary"):
        shutil.copytree(toys("deepfm").bundle, f"bundles/{name}")

    async def work(client):
        user, items, context = request_parts
        return await client.post("/predict", json={"user": user, "items": items, "context": context})

    assert with_app(work, **yaml.safe_load(block)).status_code == 200


@pytest.mark.parametrize("config", [DriftConfig, CanaryConfig])
def test_the_tables_tell_every_key_and_its_default(config):
    for name, field in config.model_fields.items():
        assert f"| `{name}` | {field.default:g} |" in PAGE, name
