import re

import numpy as np
import pytest
import torch

from easyrec.config.mask import Mask

CLICK = np.array([0, 1, 1, 0], np.float32)
BUY = np.array([0, 0, 1, 1], np.float32)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("click == 1", CLICK == 1),
        ("click != 1", CLICK != 1),
        ("buy > .5", BUY > 0.5),
        ("buy<=0e0", BUY <= 0),
        ("click == 1 and buy == 1", (CLICK == 1) & (BUY == 1)),
        ("click == 1 or buy == 1", (CLICK == 1) | (BUY == 1)),
        ("not click == 1", CLICK != 1),
        ("click == 0 or click == 1 and buy == 1", (CLICK == 0) | ((CLICK == 1) & (BUY == 1))),
        ("(click == 0 or click == 1) and buy >= 1", BUY >= 1),
        ("not (click == 1 and buy == 1)", ~((CLICK == 1) & (BUY == 1))),
        ("click < -1", CLICK < -1),
    ],
)
def test_equals_the_same_in_numpy_on_arrays_and_tensors(text, expected):
    mask = Mask.parse(text)
    assert mask.rows({"click": CLICK, "buy": BUY}).tolist() == expected.tolist()
    assert mask.rows({"click": torch.tensor(CLICK), "buy": torch.tensor(BUY)}).tolist() == expected.tolist()


def test_names_its_labels():
    assert Mask.parse("click == 1 and (buy == 0 or click < 2)").labels == ("click", "buy")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a label at character 1, but found the end"),
        ("click", "expected one of == != <= >= < > at character 6, but found the end in 'click'\ne.g. click == 1"),
        ("click ==", "expected a number at character 9"),
        ("click = 1", "'=' at character 7 means nothing in 'click = 1'\nwrite '=='"),
        ("click == 1 && buy == 1", "'&' at character 12 means nothing in 'click == 1 && buy == 1'\nwrite 'and'"),
        ("click == 1 || buy == 1", "write 'or'"),
        ("!(click == 1)", "write 'not' before a comparison"),
        ("click == '1'", "write labels and numbers without quotes"),
        ("click == 1 AND buy == 1", "but found 'AND' in 'click == 1 AND buy == 1'\nwrite 'and'"),
        ("NOT click == 1", "'NOT' is followed by no comparison in 'NOT click == 1'\nwrite 'not'"),
        ("click + buy", "means nothing in 'click + buy'\na mask compares labels with numbers, e.g. click == 1"),
        ("click == 1 buy", "expected 'and', 'or' or the end at character 12"),
        ("(click == 1", "expected ')'"),
        ("click == buy", "expected a number at character 10, but found 'buy'"),
        ("1 == click", "expected a label at character 1, but found '1'"),
        ("click == 1 and", "expected a label"),
        ("__import__('os')", "expected one of"),
        ("click.real == 1", "'.' at character 6 means nothing"),
        ("(" * 1000 + "click == 1" + ")" * 1000, "nested more than 50"),
    ],
)
def test_anything_else_is_an_error_that_says_where(text, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        Mask.parse(text)


def test_a_label_may_be_called_like_a_word_in_capitals():
    assert Mask.parse("OR == 1 and NOT != 0").labels == ("OR", "NOT")
