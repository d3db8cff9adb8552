"""Expressions over scores, columns, the user and the context; nothing of them is ever run as code."""

import numpy as np
import pytest

from feature_generator.expressions import ExpressionError
from serving.engine.formula import Formula, names_in


def test_it_reads_scores_columns_user_and_context(rows):
    formula = Formula("ctr * price + user.age - context.hour", ("ctr",), rows)
    items = np.array([3, 20])
    asked = {("user", "age"): "30", ("context", "hour"): 9}
    got = formula(items, {"ctr": np.array([0.5, 2.0], np.float32)}, lambda side, name: asked[side, name])
    np.testing.assert_allclose(got, [0.5 * 3 + 21, 2.0 * 3 + 21])
    assert formula.asks
    assert not Formula("stock > 0", (), rows).asks


def test_what_is_not_known_makes_it_unknown(rows):
    got = Formula("user.age >= 18", (), rows)(np.array([0]), {}, lambda *_: None)
    assert got.tolist() == [0.0]
    assert np.isnan(Formula("user.age + 1", (), rows)(np.array([0]), {}, lambda *_: "much")).all()


def test_names_are_those_of_variables():
    assert names_in("max(a, pow(b, 2)) + a * `c d` - _pi") == ["a", "b", "c d"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("stok > 0", "did you mean 'stock'"),
        ("cate == 1", "'cate' is string in the catalogue, and no number"),
        ("__import__('os')", "."),
        ("stock >", "."),
    ],
)
def test_a_bad_expression_says_why(rows, text, told):
    with pytest.raises(ExpressionError, match=told):
        Formula(text, (), rows)
