"""What `experiments.yaml` may say, and what is told where it is wrong."""

import pytest

from easyrec.errors import ConfigError
from serving.ab import Experiments, load_experiments

GOOD = """layers:
  - name: ranking
    experiments:
      - name: deep
        variants:
          - name: control
          - name: deep
            parameters:
              rank.model: deep
  - name: diversity
    experiments:
      - name: mmr
        variants:
          - name: a
            white_list: [u1]
          - name: b
            parameters:
              rerank.mmr.lambda: 0.5
"""


def told(tmp_path, text):
    (tmp_path / "experiments.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        load_experiments(tmp_path / "experiments.yaml")
    return {problem.line: problem.message for problem in error.value.problems}


def test_a_parameter_is_set_by_one_layer_alone_and_both_places_are_named(tmp_path):
    for path in ("rank.model", "rank", "rank.model.depth"):
        found = told(tmp_path, GOOD.replace("rerank.mmr.lambda", path))
        assert list(found) == [18]
        assert "'rank.model' is set by layer 'ranking' too" in found[18]
        assert "line 9, layers[0] 'ranking' . experiments[0] 'deep' . variants[1] 'deep'" in found[18]
    load_experiments({"layers": []})


def test_layers_of_other_scenes_and_other_domains_may_set_the_same_parameter():
    def layer(name, scene):
        variants = [{"name": "a"}, {"name": "b", "parameters": {"size": 1}}]
        return {"name": name, "experiments": [{"name": f"e_{name}", "scene": scene, "variants": variants}]}

    load_experiments({"layers": [layer("a", "feed"), layer("b", ["shop", "search"])]})
    load_experiments({"domains": [{"name": n, "share": 0.5, "layers": [layer(n, None)]} for n in "ab"]})
    with pytest.raises(ConfigError, match="set by layer 'a' too"):
        load_experiments({"layers": [layer("a", "feed"), layer("b", ["shop", "feed"])]})
    with pytest.raises(ConfigError, match="set by layer 'a' too"):
        load_experiments({"layers": [layer("a", "feed"), layer("b", None)]})


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("name: deep\n        variants", "name: deep\n        shar: 1\n        variants", 5, "did you mean 'share'?"),
        ("name: mmr", "name: deep", 12, "two experiments are called 'deep'"),
        ("name: diversity", "name: ranking", 10, "two layers are called 'ranking'"),
        ("name: mmr", "name: mmr\n        share: 1.5", 13, "must be less than or equal to 1"),
        ("name: mmr", "name: mmr\n        buckets: [9, 10000]", 13, "must be less than 10000"),
        ("name: mmr", "name: mmr\n        buckets: [9, 5]", 13, "9 lies behind 5"),
        ("name: mmr", "name: mmr\n        buckets: [0, 5]\n        share: 1", 13, "give one of them"),
        ("name: mmr", "name: mmr\n        when: age >= 'x'", 13, "there are no texts in expressions"),
        ("name: mmr", "name: mmr\n        when: agee >=", 13, "column"),
        ("name: mmr", "name: mmr\n        start: soon", 13, "must be a date or a time"),
        ("name: mmr", "name: mmr\n        start: 2026-02-01\n        end: 2026-01-01", 14, "must be later than 'start'"),
        ("name: mmr", "name: mmr\n        control: c", 13, "there is no variant 'c'; known: a, b"),
        ("name: mmr", "name: mmr\n        state: paused", 13, "'running' or 'stopped'"),
        ("- name: a", "- name: b", 14, ""),
        ("- name: a", "- name: a/b", 14, "letters, digits"),
        ("rerank.mmr.lambda", "rerank..lambda", 18, "must be a dotted path"),
        ("rerank.mmr.lambda: 0.5", "rerank.mmr.lambda: 0.5\n              rerank: x", 18, "lies inside 'rerank'"),
        ("name: b\n", "name: b\n            white_list: [u1]\n", 17, "on the list of variant 'a' too"),
        ("name: mmr", "name: mmr\n        guardrails: [{metric: eror_rate, max: 1}]", 13, "there is no metric 'eror_rate'"),
        ("name: mmr", "name: mmr\n        guardrails: [{metric: ctr}]", 13, "needs a bound"),
        ("layers:", "metrics: [{name: ctr, of: click, per: click}]\nlayers:", 1, "the ratio is always 1"),
        ("layers:", "domains: [{name: a, layers: []}]\nlayers:", 2, "put them into a domain"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_line(tmp_path, old, new, line, message):
    found = told(tmp_path, GOOD.replace(old, new, 1))
    if message:
        assert message in found[line]
    else:
        assert "two variants are called 'b'" in "".join(found.values())


def rooms(*keys):
    variants = [{"name": "a"}, {"name": "b"}]
    return {
        "layers": [
            {"name": "l", "experiments": [{"name": f"e{i}", "variants": variants, **k} for i, k in enumerate(keys)]}
        ]
    }


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ([{"share": 0.7}, {"share": 0.4}], "which is more than 1"),
        ([{"share": 0.7}, {}], "needs 'share' or 'buckets'"),
        ([{"share": 0.7}, {"buckets": [8000, 9000]}], "needs 'buckets', as 'e1' beside it"),
        ([{"buckets": [0, 5000]}, {"buckets": [5000, 9000]}], "overlaps with 'e0'"),
        ([{"share": 0.7}, {"share": 0.00001}], "is no bucket"),
    ],
)
def test_rooms_of_a_layer_must_fit(keys, message):
    with pytest.raises(ConfigError, match=message):
        load_experiments(rooms(*keys))


def test_a_unit_is_on_lists_of_one_experiment_of_a_layer_and_of_one_domain():
    variants = [{"name": "a", "white_list": ["u1"]}]
    experiments = [{"name": n, "share": 0.5, "variants": variants} for n in ("x", "y")]
    with pytest.raises(ConfigError, match="in one experiment of a layer"):
        load_experiments({"layers": [{"name": "l", "experiments": experiments}]})
    domains = [
        {"name": e["name"], "share": 0.5, "layers": [{"name": f"l{e['name']}", "experiments": [e]}]}
        for e in experiments
    ]
    with pytest.raises(ConfigError, match="in one domain"):
        load_experiments({"domains": domains})


def test_overrides_are_laid_over_the_file(tmp_path):
    (tmp_path / "experiments.yaml").write_text(GOOD, encoding="utf-8")
    found = Experiments.load(tmp_path / "experiments.yaml", ["layers[ranking].experiments[deep].ramp=0"])
    assert "ranking" not in found.assign("u2").variants
