"""Models with a tower per group, and encoders of sequences."""

import pytest

RELU = {"activation": "relu"}
SEQUENCE = "feature_groups { group_name: 'seq' feature_names: [%s] group_type: SEQUENCE }"
DIN = "din_towers { input: 'seq' attn_mlp { hidden_units: [6] } }"


def fields(name, *names, more=""):
    return f"feature_groups {{ group_name: '{name}' feature_names: [{', '.join(map(repr, names))}] {more} }}"


def told(found):
    """What is said of the model, without its place in it."""
    return [(e.kind, e.path.rpartition(".")[2]) for e in found.report.entries if e.path.startswith("model_config")]


def din(hidden):
    return {"type": "din", "hidden": hidden, "activation": "relu", "softmax": True}


def test_multi_tower_is_whole(convert_model):
    towers = "towers { input: 'u' mlp { hidden_units: [6, 4] } } towers { input: 'i' mlp { hidden_units: 5 } }"
    text = f"multi_tower {{ {towers} final {{ hidden_units: 8 }} }}"
    found = convert_model("tzrec", fields("u", "a") + fields("i", "b", "c", "d") + fields("unread", "a") + text)
    assert found.draft.model == {
        "type": "multi_tower",
        "hidden": [8],
        **RELU,
        "tower": {"hidden": [6, 4], **RELU},
        "towers": {"i": {"hidden": [5], **RELU}},
        "groups": {"u": ["a"], "i": ["b", "c", "d"]},
    }
    assert told(found) == []


def test_a_sequence_stands_beside_the_tower_that_has_its_candidates(convert_model):
    text = f"multi_tower_din {{ towers {{ input: 'i' mlp {{ hidden_units: 6 }} }} {DIN} final {{ hidden_units: 8 }} }}"
    found = convert_model(
        "tzrec", fields("i", "a", "b", "c", "d") + SEQUENCE % "'b', 'c', 's__b', 's__c', 's__d'" + text
    )
    query = {"b": "b", "c": "c"}
    assert found.draft.model == {
        "type": "multi_tower_din",
        "hidden": [8],
        **RELU,
        "tower": {"hidden": [6], **RELU},
        "groups": {
            "i": {
                "features": ["a", "b", "c", "d"],
                "sequences": [{"sequence": "s", "encoder": din([6]), "query": query}],
            }
        },
    }
    assert told(found) == []


def test_candidates_that_no_tower_reads_have_one_of_their_own(convert_model):
    text = f"multi_tower_din {{ towers {{ input: 'u' mlp {{ hidden_units: 6 }} }} {DIN} final {{ hidden_units: 8 }} }}"
    found = convert_model("tzrec", fields("u", "a") + SEQUENCE % "'b', 'c', 's__b', 's__c', 's__d'" + text)
    assert list(found.draft.model["groups"]) == ["u", "seq"]
    assert found.draft.model["groups"]["seq"]["features"] == ["b", "c"]
    assert told(found) == [("changed", "din_towers")]


def test_easyrec_normalises_before_its_towers(convert_model):
    towers = "towers { input: 'g' dnn { hidden_units: 6 use_bn: false } } final_dnn { hidden_units: 8 use_bn: false }"
    found = convert_model("easyrec", "model_class: 'MultiTower'" + fields("g", "a") + f"multi_tower {{ {towers} }}")
    tower = {"tower": {"hidden": [6], **RELU}}
    assert found.draft.model == {"type": "multi_tower", "hidden": [8], **RELU, **tower, "groups": {"g": ["a"]}}
    assert told(found) == [("changed", "multi_tower")]


@pytest.mark.parametrize(
    ("kind", "tower", "encoder", "more"),
    [
        ("DIN", "din_towers { input: 'att' dnn { hidden_units: [6, 1] use_bn: false } }", din([6]), {}),
        (
            "BST",
            "bst_towers { input: 'att' seq_len: 3 multi_head_size: 2 }",
            {"type": "bst", "heads": 2, "positions": 0},
            {"newest": 2},
        ),
    ],
    ids=["din", "bst"],
)
def test_easyrec_towers_over_a_history(kind, tower, encoder, more, convert_model):
    attention = "seq_att_groups { group_name: 'att' seq_att_map { key: 'b' hist_seq: 'h' } }"
    text = (
        f"multi_tower {{ towers {{ input: 'g' dnn {{ hidden_units: 6 }} }} {tower} final_dnn {{ hidden_units: 8 }} }}"
    )
    group = f"model_class: 'MultiTower{kind}'" + fields("g", "a", "b")
    found = convert_model("easyrec", group + attention + text)
    entry = {"sequence": "h", "encoder": encoder, **more, "query": {"h": "b"}}
    assert found.draft.model["type"] == "multi_tower_din"
    assert found.draft.model["groups"] == {"g": {"features": ["a", "b"], "sequences": [entry]}}


def test_a_tower_over_a_history_that_is_not_there_says_so(convert_model):
    text = "multi_tower { towers { input: 'g' dnn {} } din_towers { input: 'zzz' } final_dnn {} }"
    found = convert_model("easyrec", "model_class: 'MultiTowerDIN'" + fields("g", "a") + text)
    assert found.draft.model["type"] == "multi_tower"
    assert ("lost", "input") in told(found)


ENCODERS = {
    "pooling": ("pooling_encoder { pooling_type: 'sum' }", {"type": "pooling", "pooling": "sum"}, None),
    "din": ("din_encoder { attn_mlp { hidden_units: [6] } }", din([6]), None),
    "dot": ("simple_attention { }", {"type": "target_attention"}, "simple_attention"),
    "windows": (
        "multi_window_din_encoder { windows_len: [1, 2] attn_mlp { hidden_units: [6] } }",
        {"type": "multi_window_din", "hidden": [6], "activation": "relu", "windows": [1, 2]},
        "multi_window_din_encoder",
    ),
    "self": (
        "self_attention_encoder { multihead_attn_dim: 8 num_heads: 2 dropout: 0.1 }",
        {"type": "self_attention", "heads": 2, "dropout": 0.1, "positions": 0},
        "self_attention_encoder",
    ),
    "other": ("hstu_encoder { linear_dim: 8 }", {"type": "din", "softmax": True}, "hstu_encoder"),
}


@pytest.mark.parametrize(("text", "encoder", "changed"), ENCODERS.values(), ids=ENCODERS)
def test_encoders(text, encoder, changed, convert_model):
    inner = "sequence_groups { group_name: 'g' feature_names: ['b', 'c', 's__b', 's__c', 's__d'] }"
    group = fields("deep", "b", "c", more=f"{inner} sequence_encoders {{ {text} }}")
    found = convert_model("tzrec", group + "wide_and_deep { deep { hidden_units: 4 } }")
    (entry,) = found.draft.model["groups"]["deep"]["sequences"]
    query = {} if encoder["type"] in ("pooling", "self_attention") else {"query": {"b": "b", "c": "c"}}
    assert entry == {"sequence": "s", "encoder": encoder, **query}
    assert told(found) == ([("changed", changed)] if changed else [])


def test_an_encoder_that_reads_a_part_of_the_steps(convert_model):
    inner = "sequence_groups { group_name: 'g' feature_names: ['b', 'c', 's__b', 's__c', 's__d'] }"
    text = "sequence_encoders { din_encoder { max_seq_length: 2 attn_mlp { hidden_units: [6] } } }"
    found = convert_model("tzrec", fields("deep", "b", "c", more=inner + text) + "wide_and_deep { deep {} }")
    (entry,) = found.draft.model["groups"]["deep"]["sequences"]
    assert entry["newest"] == 2
    assert told(found) == [("changed", "max_seq_length")]


def test_a_sequence_that_two_encoders_read_is_there_twice(convert_model):
    inner = "sequence_groups { group_name: 'g' feature_names: ['b', 'c', 's__b', 's__c', 's__d'] }"
    text = "sequence_encoders { pooling_encoder {} } sequence_encoders { din_encoder { attn_mlp { hidden_units: 6 } } }"
    found = convert_model("tzrec", fields("deep", "b", "c", more=inner + text) + "wide_and_deep { deep {} }")
    first, second = found.draft.model["groups"]["deep"]["sequences"]
    assert first == {"sequence": "s", "encoder": {"type": "pooling", "pooling": "mean"}}
    assert second == {"sequence": "s", "encoder": din([6]), "query": {"b": "b", "c": "c"}, "name": "s_2"}
