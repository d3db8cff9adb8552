"""Optimizers, schedules, rhythm and data of both peers."""

import pytest

from easyrec.config.train import TrainConfig
from easyrec.train.schedules import Rate


def tzrec(convert_text, train="", data="fg_mode: FG_DAG dataset_type: ParquetDataset label_fields: 'y'"):
    return convert_text(f"train_input_path: 'x'\ntrain_config {{ {train} }}\ndata_config {{ {data} }}", "tzrec")


def easyrec(convert_text, optimizer="", train="", data=""):
    return convert_text(
        f"train_config {{ {f'optimizer_config {{ {optimizer} }}' if optimizer else ''} {train} }}"
        f" data_config {{ label_fields: 'y' {data} }}",
        "easyrec",
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sgd_optimizer { lr: 0.1 }", {"type": "sgd", "lr": 0.1}),
        ("adagrad_optimizer { }", {"type": "adagrad", "lr": 0.002}),
        ("adam_optimizer { lr: 0.1 beta2: 0.99 }", {"type": "lazy_adam", "lr": 0.1, "betas": [0.9, 0.99]}),
        ("rowwise_adagrad_optimizer { lr: 0.1 }", {"type": "rowwise_adagrad", "lr": 0.1}),
        (
            "ftrl_optimizer { lr: 0.1 l1_reg: 0.5 l2_reg: 2 ftrl_beta: 3 }",
            {"type": "ftrl", "lr": 0.1, "l1": 0.5, "l2": 2.0, "beta": 3.0},
        ),
        ("lamb_optimizer { lr: 0.1 }", {"type": "lazy_adam", "lr": 0.1}),
    ],
)
def test_optimizers_of_tables(text, expected, convert_text):
    found = tzrec(convert_text, f"sparse_optimizer {{ {text} }}")
    assert found.draft.train == {"sparse_optimizer": expected}
    TrainConfig(**found.draft.train)
    lost = [e.path for e in found.report.entries if e.path.startswith("train_config")]
    assert lost == (["train_config.sparse_optimizer.lamb_optimizer"] if "lamb" in text else [])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sgd_optimizer { lr: 0.1 momentum: 0.5 }", {"type": "sgd", "lr": 0.1, "momentum": 0.5}),
        ("adamw_optimizer { lr: 0.1 weight_decay: 0.2 }", {"type": "adamw", "lr": 0.1, "weight_decay": 0.2}),
        ("adam_optimizer { lr: 0.1 } constant_learning_rate {}", {"type": "adam", "lr": 0.1}),
    ],
)
def test_optimizers_of_layers(text, expected, convert_text):
    found = tzrec(convert_text, f"dense_optimizer {{ {text} }}")
    assert found.draft.train == {"dense_optimizer": expected}
    TrainConfig(**found.draft.train)


def rates(found, steps, section="dense_optimizer"):
    config = getattr(TrainConfig(**found.draft.train), section)
    return [Rate(config.lr, config.schedule, 100).at(step) for step in steps]


def test_a_manual_schedule_changes_where_theirs_does(convert_text):
    text = "adam_optimizer { lr: 0.8 } manual_step_learning_rate { schedule_sizes: [2, 4] learning_rates: [0.4, 0.1] }"
    found = tzrec(convert_text, f"dense_optimizer {{ {text} }}")
    # theirs: the rate behind bisect_left(sizes, step), so the named step itself still has the old one
    assert rates(found, range(7)) == pytest.approx([0.8, 0.8, 0.8, 0.4, 0.4, 0.1, 0.1])
    text = (
        "adam_optimizer { learning_rate { manual_step_learning_rate { initial_learning_rate: 0.8"
        " schedule { step: 2 learning_rate: 0.4 } schedule { step: 4 learning_rate: 0.1 } } } }"
    )
    # TensorFlow's: from the named step on
    assert rates(easyrec(convert_text, text), range(6)) == pytest.approx([0.8, 0.8, 0.4, 0.4, 0.1, 0.1])


def test_a_schedule_without_a_rate_is_none(convert_text):
    text = "adam_optimizer { lr: 0 } manual_step_learning_rate { schedule_sizes: 2 learning_rates: 0.4 }"
    assert "schedule" not in tzrec(convert_text, f"dense_optimizer {{ {text} }}").draft.train["dense_optimizer"]


def test_an_exponential_schedule(convert_text):
    text = "exponential_decay_learning_rate { decay_size: 2 decay_factor: 0.5 min_learning_rate: 0.3 }"
    found = tzrec(convert_text, f"dense_optimizer {{ adam_optimizer {{ lr: 0.8 }} {text} }}")
    assert rates(found, range(7)) == pytest.approx([0.8, 0.8, 0.4, 0.4, 0.3, 0.3, 0.3])


def test_a_cosine_schedule(convert_text):
    text = (
        "adam_optimizer { learning_rate { cosine_decay_learning_rate { learning_rate_base: 0.8 total_steps: 10"
        " warmup_steps: 0 } } }"
    )
    assert rates(easyrec(convert_text, text), [0, 5, 10]) == pytest.approx([0.8, 0.4, 0.0])


def test_a_moving_average_of_dense_parameters(convert_text):
    found = tzrec(convert_text, "dense_optimizer { adam_optimizer { lr: 0.8 } ema { decay: 0.9 } }")
    assert found.draft.train["ema"] == {"decay": 0.9}
    found = tzrec(convert_text, "dense_optimizer { adam_optimizer { lr: 0.8 } ema {} }")
    assert found.draft.train["ema"] == {"decay": 0.999}
    assert [e for e in found.report.entries if e.path.startswith("train_config")] == []


def test_a_schedule_by_epochs_is_lost(convert_text):
    text = "exponential_decay_learning_rate { decay_size: 2 by_epoch: true }"
    found = tzrec(convert_text, f"dense_optimizer {{ adam_optimizer {{ lr: 0.8 }} {text} }}")
    assert rates(found, [0, 50]) == [0.8, 0.8]
    paths = [(e.kind, e.path) for e in found.report.entries]
    assert ("lost", "train_config.dense_optimizer.exponential_decay_learning_rate") in paths


def test_easyrec_adagrad_starts_as_tensorflows(convert_text):
    found = easyrec(
        convert_text, "adagrad_optimizer { learning_rate { constant_learning_rate { learning_rate: 0.5 } } }"
    )
    expected = {"type": "adagrad", "lr": 0.5, "initial_accumulator": 0.1}
    assert found.draft.train == {"sparse_optimizer": expected, "dense_optimizer": expected}


def test_easyrec_tables_have_their_own_rate(convert_text):
    text = "adam_optimizer { learning_rate { constant_learning_rate { learning_rate: 0.5 } } }"
    found = easyrec(convert_text, text + " embedding_learning_rate_multiplier: 4 use_moving_average: true")
    assert found.draft.train["sparse_optimizer"]["lr"] == 2.0
    assert found.draft.train["dense_optimizer"]["lr"] == 0.5
    assert found.draft.train["ema"] == {"decay": 0.9999}


def test_rhythm_and_clipping(convert_text):
    found = tzrec(
        convert_text,
        "num_steps: 9 save_checkpoints_epochs: 2 keep_checkpoint_max: 3 log_step_count_steps: 7 mixed_precision: 'BF16'"
        " grad_clipping { clipping_type: 'value' max_gradient: 2 }",
    )
    assert found.draft.train == {
        "steps": 9,
        "evaluate_every": {"epochs": 2},
        "checkpoint": {"every": {"epochs": 2}, "keep": 3},
        "log_every": 7,
        "precision": "bf16",
        "grad_clip": {"value": 2.0},
    }
    found = easyrec(convert_text, train="save_checkpoints_secs: 60 gradient_clipping_by_norm: 2 num_steps: 5")
    assert found.draft.train == {"steps": 5, "checkpoint": {"every": {"seconds": 60}}, "grad_clip": {"norm": 2.0}}


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("", "encoded"),
        ("fg_encoded: false", None),
        ("fg_encoded: true", "encoded"),
        ("fg_mode: FG_NONE", "encoded"),
        ("fg_mode: FG_NORMAL", None),
        ("fg_mode: FG_DAG fg_encoded: true", None),
        ("fg_mode: FG_BUCKETIZE", None),
    ],
)
def test_what_the_columns_hold(text, mode, convert_text):
    found = tzrec(convert_text, data=f"dataset_type: ParquetDataset label_fields: 'y' {text}")
    assert found.draft.data.get("fg") == mode
    lost = [e.path for e in found.report.entries if e.kind == "lost"]
    assert lost == (["data_config.fg_mode"] if "BUCKETIZE" in text else [])


def test_a_piece_without_data_has_raw_columns_and_a_place_for_its_data(convert_text):
    found = convert_text("feature_configs { id_feature { feature_name: 'a' expression: 'user:b' num_buckets: 3 } }")
    assert found.draft.data["train"] == {"type": "parquet", "path": "data/train/*.parquet"}
    assert "fg" not in found.draft.data
    told = [(entry.kind, entry.path) for entry in found.report.entries if entry.path]
    assert told == [("check", path) for path in ("train_input_path", "data_config", "data_config", "model_config")]


def test_parquet_of_easyrec_under_its_other_name(convert_text):
    text = "parquet_train_input: 'a/*.parquet' parquet_eval_input: 'b/*.parquet' data_config { input_type: ParquetInputV2 }"
    found = convert_text(text, "easyrec").draft.data
    assert found["train"] == {"type": "parquet", "path": "a/*.parquet"}
    assert found["valid"] == {"type": "parquet", "path": "b/*.parquet"}


def test_csv_of_torcheasyrec(convert_text):
    fields = (
        "input_fields { input_name: 'a' input_type: INT64 } input_fields { input_name: 'b' input_type: ARRAY_INT64 }"
    )
    found = tzrec(convert_text, data=f"dataset_type: CsvDataset delimiter: '\\001' label_fields: 'y' {fields}")
    assert found.draft.data["train"] == {
        "type": "csv",
        "path": "x",
        "separator": "\x01",
        "columns": ["a", "b"],
        "types": {"a": "int64"},
    }
    text = "with_header: true input_fields_str: 'a:BIGINT;b:STRING'"
    found = tzrec(convert_text, data=f"dataset_type: CsvDataset label_fields: 'y' {text}")
    assert found.draft.data["train"] == {"type": "csv", "path": "x", "types": {"a": "int64", "b": "string"}}


def test_an_environment_variable_is_told(convert_text):
    found = convert_text(
        "train_input_path: 'a/${DAY}/b'\ndata_config { dataset_type: ParquetDataset label_fields: 'y' }", "tzrec"
    )
    assert any("${DAY} is read from the environment" in entry.why for entry in found.report.entries)
