"""Configs that lack things, or hold things of another kind, are converted or refused with a place; nothing crashes."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from easyrec.convert import convert
from easyrec.convert.message import Message
from easyrec.convert.text_format import parse
from easyrec.errors import ConfigError

CONFIGS = sorted((Path(__file__).parent / "configs").glob("*.config"))
ODD = ["", "0", "-1", "1.5", "'x'", "''", "true", "XYZ", "{ }", "{ a: 1 }", "99999999999"]


def damaged(message, draw):
    """The text of a message, some of its fields left out, doubled or replaced."""
    parts = []
    for field in message.fields:
        chance = draw(st.integers(0, 60))
        if chance == 0:
            continue
        if isinstance(field.value, Message):
            body = f"{{ {damaged(field.value, draw)} }}"
        else:
            value = field.value
            body = "".join(f"\\{b:03o}" for b in value.text.encode()) if value.kind == "text" else value.text
            body = f"'{body}'" if value.kind == "text" else body
        if chance == 1 and not field.name.startswith("["):
            body = draw(st.sampled_from(ODD[1:]))
        parts += [f"{field.name}: {body}"] * (2 if chance == 2 else 1)
    return "\n".join(parts)


@pytest.mark.parametrize("path", [pytest.param(path, id=path.stem) for path in CONFIGS])
@given(data=st.data())
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_a_damaged_config_is_converted_or_refused(path, data, tmp_path):
    text = damaged(parse(path.read_text(encoding="utf-8")), data.draw)
    (tmp_path / "damaged.config").write_text(text, encoding="utf-8")
    kind = "easyrec" if path.stem.startswith("er") else "tzrec"
    try:
        found, problems = convert(tmp_path / "damaged.config", kind), ()
    except ConfigError as error:
        found, problems = None, error.problems
    assert found is None or found.yaml
    assert all(problem.line for problem in problems)
