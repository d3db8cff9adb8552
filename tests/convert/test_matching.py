"""Matching models of both peers, and the catalogue that they are trained against."""

import pytest

RELU = {"activation": "relu"}
TWO = "feature_groups { group_name: 'user' feature_names: 'a' } feature_groups { group_name: 'item' feature_names: ['b', 'd'] }"
GROUPS = {"user": ["a"], "item": ["b", "d"]}
ITEMS = {"type": "parquet", "path": "data/items/*.parquet"}


def tz(user="[6, 4]", item="[5, 4]"):
    sides = (("user", user), ("item", item))
    return " ".join(f"{s}_tower {{ input: '{s}' mlp {{ hidden_units: {units} }} }}" for s, units in sides)


@pytest.fixture
def convert_with(features, convert_text):
    """Converts a model over the features of the tests, with more keys in `data_config`."""
    from easyrec.check import build
    from easyrec.config import load_experiment

    def run(peer, config, sampler, more=""):
        text = features[peer].replace('label_fields: "z" }', f'label_fields: "z" {sampler} }}')
        assert sampler in text
        found = convert_text(f"{text} model_config {{ {config} }} {more}", peer)
        assert build(load_experiment(found.draft.plain())).dense_parameters > 0
        return found

    return run


def told(found, *parts):
    """What is said of the parts, without their places in them."""
    return [(e.kind, e.path.rpartition(".")[2]) for e in found.report.entries if e.path.startswith(parts)]


def test_dssm_of_torcheasyrec_is_whole_and_learns_from_labels(convert_model):
    text = f"dssm {{ {tz()} output_dim: 3 similarity: COSINE temperature: 0.5 }} metrics {{ auc {{}} }}"
    found = convert_model("tzrec", TWO + text)
    assert found.draft.model == {
        "type": "dssm",
        "user_tower": {"hidden": [6, 4], **RELU},
        "item_tower": {"hidden": [5, 4], **RELU},
        "output_dim": 3,
        "similarity": "cosine",
        "temperature": 0.5,
        "groups": GROUPS,
    }
    assert found.draft.data["labels"] == ["y", "z"]
    assert found.draft.eval == {"metrics": ["auc"]}
    assert told(found, "model_config", "data_config") == []


def test_the_items_of_the_batch_are_the_candidates(convert_model):
    recall = "metrics { recall_at_k { top_k: 7 } } metrics { auc {} }"
    found = convert_model("tzrec", f"{TWO} dssm_v2 {{ {tz()} output_dim: 3 in_batch_negative: true }} {recall}")
    assert found.draft.model["separate_embeddings"] is True
    assert found.draft.model["similarity"] == "dot"
    assert list(found.draft.model)[-1] == "groups"
    assert found.draft.data["sampler"] == {"type": "in_batch", "logq": False}
    assert (found.draft.data["items"], found.draft.data["item_id"]) == (ITEMS, "b")
    assert "labels" not in found.draft.data
    assert found.draft.eval == {"retrieval": {"metrics": [{"type": "recall", "k": 7}]}}
    assert told(found, "model_config") == [
        ("check", "dssm_v2"),
        ("check", "dssm_v2"),
        ("check", "dssm_v2"),
        ("changed", "recall_at_k"),
        ("lost", "auc"),
    ]


SAMPLED = "input_path: 'odps://x' num_sample: 9 attr_fields: ['cb', 'cd'] item_id_field: 'cb' attr_delimiter: ':'"
EDGES = SAMPLED.replace("input_path", "item_input_path") + " user_input_path: 'u' user_id_field: 'ca'"


@pytest.mark.parametrize(
    ("name", "keys", "lost"),
    [
        ("negative_sampler", SAMPLED, []),
        ("negative_sampler_v2", EDGES + " pos_edge_input_path: 'e'", ["pos_edge_input_path"]),
        (
            "hard_negative_sampler",
            EDGES + " hard_neg_edge_input_path: 'h' num_hard_sample: 3",
            ["hard_neg_edge_input_path"],
        ),
        (
            "hard_negative_sampler_v2",
            EDGES + " pos_edge_input_path: 'e' hard_neg_edge_input_path: 'h' num_hard_sample: 3",
            ["pos_edge_input_path", "hard_neg_edge_input_path"],
        ),
    ],
)
def test_what_a_sampler_maps_is_carried_and_the_rest_is_told(name, keys, lost, convert_with):
    found = convert_with("tzrec", f"{TWO} dssm {{ {tz()} output_dim: 3 }}", f"{name} {{ {keys} num_eval_sample: 5 }}")
    assert found.draft.data["sampler"] == {"type": "uniform", "negatives": 9}
    assert (found.draft.data["items"], found.draft.data["item_id"]) == (ITEMS, "b")
    said = told(found, f"data_config.{name}")
    assert sorted(key for kind, key in said if kind == "lost" and "edge" in key) == sorted(lost)
    assert ("changed", "num_sample") in said
    assert any("columns for cb, cd" in e.todo for e in found.report.entries)
    assert not any("does not know this key" in e.why for e in found.report.entries)
    if "num_hard_sample" in keys:
        assert any("{type: hard, feature: .., negatives: 3, beside:" in e.todo for e in found.report.entries)


def test_a_sampler_is_lost_where_no_users_are_compared_with_items(convert_with):
    text = "feature_groups { group_name: 'deep' feature_names: ['a', 'b'] } wide_and_deep { deep { hidden_units: 4 } }"
    found = convert_with("tzrec", text, f"negative_sampler {{ {SAMPLED} }}")
    assert "sampler" not in found.draft.data
    assert told(found, "data_config") == [("lost", "negative_sampler")]


def test_dat_has_its_augmented_groups(convert_model):
    extra = (
        "feature_groups { group_name: 'ua' feature_names: 'a' } feature_groups { group_name: 'ia' feature_names: 'b' }"
    )
    text = "dat { user_tower { input: 'user' augment_input: 'ua' mlp { hidden_units: 6 } }"
    text += " item_tower { input: 'item' augment_input: 'ia' mlp { hidden_units: 5 } }"
    found = convert_model("tzrec", f"{TWO} {extra} {text} output_dim: 4 amm_u_weight: 0.1 amm_i_weight: 0.2 }}")
    assert found.draft.model == {
        "type": "dat",
        "hidden": [6],
        **RELU,
        "output_dim": 4,
        "mimic_user": 0.1,
        "mimic_item": 0.2,
        "similarity": "dot",
        "groups": {**GROUPS, "user_augmented": ["a"], "item_augmented": ["b"]},
    }
    assert told(found, "model_config") == [("changed", "dat")]  # one MLP for both towers


def test_mind_reads_the_history_first(convert_model):
    extra = "feature_groups { group_name: 'hist' feature_names: ['s__b', 's__c'] group_type: SEQUENCE }"
    capsules = "capsule_config { max_k: 3 num_iters: 2 max_seq_len: 2 high_dim: 8 }"
    text = f"user_tower {{ input: 'user' history_input: 'hist' user_mlp {{ hidden_units: 4 }} {capsules}"
    text += " concat_mlp { hidden_units: [6, 5] } }"
    text += " item_tower { input: 'item' mlp { hidden_units: 4 } } output_dim: 3 simi_pow: 10"
    found = convert_model("tzrec", f"{TWO} {extra} mind {{ {text} }}")
    entry = {"sequence": "s", "encoder": {"type": "mind", "interests": 3, "turns": 2}, "newest": 2}
    assert found.draft.model == {
        "type": "mind",
        "hidden": [6, 5],
        **RELU,
        "output_dim": 3,
        "similarity": "cosine",
        "groups": {"user": {"features": ["a"], "sequences": [entry]}, "item": ["b", "d"]},
    }
    assert set(told(found, "model_config")) == {
        ("lost", "user_mlp"),
        ("lost", "mlp"),
        ("changed", "capsule_config"),
        ("lost", "simi_pow"),
    }


def test_a_side_without_features_leaves_a_simple_model(convert_model):
    text = f"feature_groups {{ group_name: 'user' feature_names: 'a' }} dssm {{ {tz()} output_dim: 3 }}"
    found = convert_model("tzrec", text)
    assert found.draft.model == {"type": "lr", "groups": {"deep": ["a"]}}
    assert {e.why for e in found.report.entries if e.kind == "lost"} == {
        "cannot read these groups; lr over the same features stands in its place, to start from",
        "reads the groups user, item, but no features were carried of: item",
    }


def test_rows_of_requests_are_told_apart_from_rows_of_items(convert_model):
    found = convert_model("tzrec", f"{TWO} hstu_match {{ x: 1 }}")
    (entry,) = (e for e in found.report.entries if e.path == "model_config.hstu_match")
    assert (entry.kind, entry.todo) == ("lost", "write a row per item, and take hstu")


ER = "user_tower { id: 'a' dnn { hidden_units: [6, 3] use_bn: false } } item_tower { id: 'b' dnn { hidden_units: [5, 3] use_bn: false } }"


@pytest.mark.parametrize(
    ("sampler", "ignored", "expected"),
    [
        ("", "false", {"type": "in_batch", "logq": False}),
        (
            f"negative_sampler {{ {SAMPLED.replace('cb', 'b').replace('cd', 'd')} }}",
            "true",
            {"type": "uniform", "negatives": 9},
        ),
        (
            f"negative_sampler_in_memory {{ {SAMPLED.replace('cb', 'b').replace('cd', 'd')} }}",
            "false",
            {"type": "mixed", "negatives": 9, "logq": False},
        ),
    ],
    ids=["of-the-batch", "drawn", "both"],
)
def test_the_softmax_of_easyrec_is_over_the_batch_too(sampler, ignored, expected, convert_with):
    body = f"dssm {{ {ER} simi_func: INNER_PRODUCT scale_simi: false ignore_in_batch_neg_sam: {ignored} }}"
    text = f"model_class: 'DSSM' {TWO} {body} loss_type: SOFTMAX_CROSS_ENTROPY"
    found = convert_with("easyrec", text, sampler, "eval_config { metrics_set { recall_at_topk { topk: 4 } } }")
    assert found.draft.model == {
        "type": "dssm",
        "user_tower": {"hidden": [6], **RELU},
        "item_tower": {"hidden": [5], **RELU},
        "output_dim": 3,
        "similarity": "dot",
        "groups": GROUPS,
    }
    assert found.draft.data["sampler"] == expected
    assert found.draft.data["item_id"] == "b"
    assert found.draft.eval == {"retrieval": {"metrics": [{"type": "recall", "k": 4}]}}
    assert found.draft.train["net_regularizer"] == 1e-4


def test_dssm_senet_weighs_the_fields_of_each_side(convert_model):
    senet = "senet { reduction_ratio: 4 num_squeeze_group: 2 }"
    body = f"dssm_senet {{ {ER.replace('dnn {', senet + ' dnn {')} }}"
    found = convert_model("easyrec", f"model_class: 'DSSM_SENet' {TWO} {body}")
    layer = {"type": "senet", "reduction": 4, "activation": "relu"}
    assert found.draft.model["groups"] == {
        name: {"features": features, "feature_wise": [layer]} for name, features in GROUPS.items()
    }
    assert found.draft.model["type"] == "dssm"
    assert "sampler" not in found.draft.data
    assert told(found, "model_config").count(("changed", "num_squeeze_group")) == 2


def test_preferences_are_memory(convert_model):
    named = {"user_content": "a", "user_preference": "a", "item_content": "b", "item_preference": "c"}
    groups = " ".join(f"feature_groups {{ group_name: '{g}' feature_names: '{f}' }}" for g, f in named.items())
    parts = " ".join(f"{name} {{ hidden_units: 7 }}" for name in named)
    body = f"dropoutnet {{ {parts} user_tower {{ hidden_units: [6, 3] use_bn: false }}"
    body += " item_tower { hidden_units: [6, 3] use_bn: false } user_dropout_rate: 0.2 num_negative_mining: 4 }"
    found = convert_model(
        "easyrec", f"model_class: 'DropoutNet' {groups} {body} losses {{ loss_type: CLASSIFICATION }}"
    )
    assert found.draft.model == {
        "type": "dropoutnet",
        "hidden": [6],
        **RELU,
        "output_dim": 3,
        "forget_users": 0.2,
        "forget_items": 0.5,
        "groups": {"user_memory": ["a"], "user_content": ["a"], "item_memory": ["c"], "item_content": ["b"]},
    }
    assert set(told(found, "model_config")) == {("lost", name) for name in (*named, "num_negative_mining")}


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ("circle_loss { gamma: 64 }", {"type": "circle", "margin": 0.25, "gamma": 64.0}),
        (
            "multi_similarity_loss { lamb: 0.5 }",
            {"type": "multi_similarity", "alpha": 2.0, "beta": 50.0, "threshold": 0.5, "mining": 0.1},
        ),
    ],
    ids=["circle", "multi-similarity"],
)
def test_items_of_a_session_become_pairs(loss, expected, convert_model):
    body = f"metric_learning {{ input: 'item' session_id: 'a' dnn {{ hidden_units: [6, 3] use_bn: false }} {loss} }}"
    found = convert_model("easyrec", f"model_class: 'CoMetricLearningI2I' loss_type: CIRCLE_LOSS {TWO} {body}")
    assert found.draft.model == {
        "type": "co_metric_learning_i2i",
        "output_dim": 3,
        "hidden": [6],
        **RELU,
        "loss": expected,
        "groups": {"user": ["anchor_b", "anchor_d"], "item": ["b", "d"]},
    }
    anchor = next(f for f in found.draft.features if f["name"] == "anchor_b")
    assert (anchor["expression"], anchor["embedding_name"]) == ("user:anchor_b", "b")
    assert found.draft.data["sampler"] == {"type": "in_batch", "logq": False}
    assert ("changed", "session_id") in told(found, "model_config")
    assert not any(e.path.endswith("loss_type") for e in found.report.entries)
