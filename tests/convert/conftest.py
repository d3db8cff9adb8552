from pathlib import Path

import pytest

CONFIGS = Path(__file__).parent / "configs"


@pytest.fixture
def convert_text(tmp_path):
    """Converts the text of a config."""
    from easyrec.convert import convert

    def run(text, kind=None, name="source.config"):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return convert(tmp_path / name, kind)

    return run
