"""What seems to be noise is measured once more, where less hides what it is worth."""

import json

import numpy as np
import pytest

import easyrec
from easyrec.config.experiment import experiment_of
from easyrec.config.select import SelectConfig
from easyrec.tune.select.costs import Costs
from easyrec.tune.select.decide import Decision, family_name
from easyrec.tune.select.measured import Measured
from easyrec.tune.select.null import Null
from easyrec.tune.select.reduced import Reduction
from easyrec.tune.select.second_look import SecondLook, decide, doubted
from easyrec.tune.select.units import units_of
from feature_generator.config import Document

NAMES = ["cross", "age", "age_again", "weak", "weak_again", "few", "many"]
MODEL = {"type": "deepfm", "embedding_dim": 4, "hidden": [4]}
TWINS = {("age", "age_again"): 1.0, ("weak", "weak_again"): 1.0}
SIZES = dict.fromkeys(NAMES, 1.0)
NULL = Null({f"copy_{i}": 0.001 * i for i in range(-10, 11)}, {f"copy_{i}": 1.0 for i in range(-10, 11)}, 0.99)


@pytest.fixture
def decision():
    """A cross is worth much; of all others noise alone seems to be worth more than copies mostly are."""
    features = [{"type": "id", "name": name, "expression": f"user:{name}", "num_buckets": 9} for name in NAMES]
    document = Document.of({"data": {"labels": ["click"]}, "features": features, "model": MODEL})
    reduction = Reduction(document, units_of(experiment_of(document), SelectConfig()))
    worth = dict(zip(NAMES, [0.2, -0.001, -0.003, -0.001, 0.002, -0.002, 0.003], strict=True))
    joint = {family_name(pair): -0.001 for pair in TWINS}
    measured = Measured("permutation", "drop of auc", worth, {}, joint)
    made = Decision(SelectConfig(), reduction, measured, dict.fromkeys([*NAMES, *joint], 0.01), TWINS, Costs({}, {}))
    made.without_noise()
    assert set(reduction.removed) == set(NAMES[1:])
    return made


def look_at(decision):
    return doubted(decision, NULL, SIZES, lambda units: {unit: ["cross"] for unit in units if unit == "age"})


def seen(**worth):
    return Measured("permutation", "drop of auc", worth)


def test_what_others_tell_and_what_may_be_worth_something_is_asked_once(decision):
    look = look_at(decision)
    assert look.asked == ["age", "weak", "many"]  # `few` is worth less than copies, and nothing hides it
    assert look.aside == ["cross"]
    assert set(look.removed(decision)) == {"few", "age_again", "weak_again", "cross"}


def test_what_is_worth_something_then_comes_back_and_its_twin_says_what_it_repeats(decision):
    decide(decision, look_at(decision), seen(age=0.02, weak=0.03, many=0.001), dict.fromkeys(NAMES, 0.01))
    removed = decision.reduction.removed
    assert decision.left == ["cross", "age", "weak"]
    assert (removed["age_again"], removed["weak_again"]) == ("repeats 'age'", "repeats 'weak'")
    assert decision.notes["age"] == "worth 0.02 without 'cross', which tells it, shuffled copies up to 0.01 there"
    assert decision.notes["weak"] == "worth 0.03 beside less noise, shuffled copies up to 0.01 there"
    assert removed["many"].startswith("noise: worth 0.003, shuffled")


@pytest.mark.parametrize(("first", "second", "stays"), [(0.012, 0.001, False), (0.015, 0.006, True)])
def test_what_was_kept_goes_where_both_looks_together_say_so(decision, first, second, stays):
    del decision.reduction.removed["few"]
    decision.measured.importance["few"] = first
    decide(decision, SecondLook(["many"], ["cross"]), seen(few=second, many=0.02), dict.fromkeys(NAMES, 0.01))
    assert decision.left == ["cross", *["few"] * stays, "many"]  # what was left aside stays
    if not stays:
        assert decision.reduction.removed["few"] == "noise: worth 0.001 on a second look, shuffled copies up to 0.01"


def test_what_must_stay_is_not_left_aside(decision):
    look = SecondLook([], NAMES)
    assert len(look.removed(decision)) == len(NAMES) - 1


def test_a_step_whose_candidate_is_gone_is_not_asked(decision):
    names = ["cross", "item", "clicks__item"]
    features = [{"type": "id", "name": name, "expression": f"user:{name}", "num_buckets": 9} for name in names[:2]]
    child = {"type": "id", "name": "item", "expression": "item:item", "num_buckets": 9, "embedding_name": "item"}
    features.append({"type": "sequence", "name": "clicks", "sequence_length": 5, "features": [child]})
    groups = {
        "deep": {
            "features": names[:2],
            "sequences": [{"sequence": "clicks", "query": {"item": "item"}, "encoder": "din"}],
        }
    }
    raw = {
        "data": {"labels": ["click"]},
        "features": features,
        "model": {**MODEL, "type": "wide_and_deep", "groups": groups},
    }
    document = Document.of(raw)
    reduction = Reduction(document, units_of(experiment_of(document), SelectConfig()))
    measured = Measured("permutation", "drop of auc", dict(zip(names, [0.2, -0.003, 0.002], strict=True)))
    made = Decision(SelectConfig(), reduction, measured, dict.fromkeys(names, 0.01), {}, Costs({}, {}))
    made.without_noise()
    assert set(reduction.removed) == {"item", "clicks__item"}
    assert not doubted(made, NULL, dict.fromkeys(names, 1.0), lambda units: {}).asked


def test_a_part_is_looked_at_without_the_cross_that_tells_it(config, shop_rows, tmp_path):
    def crossed(frame, seed):
        pair = frame.user_id % 2 * 5 + frame.few
        chance = np.where((frame.user_id + frame.few) % 2, 0.8, 0.2)
        return frame.assign(pair=pair, click=(np.random.default_rng(seed).random(len(frame)) < chance).astype(int))

    rows = {part: crossed(frame, seed) for seed, (part, frame) in enumerate(shop_rows.items())}
    config["features"] = [one for one in config["features"] if one["name"] in ("few", "many", "number")]
    config["features"].append({"type": "id", "name": "pair", "expression": "user:pair", "num_buckets": 10})
    config["select"] = {"verify": False, "noise": 10}
    found = easyrec.select(config, data=rows, run_dir=tmp_path / "study")
    again = json.loads((tmp_path / "study" / "measured" / "permutation_again.json").read_text())
    assert {"few"} <= again["value"]["importance"].keys() == set(again["key"][1])
    assert "pair" not in again["key"][1]
    assert ("pair" in found.kept, "few" in found.removed) == (
        True,
        True,
    )  # what `few` tells, it tells of users, which are no feature
    page = found.report.read_text()
    assert "second look: drop of auc" in page
