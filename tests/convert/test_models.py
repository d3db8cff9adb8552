"""Which of our models a peer's becomes, with which groups and keys."""

import pytest

from easyrec.config import load_experiment

TZREC_FEATURES = """
train_input_path: "x.parquet"
data_config { dataset_type: ParquetDataset fg_mode: FG_DAG label_fields: "y" label_fields: "z" }
feature_configs { id_feature { feature_name: "a" expression: "user:ca" num_buckets: 5 embedding_dim: 4 } }
feature_configs { id_feature { feature_name: "b" expression: "item:cb" num_buckets: 5 embedding_dim: 4 } }
feature_configs { id_feature { feature_name: "c" expression: "item:cc" num_buckets: 5 embedding_dim: 6 } }
feature_configs { raw_feature { feature_name: "d" expression: "item:cd" } }
feature_configs { sequence_feature { sequence_name: "s" sequence_length: 3
    features { id_feature { feature_name: "b" expression: "item:cb" num_buckets: 5 embedding_dim: 4 } }
    features { id_feature { feature_name: "c" expression: "item:cc" num_buckets: 5 embedding_dim: 6 } }
    features { raw_feature { feature_name: "d" expression: "item:cd" } } } }
"""
EASYREC_FEATURES = """
train_input_path: "x.parquet"
data_config { input_type: ParquetInput label_fields: "y" label_fields: "z" }
feature_config {
  features { input_names: "a" num_buckets: 5 embedding_dim: 4 }
  features { input_names: "b" num_buckets: 5 embedding_dim: 4 }
  features { input_names: "c" num_buckets: 5 embedding_dim: 6 }
  features { input_names: "d" feature_type: RawFeature }
  features { input_names: "h" feature_type: SequenceFeature num_buckets: 5 embedding_dim: 4 max_seq_len: 3 }
}
"""


def group(name, features, more=""):
    listed = ", ".join(f'"{feature}"' for feature in features)
    return f'feature_groups {{ group_name: "{name}" feature_names: [{listed}] {more} }}'


def model(convert_text, peer, config):
    text = (TZREC_FEATURES if peer == "tzrec" else EASYREC_FEATURES) + f"model_config {{ {config} }}"
    found = convert_text(text, peer)
    load_experiment(found.draft.plain())
    return found


def kinds(found):
    return [entry.kind for entry in found.report.entries if entry.path.startswith("model_config")]


def test_deepfm_needs_fields_of_one_width(convert_text):
    deep = "deepfm { deep { hidden_units: [8, 4] use_bn: true } }"
    found = model(convert_text, "tzrec", group("deep", "abd") + deep)
    assert found.draft.model == {
        "type": "deepfm",
        "hidden": [8, 4],
        "activation": "relu",
        "batch_norm": True,
        "groups": {"deep": ["a", "b", "d"]},
    }
    assert kinds(found) == []
    found = model(convert_text, "tzrec", group("deep", "abcd") + group("wide", "ab", "group_type: WIDE") + deep)
    assert found.draft.model["type"] == "wide_and_deep"
    assert found.draft.model["groups"] == {"deep": ["a", "b", "c", "d"], "wide": ["a", "b"]}
    assert kinds(found) == ["changed"]


def test_attention_pairs_by_position_and_adds_the_candidates(convert_text):
    found = model(
        convert_text,
        "tzrec",
        group("deep", "ad", "group_type: DEEP")
        + group("seq", ["b", "c", "d", "s__b", "s__c", "s__d"], "group_type: SEQUENCE")
        + "multi_tower_din { towers { input: 'deep' mlp { hidden_units: 8 } }"
        " din_towers { input: 'seq' attn_mlp { hidden_units: [6] activation: 'Dice' } } final { hidden_units: 4 } }",
    )
    # 'd' is a number on both sides: it is part of the step and compared with nothing
    encoder = {"type": "din", "hidden": [6], "activation": "dice", "softmax": True}
    assert found.draft.model == {
        "type": "din",
        "hidden": [8, 4],
        "activation": "relu",
        "groups": {
            "deep": {
                "features": ["a", "d", "b", "c"],
                "sequences": [{"sequence": "s", "encoder": encoder, "query": {"b": "b", "c": "c"}}],
            }
        },
    }


def test_steps_without_a_candidate_are_averaged(convert_text):
    found = model(
        convert_text,
        "tzrec",
        group("deep", "a", "sequence_groups { group_name: 'g' feature_names: ['d', 's__b'] } sequence_encoders"
              " { din_encoder { input: 'g' attn_mlp { hidden_units: 4 } } }")
        + "wide_and_deep { deep { hidden_units: 4 } }",
    )  # fmt: skip
    (entry,) = found.draft.model["groups"]["deep"]["sequences"]
    assert entry == {"sequence": "s", "encoder": {"type": "pooling", "pooling": "mean"}}
    assert "all children of 's' are read, these too: c, d" in [e.why for e in found.report.entries]
    assert any("has no candidate of its width" in e.why for e in found.report.entries)


def test_the_other_encoders(convert_text):
    def encoder(text):
        return model(
            convert_text,
            "tzrec",
            group("deep", "bc", "sequence_groups { group_name: 'g' feature_names: ['b', 'c', 's__b', 's__c', 's__d'] }"
                  f" sequence_encoders {{ {text} }}") + "wide_and_deep { deep { hidden_units: 4 } }",
        )  # fmt: skip

    pooled = encoder("pooling_encoder { input: 'g' pooling_type: 'sum' }")
    assert pooled.draft.model["groups"]["deep"]["sequences"] == [
        {"sequence": "s", "encoder": {"type": "pooling", "pooling": "sum"}}
    ]
    other = encoder("self_attention_encoder { input: 'g' num_heads: 2 }")
    (entry,) = other.draft.model["groups"]["deep"]["sequences"]
    assert entry["encoder"]["type"] == "din"
    assert ("changed", "model_config.feature_groups.sequence_encoders.self_attention_encoder") in [
        (e.kind, e.path) for e in other.report.entries
    ]


@pytest.mark.parametrize("name", ["dlrm", "xdeepfm", "wukong", "mind"])
def test_a_model_that_is_not_there_leaves_its_features_to_a_simple_one(name, convert_text):
    found = model(
        convert_text,
        "tzrec",
        group("g", ["a", "d"]) + group("q", ["b", "s__b"], "group_type: SEQUENCE") + f"{name} {{ deep {{ x: 1 }} }}",
    )
    # a step of 's' holds a number, of which lr would read nothing
    steps = [{"sequence": "s", "encoder": {"type": "pooling", "pooling": "mean"}}]
    assert found.draft.model == {"type": "din", "groups": {"deep": {"features": ["a", "d", "b"], "sequences": steps}}}
    assert [(e.kind, e.path) for e in found.report.entries if e.path] == [("lost", f"model_config.{name}")]
    found = model(convert_text, "tzrec", group("g", ["a", "d"]) + f"{name} {{ deep {{ x: 1 }} }}")
    assert found.draft.model == {"type": "lr", "groups": {"deep": ["a", "d"]}}


def test_without_a_model_all_features_and_sequences_are_read(convert_text):
    found = model(convert_text, "easyrec", "")
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
def test_the_task_follows_from_the_loss(losses, classes, expected, convert_text):
    text = f"losses {{ {losses} }} num_class: {classes} metrics {{ auc {{}} }} metrics {{ mean_squared_error {{}} }}"
    found = model(convert_text, "tzrec", group("g", "ab") + "wide_and_deep { deep { hidden_units: 4 } }" + text)
    tasks = found.draft.model.get("tasks")
    assert tasks == (None if expected is None else [{"name": "y", "label": "y", **expected}])
    kind = (expected or {"type": "binary"})["type"]
    assert found.draft.eval.get("metrics") == {"binary": ["auc"], "regression": ["mse"], "multiclass": ["auc"]}[kind]


def test_a_grouped_auc_groups_by_the_features_column(convert_text):
    text = "metrics { grouped_auc { grouping_key: 'a' } }"
    found = model(convert_text, "tzrec", group("g", "ab") + "wide_and_deep { deep { hidden_units: 4 } }" + text)
    assert found.draft.eval["metrics"] == [{"type": "gauc", "by": "ca", "weighting": "plain"}]


@pytest.mark.parametrize(
    ("outside", "mask"), [("out_task_space_weight: 0", "y > 0"), ("out_task_space_weight: 0.5", None), ("", None)]
)
def test_a_task_space_is_a_mask_where_nothing_else_counts(outside, mask, convert_text):
    found = model(
        convert_text,
        "tzrec",
        group("g", "ab") + "simple_multi_task { task_towers { tower_name: 't' label_name: 'y' mlp { hidden_units: 4 } }"
        f" task_towers {{ tower_name: 'u' label_name: 'z' task_space_indicator_label: 'y' {outside} }} }}",
    )
    first, second = found.draft.model["tasks"]
    assert first == {"name": "t", "label": "y", "type": "binary"}
    assert second.get("mask") == mask
    assert found.draft.model["type"] == "shared_bottom"
    assert ("lost" in kinds(found)) == (mask is None)


def test_easyrec_attention_inside_a_group(convert_text):
    attention = (
        "sequence_features { group_name: 'sg' seq_att_map { key: 'b' hist_seq: 'h' } seq_dnn { hidden_units: [6, 1] } }"
    )
    found = model(
        convert_text,
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


def test_easyrec_attention_beside_the_groups_joins_deep(convert_text):
    found = model(
        convert_text,
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


def test_a_group_that_lists_what_is_no_feature_says_so(convert_text):
    found = model(convert_text, "tzrec", group("g", ["a", "zzz"]) + "wide_and_deep { deep { hidden_units: 4 } }")
    assert found.draft.model["groups"]["deep"] == ["a"]
    (entry,) = [e for e in found.report.entries if e.path == "model_config.feature_groups.feature_names"]
    assert (entry.kind, entry.why) == ("lost", "'zzz' is no feature that was carried")


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        ("model_class: 'FM' fm { }", "fm"),
        ("model_class: 'DCN' dcn { deep_tower { input: 'g' dnn { hidden_units: 4 } } }", "dcn_v2"),
        ("model_class: 'MultiTower' multi_tower { towers { input: 'g' dnn { hidden_units: 4 } } }", "wide_and_deep"),
        ("model_class: 'RankModel' backbone { blocks { name: 'x' } } model_params { }", "lr"),
        ("model_class: 'DLRM' dlrm { }", "lr"),
    ],
)
def test_easyrec_models(config, kind, convert_text):
    found = model(convert_text, "easyrec", group("g", "ab") + config)
    assert found.draft.model["type"] == kind
    assert found.draft.train.get("net_regularizer") == (None if kind == "lr" else 1e-4)
    assert not any("does not know" in e.why for e in found.report.entries)


def towers(names, *more, mlp="mlp"):
    """A tower per name, of equal layers, with more keys by position."""
    parts = []
    for index, name in enumerate(names):
        extra = more[index] if index < len(more) else ""
        parts.append(
            f"task_towers {{ tower_name: '{name}' label_name: '{'yz'[index]}' {mlp} {{ hidden_units: 4 }} {extra} }}"
        )
    return " ".join(parts)


RELU = {"activation": "relu"}
TOWER = {"hidden": [4], **RELU}
P, Q = {"name": "p", "label": "y", "type": "binary"}, {"name": "q", "label": "z", "type": "binary"}


@pytest.mark.parametrize(
    ("config", "keys"),
    [
        ("simple_multi_task { %s }", {"type": "shared_bottom", "bottom": [], "tower": TOWER}),
        (
            "mmoe { expert_mlp { hidden_units: [6, 5] use_bn: true } num_expert: 2 %s }",
            {"type": "mmoe", "experts": 2, "expert": {"hidden": [6, 5], "batch_norm": True, **RELU}, "tower": TOWER},
        ),
        (
            "ple { extraction_networks { network_name: 'a' expert_num_per_task: 2 share_num: 1 task_expert_net {"
            " hidden_units: 6 } share_expert_net { hidden_units: 6 } } extraction_networks { network_name: 'b'"
            " expert_num_per_task: 2 share_num: 3 task_expert_net { hidden_units: 5 } share_expert_net {"
            " hidden_units: 5 } } %s }",
            {
                "type": "ple",
                "levels": [{}, {"shared_experts": 3, "expert": {"hidden": [5], **RELU}}],
                "task_experts": 2,
                "shared_experts": 1,
                "expert": {"hidden": [6], **RELU},
                "tower": TOWER,
            },
        ),
        (
            "dbmtl { bottom_mlp { hidden_units: 8 } expert_mlp { hidden_units: 6 } num_expert: 2 %s }",
            {
                "type": "dbmtl",
                "bottom": {"hidden": [8], **RELU},
                "experts": 2,
                "expert": {"hidden": [6], **RELU},
                "relations": {"q": ["p"]},
                "relation": {"hidden": [3], **RELU},
                "tower": TOWER,
            },
        ),
    ],
    ids=["simple", "mmoe", "ple", "dbmtl"],
)
def test_tasks_become_the_model_of_the_same_name(config, keys, convert_text):
    related = "relation_tower_names: 'p' relation_mlp { hidden_units: 3 }" if keys["type"] == "dbmtl" else ""
    found = model(convert_text, "tzrec", group("g", "ab") + config % towers("pq", "", related))
    assert found.draft.model == {**keys, "groups": {"deep": ["a", "b"]}, "tasks": [P, Q]}
    assert kinds(found) == []


def test_towers_that_differ_are_told_by_task(convert_text):
    config = (
        "simple_multi_task { task_towers { tower_name: 'p' label_name: 'y' mlp { hidden_units: 4 dropout_ratio: 0.2 } }"
    )
    config += " task_towers { tower_name: 'q' label_name: 'z' mlp { hidden_units: [8, 4] } } }"
    found = model(convert_text, "tzrec", group("g", "ab") + config).draft.model
    assert found["tower"] == {"hidden": [4], "dropout": 0.2, **RELU}
    assert found["towers"] == {"q": {"hidden": [8, 4], "dropout": 0.0}}


@pytest.mark.parametrize(
    ("groups", "kind", "others"),
    [
        ({"domain": "c", "uia": "ab"}, "pepnet", {"domain": ["c"], "gate": ["a", "b"]}),
        ({"uia": "ab"}, "ppnet", {"gate": ["a", "b"]}),
        ({"domain": "c"}, "pepnet", {"domain": ["c"], "gate": ["c"]}),
        ({}, "shared_bottom", {}),
    ],
    ids=["both", "no-domain", "no-ids", "none"],
)
def test_pepnet_reads_the_groups_that_it_names(groups, kind, others, convert_text):
    listed = group("main", "abd") + "".join(group(f"g_{role}", names) for role, names in groups.items())
    named = "".join(f"{role}_group_name: 'g_{role}' " for role in groups)
    body = (
        f"pepnet {{ main_group_name: 'main' {named} epnet_hidden_unit: 7 ppnet_hidden_units: [6, 5] {towers('pq')} }}"
    )
    found = model(convert_text, "tzrec", listed + body)
    assert found.draft.model["type"] == kind
    assert found.draft.model["groups"] == {"deep": ["a", "b", "d"], **others}
    assert found.draft.model["tower"] == {"hidden": [6, 5, 4], **RELU}
    assert found.draft.model["tasks"] == [P, Q]
    assert "lost" not in kinds(found)


def test_easyrec_esmm_has_a_task_for_both(convert_text):
    config = "model_class: 'ESMM'" + group("g", "ab") + "esmm { ctr_tower { tower_name: 'p' label_name: 'y' dnn {"
    config += " hidden_units: 4 } } cvr_tower { tower_name: 'q' label_name: 'z' weight: 2 dnn { hidden_units: 4 } } }"
    found = model(convert_text, "easyrec", config)
    assert found.draft.model["type"] == "esmm"
    assert found.draft.model["tasks"] == [
        P,
        {**Q, "mask": "y == 1", "weight": 0},
        {"name": "ctcvr", "label": "z", "type": "binary", "weight": 2.0},
    ]
    assert kinds(found) == ["check"]


def test_easyrec_experts_one_by_one(convert_text):
    experts = "".join(f"experts {{ expert_name: 'e{i}' dnn {{ hidden_units: [6] }} }}" for i in range(3))
    config = "model_class: 'MMoE'" + group("g", "ab") + f"mmoe {{ {experts} {towers('pq', mlp='dnn')} }}"
    found = model(convert_text, "easyrec", config).draft.model
    assert (found["type"], found["experts"]) == ("mmoe", 3)
    assert found["expert"] == {"hidden": [6], "activation": "relu", "batch_norm": True}


def test_a_level_of_ple_without_shared_experts_gets_one(convert_text):
    network = "extraction_networks { network_name: 'a' expert_num_per_task: 2 task_expert_net { hidden_units: 6 } }"
    config = "model_class: 'PLE'" + group("g", "ab") + f"ple {{ {network} {towers('pq', mlp='dnn')} }}"
    found = model(convert_text, "easyrec", config)
    assert (found.draft.model["levels"], found.draft.model["shared_experts"]) == (1, 1)
    assert kinds(found) == ["changed"]


def test_easyrec_tasks(convert_text):
    found = model(
        convert_text,
        "easyrec",
        "model_class: 'DBMTL'" + group("g", "ab") + "dbmtl { bottom_dnn { hidden_units: [8] } task_towers { tower_name: 'p'"
        " label_name: 'y' loss_type: CLASSIFICATION dnn { hidden_units: 4 } metrics_set { auc {} } } task_towers {"
        " tower_name: 'q' label_name: 'z' loss_type: L2_LOSS weight: 2 relation_tower_names: 'p' dnn { hidden_units: 4 }"
        " metrics_set { root_mean_squared_error {} } } }",
    )  # fmt: skip
    assert found.draft.model["type"] == "dbmtl"
    assert found.draft.model["bottom"] == {"hidden": [8], "activation": "relu", "batch_norm": True}
    assert found.draft.model["relations"] == {"q": ["p"]}
    assert found.draft.model["tasks"] == [
        {"name": "p", "label": "y", "type": "binary", "metrics": ["auc"]},
        {"name": "q", "label": "z", "type": "regression", "weight": 2.0, "metrics": ["rmse"]},
    ]
