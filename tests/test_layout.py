import json

import pytest

from easyrec.layout import GroupLayout, NumericField, SequenceLayout, Span

LAYOUT = GroupLayout(
    "deep",
    (Span("a", 4, 0), Span("b", 4, 4)),
    (Span("x", 2, 0),),
    (SequenceLayout("clicks", (Span("clicks__a", 4, 0), Span("clicks__t", 1, 4)), ("a", None)),),
    True,
    (NumericField("n", 4, 0, 2), NumericField("m", 4, 2)),
)


def test_keys_name_every_tensor_of_the_group():
    assert LAYOUT.keys() == (
        "emb:deep", "first:deep", "dense:deep", "num:deep", "seq:deep/clicks", "rows:deep/clicks", "offsets:deep/clicks",
    )  # fmt: skip
    assert GroupLayout("deep", (Span("a", 4, 0),)).keys() == ("emb:deep",)


def test_widths_are_sums_of_dims():
    assert (LAYOUT.width, LAYOUT.dense_width, LAYOUT.num_fields, LAYOUT.dim) == (8, 2, 4, 4)
    assert LAYOUT.numeric_width == 3
    assert LAYOUT.sequence("clicks").dim == 5


def test_joined_fields_stand_side_by_side():
    joined = LAYOUT.joined()
    assert [(s.name, s.dim, s.start) for s in joined.fields] == [("a", 4, 0), ("b", 4, 4), ("n", 4, 8), ("m", 4, 12)]
    assert (joined.width, joined.num_fields, joined.numeric, joined.dense) == (16, 4, (), LAYOUT.dense)
    assert not any(key.startswith("num:") for key in joined.keys())  # noqa: SIM118 (not a dict)


def test_a_layout_survives_json():
    assert GroupLayout.from_json(json.loads(json.dumps(LAYOUT.to_json()))) == LAYOUT


def test_what_is_not_there_is_named():
    with pytest.raises(KeyError, match="has no field 'c'; it has: a, b"):
        LAYOUT.field("c")
    with pytest.raises(KeyError, match="no sequence 'views'"):
        LAYOUT.sequence("views")
    with pytest.raises(ValueError, match="no single embedding dim: a 4, b 3"):
        _ = GroupLayout("deep", (Span("a", 4, 0), Span("b", 3, 4))).dim
