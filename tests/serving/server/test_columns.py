import pytest

from serving.server.columns import MANY, UNHURRIED_MS, Question, ask, check_distinct
from serving.server.config import LimitsConfig, ModelConfig
from serving.server.http import Refused
from serving.server.models import Loaded


def forms(ids):
    return {"item_id": ids}, [{"item_id": one} for one in ids]


@pytest.mark.parametrize(
    ("ids", "row"),
    [(["a", "b", "a"], 2), ([1, 2, 1], 2), ([1.5, "x", 1.5], 2), ([None, None], 1), ([[1], [2], [1]], 2)],
    ids=str,
)
def test_a_value_that_comes_twice_is_named(ids, row):
    for items in forms(ids):
        with pytest.raises(Refused) as refused:
            check_distinct(items, "item_id")
        assert (refused.value.reason, refused.value.column, refused.value.row) == ("duplicate_item", "item_id", row)


@pytest.mark.parametrize("ids", [[], ["a"], [1, 1.0, True, "1", None], [True, False, 0, 1]], ids=str)
def test_values_of_different_types_differ(ids):
    for items in forms(ids):
        check_distinct(items, "item_id")


@pytest.mark.parametrize(
    ("deadline_ms", "candidates", "looked_at"),
    [(0.0, 3, True), (UNHURRIED_MS, 3, False), (None, 3, False), (1e6, MANY, False)],
    ids=["passed", "unhurried", "none", "far away"],
)
def test_a_deadline_ends_what_is_scored(toys, request_parts, deadline_ms, candidates, looked_at):
    user, items, context = request_parts
    many = [items[n % len(items)] for n in range(candidates)]
    loaded = Loaded(toys("deepfm").bundle, ModelConfig(name="toy", bundle="-"), LimitsConfig())
    question = Question(user, many, context)
    try:
        if looked_at:
            with pytest.raises(Refused, match="in the stage 'items'") as refused:
                ask(loaded, question, deadline_ms)
            assert (refused.value.status, refused.value.reason) == (504, "deadline_score")
        else:
            assert len(ask(loaded, question, deadline_ms)["click"]) == candidates
    finally:
        loaded.predictor.close()
