"""Configs in the peers' formats become experiments that load; the report has exactly what did not fit."""

import shutil
from pathlib import Path

import pytest

from easyrec.check import build
from easyrec.config import load_experiment
from easyrec.convert import convert
from feature_generator.config import read_yaml

HERE = Path(__file__).parent
CONFIGS = sorted((HERE / "configs").iterdir())
ASSETS = HERE.parents[0] / "golden" / "assets"

HASH, SIDES, CUT, PLACES = (
    "ids are hashed",
    "EasyRec does not say",
    "their documents do not say",
    "holds features alone",
)
WHOLE = {
    "er_bst.config": {HASH, SIDES},
    "er_dcn.config": {HASH, SIDES},
    "er_deepfm.config": {HASH, SIDES},
    "er_din.config": {HASH, SIDES},
    "er_esmm.config": {HASH, SIDES},
    "er_fm.config": {HASH, SIDES},
    "er_wide.config": {HASH, SIDES},
    "fg.json": {HASH, PLACES},
    "fg_rtp.json": {HASH, PLACES},
    "odd.config": {HASH},
    "tz_din.config": {HASH, CUT},
    "tz_dssm.config": {HASH},
    "tz_encoded.config": {HASH, CUT},
    "tz_every_type.config": {HASH, CUT},
    "tz_one_encoder.config": {HASH, CUT},
    "tz_tasks.config": {HASH},
    "tz_text.config": {HASH},
}
"""What is said of whole files."""

ADAM = "train_config.optimizer_config[1].adam_optimizer"
REPORTED = {
    "er_bst.config": [
        ("check", "feature_config.features[2].expression", 8),
        ("changed", "model_config.multi_tower", 19),
        ("changed", "model_config.multi_tower", 19),
        ("changed", "model_config.multi_tower", 19),
        ("changed", "model_config.multi_tower.bst_towers", 20),
    ],
    "er_dcn.config": [("lost", "model_config.dcn.final_dnn", 13)],
    "er_deepfm.config": [
        ("dropped", "model_dir", 3),
        ("changed", "train_config.optimizer_config.adam_optimizer", 9),
        ("dropped", "train_config.sync_replicas", 16),
        ("dropped", "data_config.prefetch_size", 35),
        ("dropped", "data_config.auto_expand_input_fields", 37),
        ("dropped", "feature_config.features[3].max_partitions", 44),
        ("changed", "model_config.deepfm.dnn.dropout_ratio", 53),
        ("changed", "model_config.deepfm", 53),
        ("lost", "model_config.deepfm.final_dnn", 54),
        ("changed", "model_config.deepfm.wide_output_dim", 55),
        ("lost", "model_config.embedding_regularization", 58),
    ],
    "er_din.config": [
        ("check", "feature_configs[4]", 25),
        ("changed", "model_config.seq_att_groups", 35),
        ("changed", "model_config.multi_tower", 40),
        ("changed", "model_config.multi_tower.din_towers.dnn", 42),
    ],
    "er_esmm.config": [
        ("check", "train_input_path", 1),
        ("lost", "kafka_train_input", 1),
        ("lost", "model_config.esmm.groups.dnn", 9),
        ("check", "model_config.esmm", 9),
    ],
    "er_fm.config": [("lost", "feature_config.features[1].sequence_combiner", 6)],
    "er_wide.config": [
        ("changed", "train_config.optimizer_config[0]", 3),
        ("changed", ADAM, 4),
        ("lost", f"{ADAM}.learning_rate.cosine_decay_learning_rate.hold_base_rate_steps", 5),
        ("changed", "feature_config.features[1].combo_input_seps", 20),
        ("check", "feature_config.features[2].expression", 21),
        ("changed", "model_config.wide_and_deep.dnn.activation", 28),
    ],
    "fg.json": [
        ("dropped", "features[0].value_type", 3),
        ("dropped", "features[2].value_type", 8),
        ("dropped", "features[4].value_type", 12),
        ("dropped", "features[5].matchType", 14),
        ("dropped", "features[5].value_type", 15),
        ("dropped", "features[6].is_gbk_input", 17),
        ("dropped", "features[6].is_gbk_output", 17),
        ("dropped", "features[7].value_type", 19),
        ("dropped", "features[7].operator_lib_file", 19),
        ("dropped", "features[7].is_op_thread_safe", 19),
    ],
    "fg_rtp.json": [
        ("changed", "features[0].use_embedding_variable", 4),
        ("dropped", "features[0].group", 4),
        ("changed", "features[1].combiner", 6),
        ("dropped", "features[1].group", 6),
        ("dropped", "features[1].is_multi", 6),
        ("dropped", "features[2].group", 10),
        ("dropped", "features[3].combiner", 12),
        ("dropped", "features[4].group", 14),
        ("lost", "features[4].extra_combo_info", 15),
        ("changed", "features[5].sequence_column", 16),
        ("changed", "features[5].sequence_table", 16),
        ("dropped", "features[5].feature_name", 17),
        ("lost", "features[5].default_value", 17),
        ("lost", "features[5].features[0].normalizer", 20),
        ("dropped", "features[6].sequence_table", 23),
        ("dropped", "separator", 31),
        ("dropped", "model_type", 33),
    ],
    "odd.config": [("check", "model_config", 12), ("lost", "[acme.extension]", 13)],
    "tz_din.config": [
        ("dropped", "model_dir", 4),
        ("dropped", "train_config.use_tensorboard", 17),
        ("dropped", "data_config.num_workers", 28),
        ("dropped", "feature_configs[1].id_feature.fg_value_type", 41),
    ],
    "tz_dssm.config": [
        ("check", "data_config.label_fields", 3),
        ("lost", "data_config.negative_sampler.input_path", 7),
        ("changed", "data_config.negative_sampler.num_sample", 7),
        ("lost", "model_config.metrics.auc", 17),
    ],
    "tz_encoded.config": [
        ("lost", "train_config.sparse_optimizer.rowwise_adagrad_optimizer.weight_decay", 4),
        ("lost", "model_config.dcn_v2.final", 21),
        ("lost", "model_config.metrics[1].recall_at_k", 23),
    ],
    "tz_every_type.config": [
        ("dropped", "model_dir", 3),
        ("dropped", "feature_configs[13].custom_feature.operator_lib_file", 32),
        ("lost", "model_config.wide_and_deep.final", 49),
        ("changed", "model_config.wide_and_deep.wide_embedding_dim", 49),
    ],
    "tz_one_encoder.config": [
        ("lost", "model_config.feature_groups[1].sequence_groups[1]", 20),
        ("lost", "model_config.feature_groups[1].sequence_encoders[0].pooling_encoder", 21),
        ("dropped", "model_config.summaries_set", 24),
        ("lost", "model_config.some_model", 25),
    ],
    "tz_tasks.config": [
        ("lost", "train_input_path", 1),
        ("lost", "eval_input_path", 2),
        ("dropped", "feature_configs[1].id_feature.num_buckets", 5),
        ("lost", "feature_configs[1].id_feature.init_fn", 6),
        ("lost", "feature_configs[1].id_feature.use_mask", 6),
        ("dropped", "feature_configs[2].raw_feature.embedding_dim", 7),
        ("lost", "model_config.feature_groups.embedding_name_suffix", 10),
        ("lost", "model_config.mmoe.gate_mlp", 13),
        ("lost", "model_config.variational_dropout", 23),
    ],
    "tz_text.config": [],
}
"""What is said of single keys, in the order of the source."""


@pytest.fixture(params=[pytest.param(path, id=path.name) for path in CONFIGS])
def source(request):
    return request.param


def test_the_report_has_exactly_what_did_not_fit(source):
    entries = convert(source).report.entries
    assert [(e.kind, e.path, e.line) for e in entries if e.path] == REPORTED[source.name]
    whole = [e for e in entries if not e.path]
    assert {part for part in (HASH, SIDES, CUT, PLACES) for e in whole if e.why.startswith(part)} == WHOLE[source.name]
    assert len(whole) == len(WHOLE[source.name])


def test_the_yaml_is_the_experiment_and_the_model_is_built(source, tmp_path):
    shutil.copytree(ASSETS, tmp_path / "assets")
    found = convert(source)
    (tmp_path / "out.yaml").write_text(found.yaml, encoding="utf-8")
    assert read_yaml(tmp_path / "out.yaml").data == found.draft.plain()
    experiment = load_experiment(tmp_path / "out.yaml")
    assert build(experiment).dense_parameters > 0


def test_the_schema_of_editors_agrees(source, editors_schema, schema_validator):
    found = convert(source)
    errors = schema_validator(editors_schema).iter_errors(found.draft.plain())
    assert [f"{error.json_path}: {error.message[:200]}" for error in errors] == []


def test_a_comment_stands_for_every_entry_that_is_about_something(source):
    found = convert(source)
    comments = [line.strip() for line in found.yaml.splitlines() if line.strip().startswith("#")]
    targets = [entry for entry in found.report.entries if entry.target is not None]
    heads = [line for line in comments if line.startswith(("# lost:", "# changed:", "# check:"))]
    assert len(heads) == len(targets)
