"""Which of our models a peer's becomes, with which groups and keys."""

import pytest


def group(name, features, more=""):
    listed = ", ".join(f'"{feature}"' for feature in features)
    return f'feature_groups {{ group_name: "{name}" feature_names: [{listed}] {more} }}'


def kinds(found):
    return [entry.kind for entry in found.report.entries if entry.path.startswith("model_config")]


def test_deepfm_needs_fields_of_one_width(convert_model):
    deep = "deepfm { deep { hidden_units: [8, 4] use_bn: true } }"
    found = convert_model("tzrec", group("deep", "abd") + deep)
    assert found.draft.model == {
        "type": "deepfm",
        "hidden": [8, 4],
        "activation": "relu",
        "batch_norm": True,
        "groups": {"deep": ["a", "b", "d"]},
    }
    assert kinds(found) == []
    found = convert_model("tzrec", group("deep", "abcd") + group("wide", "ab", "group_type: WIDE") + deep)
    assert found.draft.model["type"] == "wide_and_deep"
    assert found.draft.model["groups"] == {"deep": ["a", "b", "c", "d"], "wide": ["a", "b"]}
    assert kinds(found) == ["changed"]


def test_attention_pairs_by_position_and_adds_the_candidates(convert_model):
    found = convert_model(
        "tzrec",
        group("deep", "ad", "group_type: DEEP")
        + group("seq", ["b", "c", "d", "s__b", "s__c", "s__d"], "group_type: SEQUENCE")
        + "multi_tower_din { towers { input: 'deep' mlp { hidden_units: 8 } }"
        " din_towers { input: 'seq' attn_mlp { hidden_units: [6] activation: 'Dice' } } final { hidden_units: 4 } }",
    )
    # 'd' is a number on both sides: it is part of the step and compared with nothing
    encoder = {"type": "din", "hidden": [6], "activation": "dice", "softmax": True}
    assert found.draft.model == {
        "type": "multi_tower_din",
        "hidden": [4],
        "activation": "relu",
        "tower": {"hidden": [8], "activation": "relu"},
        "groups": {
            "deep": ["a", "d"],
            "seq": {
                "features": ["b", "c", "d"],
                "sequences": [{"sequence": "s", "encoder": encoder, "query": {"b": "b", "c": "c"}}],
            },
        },
    }


def test_steps_without_a_candidate_are_averaged(convert_model):
    found = convert_model(
        "tzrec",
        group("deep", "a", "sequence_groups { group_name: 'g' feature_names: ['d', 's__b'] } sequence_encoders"
              " { din_encoder { input: 'g' attn_mlp { hidden_units: 4 } } }")
        + "wide_and_deep { deep { hidden_units: 4 } }",
    )  # fmt: skip
    (entry,) = found.draft.model["groups"]["deep"]["sequences"]
    assert entry == {"sequence": "s", "encoder": {"type": "pooling", "pooling": "mean"}}
    assert "all children of 's' are read, these too: c, d" in [e.why for e in found.report.entries]
    assert any("has no candidate of its width" in e.why for e in found.report.entries)


@pytest.mark.parametrize("name", ["rocket_launching", "dlrm_hstu", "tdm"])
def test_a_model_that_is_not_there_leaves_its_features_to_a_simple_one(name, convert_model):
    found = convert_model(
        "tzrec",
        group("g", ["a", "d"]) + group("q", ["b", "s__b"], "group_type: SEQUENCE") + f"{name} {{ deep {{ x: 1 }} }}",
    )
    # a step of 's' holds a number, of which lr would read nothing
    steps = [{"sequence": "s", "encoder": {"type": "pooling", "pooling": "mean"}}]
    assert found.draft.model == {"type": "din", "groups": {"deep": {"features": ["a", "d", "b"], "sequences": steps}}}
    assert [(e.kind, e.path) for e in found.report.entries if e.path] == [("lost", f"model_config.{name}")]
    found = convert_model("tzrec", group("g", ["a", "d"]) + f"{name} {{ deep {{ x: 1 }} }}")
    assert found.draft.model == {"type": "lr", "groups": {"deep": ["a", "d"]}}


def test_without_a_model_all_features_and_sequences_are_read(convert_model):
    found = convert_model("easyrec", "")
    steps = [{"sequence": "h", "encoder": {"type": "pooling", "pooling": "mean"}}]
    assert found.draft.model == {
        "type": "lr",
        "groups": {"deep": {"features": ["a", "b", "c", "d"], "sequences": steps}},
    }
    assert kinds(found) == ["check"]


@pytest.mark.parametrize(
    ("losses", "classes", "expected"),
    [
        ("binary_cross_entropy {}", 1, None),
        ("softmax_cross_entropy {}", 3, {"type": "multiclass", "num_classes": 3}),
        ("l2_loss {}", 1, {"type": "regression"}),
        ("jrc_loss { session_name: 'a' }", 2, {"type": "binary", "loss": {"type": "jrc", "alpha": 0.5, "by": "ca"}}),
    ],
)
def test_the_task_follows_from_the_loss(losses, classes, expected, convert_model):
    text = f"losses {{ {losses} }} num_class: {classes} metrics {{ auc {{}} }} metrics {{ mean_squared_error {{}} }}"
    found = convert_model("tzrec", group("g", "ab") + "wide_and_deep { deep { hidden_units: 4 } }" + text)
    tasks = found.draft.model.get("tasks")
    assert tasks == (None if expected is None else [{"name": "y", "label": "y", **expected}])
    kind = (expected or {"type": "binary"})["type"]
    assert found.draft.eval.get("metrics") == {"binary": ["auc"], "regression": ["mse"], "multiclass": ["auc"]}[kind]


def test_a_grouped_auc_groups_by_the_features_column(convert_model):
    text = "metrics { grouped_auc { grouping_key: 'a' } }"
    found = convert_model("tzrec", group("g", "ab") + "wide_and_deep { deep { hidden_units: 4 } }" + text)
    assert found.draft.eval["metrics"] == [{"type": "gauc", "by": "ca", "weighting": "plain"}]


@pytest.mark.parametrize(
    ("outside", "mask"), [("out_task_space_weight: 0", "y > 0"), ("out_task_space_weight: 0.5", None), ("", None)]
)
def test_a_task_space_is_a_mask_where_nothing_else_counts(outside, mask, convert_model):
    found = convert_model(
        "tzrec",
        group("g", "ab") + "simple_multi_task { task_towers { tower_name: 't' label_name: 'y' mlp { hidden_units: 4 } }"
        f" task_towers {{ tower_name: 'u' label_name: 'z' task_space_indicator_label: 'y' {outside} }} }}",
    )
    first, second = found.draft.model["tasks"]
    assert first == {"name": "t", "label": "y", "type": "binary"}
    assert second.get("mask") == mask
    assert found.draft.model["type"] == "shared_bottom"
    assert ("lost" in kinds(found)) == (mask is None)


def test_easyrec_attention_inside_a_group(convert_model):
    attention = (
        "sequence_features { group_name: 'sg' seq_att_map { key: 'b' hist_seq: 'h' } seq_dnn { hidden_units: [6, 1] } }"
    )
    found = convert_model(
        "easyrec",
        "model_class: 'WideAndDeep'" + group("deep", "ab", attention) + group("wide", "a", "wide_deep: WIDE")
        + "wide_and_deep { dnn { hidden_units: [4] use_bn: false } l2_regularization: 0 }",
    )  # fmt: skip
    encoder = {"type": "din", "hidden": [6], "activation": "relu", "softmax": True}
    assert found.draft.model == {
        "type": "wide_and_deep",
        "hidden": [4],
        "activation": "relu",
        "groups": {
            "deep": {"features": ["a", "b"], "sequences": [{"sequence": "h", "encoder": encoder, "query": {"h": "b"}}]},
            "wide": ["a"],
        },
    }
    assert "net_regularizer" not in found.draft.train


def test_easyrec_attention_beside_the_groups_joins_deep(convert_model):
    found = convert_model(
        "easyrec",
        "model_class: 'DeepFM'" + group("deep", "ab") + "seq_att_groups { group_name: 's' seq_att_map { key: 'b'"
        " hist_seq: 'h' } } deepfm { dnn { hidden_units: [4] } }",
    )  # fmt: skip
    encoder = {"type": "din", "hidden": [128, 64, 32], "activation": "relu", "softmax": True}
    assert found.draft.model["type"] == "deepfm"
    assert found.draft.model["groups"] == {
        "deep": {"features": ["a", "b"], "sequences": [{"sequence": "h", "encoder": encoder, "query": {"h": "b"}}]}
    }
    assert ("changed", "model_config.seq_att_groups") in [(e.kind, e.path) for e in found.report.entries]


def test_a_group_that_lists_what_is_no_feature_says_so(convert_model):
    found = convert_model("tzrec", group("g", ["a", "zzz"]) + "wide_and_deep { deep { hidden_units: 4 } }")
    assert found.draft.model["groups"]["deep"] == ["a"]
    (entry,) = [e for e in found.report.entries if e.path == "model_config.feature_groups.feature_names"]
    assert (entry.kind, entry.why) == ("lost", "'zzz' is no feature that was carried")


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        ("model_class: 'FM' fm { }", "fm"),
        ("model_class: 'DCN' dcn { deep_tower { input: 'g' dnn { hidden_units: 4 } } }", "dcn"),
        ("model_class: 'MultiTower' multi_tower { towers { input: 'g' dnn { hidden_units: 4 } } }", "multi_tower"),
        ("model_class: 'RankModel' backbone { blocks { name: 'x' } } model_params { }", "lr"),
        ("model_class: 'AutoInt' autoint { }", "autoint"),
        ("model_class: 'UNITER' uniter { }", "lr"),
    ],
)
def test_easyrec_models(config, kind, convert_model):
    found = convert_model("easyrec", group("g", "ab") + config)
    assert found.draft.model["type"] == kind
    assert found.draft.train.get("net_regularizer") == (None if kind == "lr" else 1e-4)
    assert not any("does not know" in e.why for e in found.report.entries)
