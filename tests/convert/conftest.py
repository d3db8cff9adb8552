from pathlib import Path

import pytest

from feature_generator import FeatureGenerator
from feature_generator.config import members
from feature_generator.errors import ConfigError

CONFIGS = Path(__file__).parent / "configs"


def missing_types(features):
    """Types and normalizers of features that this version does not have."""
    known, found = members("feature_generator.features"), set()
    for feature in [f for entry in features for f in (entry, *entry.get("features", ()))]:
        if feature["type"] not in known:
            found.add(feature["type"])
        if "method=expression" in feature.get("normalizer", ""):
            raw = {"type": "raw", "name": "r", "normalizer": "method=expression,expr=x"}
            try:
                FeatureGenerator.load({"features": [raw]})
            except ConfigError:
                found.add("normalizer expression")
    return sorted(found)


@pytest.fixture(scope="session")
def need_types():
    """Skips where the features are of types that are not there yet."""

    def check(features):
        if missing := missing_types(features):
            pytest.skip(f"not there yet: {', '.join(missing)}")

    return check


@pytest.fixture
def convert_text(tmp_path):
    """Converts the text of a config."""
    from easyrec.convert import convert

    def run(text, kind=None, name="source.config"):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return convert(tmp_path / name, kind)

    return run
