"""`engine.yaml`: what is wrong with it is told with its line, and parameters reach every stage."""

import json

import pytest
import yaml

from easyrec.errors import ConfigError
from serving.ab import Experiments
from serving.engine.config import load_engine_config

GOOD = """\
catalogue: {source: {path: items.parquet}, key: item_id}
models:
  - {name: tower, bundle: t}
  - {name: ranker, bundle: r}
scenes:
  - name: feed
    recall:
      - {type: vector, name: ann, model: tower, items: v}
      - {type: popular, count: 50}
      - {type: cold_start, name: cold}
    merge: {count: 200, quotas: {cold: 20}}
    filters: [{type: seen}, {type: rule, keep: "stock > 0"}]
    prerank: {model: tower, items: v}
    rank: {model: ranker, score: "ctr * cvr"}
    rerank: [{type: mmr, by: cate, lambda: 0.7}]
    fallback: popular
"""


def told(tmp_path, text):
    path = tmp_path / "engine.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_engine_config(path)
    return str(caught.value)


@pytest.mark.parametrize(
    ("before", "after", "line", "expected"),
    [
        ("fallback: popular", "fallbck: popular", 16, "did you mean 'fallback'"),
        ("fallback: popular", "fallback: populer", 16, "did you mean 'popular'"),
        ("fallback: popular", "fallback: cold", 16, "those that may: popular"),
        ("type: popular", "type: populr", 9, "did you mean 'popular'"),
        ("quotas: {cold: 20}", "quotas: {could: 20}", 11, "did you mean 'cold'"),
        ("quotas: {cold: 20}", "quotas: {cold: 300}", 11, "no more than 'count', 200, stay"),
        ("rank: {model: ranker", "rank: {model: rankr", 14, "did you mean 'ranker'"),
        ("name: ann, model: tower", "name: ann, model: towr", 8, "did you mean 'tower'"),
        ("name: cold}", "name: ann}", 10, "two of them are called 'ann'"),
        ('keep: "stock > 0"', 'keep: "stock >"', 12, "keep"),
        ("by: cate, lambda: 0.7", "by: cate, lambda: 1.7", 15, "less than or equal to 1"),
        ("by: cate, ", "", 15, "what makes items alike"),
        ('score: "ctr * cvr"', "score: \"open('x')\"", 14, "score"),
        ("count: 50}", "count: 50, weight: -1}", 9, "greater than 0"),
        ("name: feed", "name: feed/../x", 6, "name"),
        ("type: mmr, by: cate, lambda: 0.7", "type: slots, slots: [{positions: [0], source: colt}]", 15, "mean 'cold'"),
    ],
)
def test_a_mistake_is_told_with_its_line(tmp_path, before, after, line, expected):
    assert before in GOOD
    found = told(tmp_path, GOOD.replace(before, after, 1))
    assert f"line {line}" in found
    assert expected in found


def test_several_processes_need_a_history_that_they_share(tmp_path):
    assert "take one that is shared" in told(tmp_path, GOOD + "processes: 2\n")


def test_a_secret_is_not_shown(tmp_path, monkeypatch):
    found = told(tmp_path, GOOD + "auth: {tokens: [short-secret]}\n")
    assert "short-secret" not in found


def test_parameters_reach_every_stage():
    config = load_engine_config(yaml.safe_load(GOOD))
    scene = config.scenes[0].with_parameters(
        {
            "size": 5,
            "recall.ann.count": 7,
            "recall.popular.weight": 2,
            "merge.quotas.cold": 3,
            "filters.seen.within_s": 60,
            "prerank.count": 9,
            "rank.score": "ctr",
            "rank.version": "next",
            "rerank.mmr.lambda": 0.1,
            "fallback": None,
        }
    )
    assert (scene.size, scene.recall[0].count, scene.recall[1].weight) == (5, 7, 2.0)
    assert (scene.merge.quotas, scene.filters[0].within_s, scene.prerank.count) == ({"cold": 3}, 60.0, 9)
    assert (scene.rank.score, scene.rank.version, scene.rerank[0].balance) == ("ctr", "next", 0.1)
    assert config.scenes[0].rerank[0].balance == 0.7
    assert scene.recall[0].model == "tower"


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("recall.anm.count", 1, "did you mean 'ann'"),
        ("rank.scor", "ctr", "did you mean 'score'"),
        ("rerank.mmr.lambda", 2, "less than or equal"),
        ("recall.popular.count.x", 1, "has a value, and nothing inside of it"),
        ("rank.score", "import os", "score"),
    ],
)
def test_a_wrong_parameter_is_told(path, value, expected):
    config = load_engine_config(yaml.safe_load(GOOD))
    with pytest.raises(ConfigError, match=expected):
        config.scenes[0].with_parameters({path: value})


def test_a_variant_that_gives_no_scene_is_told_with_its_line(tmp_path):
    (tmp_path / "experiments.yaml").write_text(
        "layers:\n  - name: ranking\n    experiments:\n      - name: deep\n        scene: feed\n        variants:\n"
        "          - {name: control}\n          - {name: treatment, parameters: {rank.model: rankr}}\n"
    )
    found = told(tmp_path, GOOD + "experiments: experiments.yaml\n")
    assert "rankr" in found
    assert "experiments.yaml" in found
    assert "line 8" in found


def test_what_stops_experiments_within_the_file_lies_beside_it(tmp_path):
    (tmp_path / "engine.yaml").write_text(
        GOOD
        + "experiments:\n  layers:\n    - name: ranking\n      experiments:\n        - name: deep\n          variants:\n"
        "            - {name: control}\n            - {name: treatment, parameters: {size: 5}}\n"
    )
    experiments = Experiments.load(load_engine_config(tmp_path / "engine.yaml").experiments)
    experiments.stop("deep")
    assert (tmp_path / "ab_state").is_dir()


def test_a_config_survives_being_handed_to_another_process():
    config = load_engine_config(yaml.safe_load(GOOD))
    again = type(config).model_validate(config.model_dump(mode="json"))
    assert again.scenes[0].rerank[0].balance == 0.7
    assert again.scenes == config.scenes


def test_further_processes_serve_models_as_one_process_does(tmp_path, monkeypatch):
    from serving.engine import run
    from serving.engine.config import EngineConfig
    from serving.engine.models import engine_models
    from serving.server.supervisor import Supervisor

    content = yaml.safe_load(GOOD) | {"port": 0, "processes": 2}
    content["history"] = {"type": "sqlite", "path": str(tmp_path / "history.db")}
    config, told = load_engine_config(content), []
    monkeypatch.setattr(run, "check_models", lambda _: None)  # there are no bundles
    monkeypatch.setattr(Supervisor, "run", lambda self: told.append(json.loads(self._order)))
    run.serve_engine(config)
    (order,) = told
    there = engine_models(EngineConfig.model_validate(order["config"]))  # as a worker's service does
    assert there.models == engine_models(config).models
    assert {model.bad_values for model in there.models} == {"default"}
