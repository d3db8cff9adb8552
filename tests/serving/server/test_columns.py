import pytest

from serving.server.columns import check_distinct
from serving.server.http import Refused


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
