"""What is wrong with a search is said before anything trains."""

import pytest

from easyrec.errors import ConfigError, TuneError
from easyrec.tune.api import tune
from easyrec.tune.search import load_search


def refused(config, given=("train", "valid"), **settings):
    with pytest.raises(ConfigError) as caught:
        load_search(config, {k.replace("__", "."): v for k, v in settings.items()}, given=given)
    return str(caught.value)


def test_a_corner_that_is_no_valid_config_is_told_with_its_line_and_its_values(files):
    file = files(model={"type": "fm", "embedding_dim": {"choice": [4, -1]}})
    line = next(n for n, text in enumerate(file.read_text().splitlines(), 1) if text.strip() == "- -1")
    with pytest.raises(ConfigError) as caught:
        load_search(file)
    told = str(caught.value)
    assert f"{file}: 1 problem" in told
    assert f"line {line}  model . embedding_dim" in told
    assert "must be greater than 0, but is -1\n           at model.embedding_dim = -1" in told


def test_the_end_of_a_range_is_a_corner(config):
    told = refused(config, model={"type": "deepfm", "embedding_dim": 4, "dropout": {"uniform": [0.0, 1.0]}})
    assert "must be less than 1, but is 1.0\n           at model.dropout = 1.0" in told


def test_corners_inside_of_an_option_are_tried(config):
    inside = {"type": "deepfm", "embedding_dim": 4, "hidden": {"choice": [[8], []]}}
    told = refused(config, model={"choice": [{"type": "fm", "embedding_dim": 4}, inside]})
    assert "at model = deepfm, model[deepfm].hidden = []" in told


def test_what_only_the_model_knows_is_found_too(config):
    """Unequal dims of fields are found where the model is built."""
    config["features"][0]["embedding_dim"] = {"choice": [4, 8]}
    config["features"][1]["embedding_dim"] = 4
    assert "at features[user_id].embedding_dim = 8" in refused(config)


def test_a_metric_that_is_not_measured_is_told_with_those_that_are(config):
    told = refused(config, tune__objectives=["gauk"])
    assert "'gauk' is not evaluated" in told
    assert "evaluated: auc, logloss" in told
    assert "measured besides: latency_ms, parameters, bundle_mb" in told


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tune__objectives": ["auc", "parameters"], "tune__pruner": "median"}, "cannot be compared before they end"),
        ({"tune__objectives": ["parameters"]}, "at least one must be a metric"),
        ({"tune__objectives": ["auc", "auc"]}, "'auc' is listed twice"),
        ({"tune__sampler": "grid"}, "a grid has no end here: give it a 'step'"),
        ({"tune__sampler": "tpa"}, "unknown type 'tpa'; did you mean 'tpe'?"),
        ({"tune__workers": 2}, "rows in memory are of one process"),
        ({"tune__trials": 5}, "unknown key"),
        ({"tune__seeds": 2, "train__seed": {"int": [1, 9]}}, "train.seed is searched itself"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_a_section_that_cannot_work_is_refused(config, settings, message):
    told = refused(config, **settings)
    assert message in told


def test_a_space_of_no_kind_is_told_how_one_is_written(config):
    misspelt = {"type": "lazy_adam", "lr": {"loguniform": [0.1, 1.0]}}
    told = refused(config, train__sparse_optimizer=misspelt, model__embedding_dim={"choice": [2, 4]})
    assert "must be a number, but is a mapping\n" in told
    assert "a space is written as choice, uniform, log or int" in told


def test_a_password_is_not_told(config):
    config["tune"]["study"] = "mysql://u:secret@h/d"
    told = refused(config)
    assert "must start with postgresql://" in told
    assert "secret" not in told


def test_trials_need_rows_to_be_compared_on(config):
    assert "trials are compared on data.valid, and there is none" in refused(config, given=("train",))


def test_a_space_that_an_override_fixes_is_none(config):
    config["model"]["embedding_dim"] = {"int": [2, 4]}
    search = load_search(config, {"train.sparse_optimizer.lr": 0.1}, given=("train", "valid"))
    assert [p.name for p in search.parameters] == ["model.embedding_dim"]


def test_a_space_in_a_features_file_is_searched(tmp_path, files):
    (tmp_path / "features.yaml").write_text(
        "features:\n"
        '  - {type: id, name: user_id, expression: "user:user_id", num_buckets: 40, embedding_dim: {choice: [4]}}\n'
    )
    search = load_search(files(features="features.yaml"))
    assert "features[user_id].embedding_dim" in [p.name for p in search.parameters]


def test_a_folder_that_holds_something_else_is_left_alone(config, data, tmp_path):
    (tmp_path / "config.yaml").write_text("name: other")
    for overwrite in (False, True):
        with pytest.raises(TuneError, match=r"holds no study, but config\.yaml"):
            tune(config, data=data, run_dir=tmp_path, overwrite=overwrite)
    assert (tmp_path / "config.yaml").read_text() == "name: other"
