"""Candidates some at a time, as a request's steps ask for."""

import numpy as np
import pytest

from easyrec.export.portions import in_portions, num_steps


def given(rows, steps, **more):
    items = np.arange(rows, dtype=np.float32)[:, None]
    return {"item/emb:deep": items, "user/emb:deep": np.ones((1, 2)), "user/seq:deep/s": np.ones((steps, 3)), **more}


@pytest.mark.parametrize(
    ("rows", "steps", "cells", "portions"),
    [
        (10, 100, None, [10]),
        (10, 100, 300, [3, 3, 3, 1]),
        (10, 100, 500, [10]),
        (10, 0, 300, [10]),
        (10, 1, 300, [10]),
        (3, 1000, 300, [1, 1, 1]),
        (0, 1000, 300, [0]),
    ],
    ids=["all", "threes", "two-halves-are-one", "no-steps", "few-steps", "one-by-one", "no-rows"],
)
def test_portions_have_as_many_candidates_as_fit(rows, steps, cells, portions):
    sizes = []

    def run(inputs):
        sizes.append(len(inputs["item/emb:deep"]))
        assert len(inputs["user/seq:deep/s"]) == steps
        assert len(inputs["user/emb:deep"]) == 1
        return {"ctr": inputs["item/emb:deep"][:, 0] * 2}

    assert in_portions(run, given(rows, steps), cells)["ctr"].tolist() == [2.0 * i for i in range(rows)]
    assert sizes == portions


def test_candidates_with_sequences_of_their_own_go_together():
    asked = given(10, 100, **{"item/offsets:deep/t": np.arange(11)})
    assert num_steps(asked) == 0
    assert len(in_portions(lambda inputs: {"ctr": inputs["item/emb:deep"]}, asked, 300)["ctr"]) == 10
