"""Which of our losses and metrics a peer's become."""

import math

import pytest

from easyrec.config import load_experiment

TZREC = """
train_input_path: "x.parquet"
data_config { dataset_type: ParquetDataset fg_mode: FG_DAG label_fields: "y" }
feature_configs { id_feature { feature_name: "session" expression: "user:session_id" num_buckets: 5 embedding_dim: 4 } }
"""
EASYREC = """
train_input_path: "x.parquet"
data_config { input_type: ParquetInput label_fields: "y" }
feature_config { features { input_names: "a" num_buckets: 5 embedding_dim: 4 } }
"""


def converted(convert_text, peer, config, more=""):
    names = "session" if peer == "tzrec" else "a"
    body = (
        "wide_and_deep { deep { hidden_units: 4 } }" if peer == "tzrec" else "wide_and_deep { dnn { hidden_units: 4 } }"
    )
    kind = "" if peer == "tzrec" else "model_class: 'WideAndDeep'"
    group = f"feature_groups {{ group_name: 'deep' feature_names: '{names}' }}"
    text = (TZREC if peer == "tzrec" else EASYREC) + more + f"model_config {{ {kind} {group} {body} {config} }}"
    found = convert_text(text, peer)
    load_experiment(found.draft.plain())
    return found


def loss(found):
    tasks = found.draft.model.get("tasks")
    return None if tasks is None else tasks[0].get("loss")


def told(found):
    return [(e.kind, e.path.removeprefix("model_config.")) for e in found.report.entries if "model_config" in e.path]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("binary_cross_entropy {}", None),
        ("binary_cross_entropy { label_smoothing: 0.25 }", {"type": "bce", "label_smoothing": 0.25}),
        ("binary_focal_loss {}", {"type": "focal", "gamma": 2.0, "alpha": 0.5}),
        ("binary_focal_loss { gamma: 1 alpha: 0.25 }", {"type": "focal", "gamma": 1.0, "alpha": 0.25}),
        ("jrc_loss { session_name: 'session' alpha: 0.75 }", {"type": "jrc", "alpha": 0.75, "by": "session_id"}),
    ],
)
def test_losses_of_torcheasyrec(text, expected, convert_text):
    found = converted(convert_text, "tzrec", f"losses {{ {text} }}")
    assert loss(found) == expected
    assert told(found) == []


def test_smoothed_classes(convert_text):
    found = converted(convert_text, "tzrec", "losses { softmax_cross_entropy { label_smoothing: 0.5 } } num_class: 3")
    assert loss(found) == {"type": "cross_entropy", "label_smoothing": 0.5}


def test_a_loss_that_is_not_there_is_lost(convert_text):
    found = converted(convert_text, "tzrec", "losses { pe_mtl_loss { } }")
    assert loss(found) is None
    assert told(found) == [("lost", "losses.pe_mtl_loss")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("loss_type: CLASSIFICATION", None),
        ("loss_type: BINARY_FOCAL_LOSS", {"type": "focal", "gamma": 2.0}),
        (
            "losses { loss_type: BINARY_FOCAL_LOSS binary_focal_loss { gamma: 3 alpha: 0.25 } }",
            {"type": "focal", "gamma": 3.0, "alpha": 0.25},
        ),
        (
            "losses { loss_type: F1_REWEIGHTED_LOSS f1_reweighted_loss { f1_beta_square: 4 } }",
            {"type": "f1", "beta": 2.0},
        ),
        ("loss_type: PAIR_WISE_LOSS", {"type": "pairwise_logistic", "margin": 0.0}),
        (
            "losses { loss_type: PAIRWISE_LOGISTIC_LOSS pairwise_logistic_loss { temperature: 2 session_name: 's' } }",
            {"type": "pairwise_logistic", "by": "s", "temperature": 2.0, "margin": 0.0},
        ),
        (
            "losses { loss_type: PAIRWISE_HINGE_LOSS pairwise_hinge_loss { margin: 2 } }",
            {"type": "pairwise_hinge", "temperature": 1.0, "margin": 2.0},
        ),
        (
            "losses { loss_type: PAIRWISE_FOCAL_LOSS pairwise_focal_loss { gamma: 1 session_name: 's' } }",
            {"type": "pairwise_focal", "by": "s", "temperature": 1.0, "gamma": 1.0},
        ),
        (
            "losses { loss_type: LISTWISE_RANK_LOSS listwise_rank_loss { session_name: 's' } }",
            {"type": "softmax", "by": "s", "temperature": 1.0},
        ),
        (
            "losses { loss_type: JRC_LOSS jrc_loss { session_name: 's' } } num_class: 2",
            {"type": "jrc", "by": "s", "alpha": 0.5},
        ),
    ],
)
def test_losses_of_easyrec(text, expected, convert_text):
    found = converted(convert_text, "easyrec", text)
    assert loss(found) == expected
    assert told(found) == []


def test_several_losses_are_a_sum(convert_text):
    text = (
        "losses { loss_type: CLASSIFICATION weight: 1.0 }"
        " losses { loss_type: PAIRWISE_LOGISTIC_LOSS weight: 0.25 pairwise_logistic_loss { session_name: 's' } }"
    )
    found = converted(convert_text, "easyrec", text)
    pairs = {"type": "pairwise_logistic", "by": "s", "temperature": 1.0, "margin": 0.0}
    assert loss(found) == {
        "type": "sum",
        "losses": [{"loss": {"type": "bce"}}, {"loss": pairs, "weight": 0.25}],
    }
    assert told(found) == []


def test_losses_that_have_no_sum_are_told(convert_text):
    text = "losses { loss_type: CLASSIFICATION } losses { loss_type: JRC_LOSS jrc_loss { session_name: 's' } } num_class: 2"
    found = converted(convert_text, "easyrec", text)
    assert loss(found) is None
    assert told(found) == [("lost", "losses[1].loss_type")]
    assert any("reads another number of outputs than 'bce'" in entry.why for entry in found.report.entries)


def test_a_task_of_values_that_are_mostly_zero(convert_text):
    found = converted(convert_text, "easyrec", "losses { loss_type: ZILN_LOSS }")
    assert found.draft.model["tasks"] == [{"name": "y", "label": "y", "type": "ziln"}]


def test_keys_that_have_no_counterpart_are_told(convert_text):
    text = "losses { loss_type: BINARY_FOCAL_LOSS binary_focal_loss { gamma: 2 ohem_ratio: 0.5 } }"
    assert told(converted(convert_text, "easyrec", text)) == [("lost", "losses.binary_focal_loss.ohem_ratio")]


def test_metrics_of_easyrec(convert_text):
    more = (
        "eval_config { metrics_set { max_f1 {} } metrics_set { precision {} } metrics_set { recall {} }"
        " metrics_set { session_auc { session_id_field: 's' } } metrics_set { recall_at_topk { topk: 3 } } }"
    )
    found = converted(convert_text, "easyrec", "", more)
    session = {"type": "session_auc", "by": "s", "weighting": "plain"}
    assert found.draft.eval["metrics"] == ["max_f1", "precision", "recall", session]
    lost = [e.path for e in found.report.entries if e.kind == "lost"]
    assert lost == ["eval_config.metrics_set[4].recall_at_topk"]


def test_metrics_of_torcheasyrec(convert_text):
    text = (
        "metrics { xauc {} } metrics { grouped_xauc { grouping_key: 'session' max_pairs_per_group: 9 } }"
        " losses { l2_loss {} }"
    )
    found = converted(convert_text, "tzrec", text)
    grouped = {"type": "grouped_xauc", "by": "session_id", "weighting": "plain"}
    assert found.draft.eval["metrics"] == ["xauc", grouped]
    found = converted(convert_text, "tzrec", "metrics { normalized_entropy {} }")
    assert found.draft.eval["metrics"] == ["normalized_entropy"]


def test_metrics_of_training(convert_text):
    text = "train_metrics { auc {} decay_rate: 0.5 decay_step: 10 } train_metrics { grouped_auc { grouping_key: 'session' } }"
    found = converted(convert_text, "tzrec", text)
    grouped = {"type": "gauc", "by": "session_id", "weighting": "plain"}
    assert found.draft.train["metrics"] == {"metrics": ["auc", grouped], "decay": 0.5}
    assert told(found) == [("changed", "train_metrics[0].decay_step")]
    assert math.isclose(load_experiment(found.draft.plain()).train.metrics.decay, 0.5)
