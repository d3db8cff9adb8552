import math

import pytest
import torch
from torch import nn

from easyrec.batch import Batch, Embedded, Jagged
from easyrec.errors import DataError, RunError
from easyrec.train.diagnosis import diagnose


def batch(**changes):
    parts = {
        "size": 3,
        "dense": torch.zeros(3, 3),
        "dense_slices": {"age": slice(0, 1), "vector": slice(1, 3)},
        "sparse": {"tags": Jagged(torch.arange(3), None, torch.ones(3))},
        "sequences": {"clicks": Jagged(torch.zeros(4, 2), torch.tensor([0, 1, 1, 4]))},
        "labels": {"click": torch.zeros(3)},
        "sample_weight": torch.ones(3),
    }
    return Batch(**{**parts, **changes})


def found(of=None, inputs=None, logits=None, model=None):
    inputs = Embedded(inputs or {"emb:deep": torch.zeros(3, 2)}, {})
    return diagnose(12, math.nan, of or batch(), inputs, logits or {"logit": torch.zeros(3)}, model or nn.Linear(2, 1))


def bad(tensor, index, value=math.nan):
    tensor[index] = value
    return tensor


@pytest.mark.parametrize(
    ("changes", "column", "text"),
    [
        ({"dense": bad(torch.zeros(3, 3), (1, 0))}, "age", "nan in row 1"),
        ({"dense": bad(torch.zeros(3, 3), (2, 2), math.inf)}, "vector", "inf in row 2"),
        ({"sparse": {"tags": Jagged(torch.arange(3), None, bad(torch.ones(3), 0))}}, "tags", "nan in row 0"),
        ({"labels": {"click": bad(torch.zeros(3), 2)}}, "click", "nan in row 2"),
        ({"sample_weight": bad(torch.ones(3), 1, -math.inf)}, "sample_weight", "-inf in row 1"),
    ],
    ids=["dense", "vector", "weights", "label", "sample-weight"],
)
def test_the_first_bad_input_is_named(changes, column, text):
    error = found(of=batch(**changes))
    assert isinstance(error, DataError)
    assert error.column == column
    assert text in str(error)
    assert "step 12" in str(error)


def test_then_weights_then_embeddings_then_logits():
    model = nn.Linear(2, 1)
    with torch.no_grad():
        model.weight[0, 1] = math.nan
    assert "the weight 'weight' is not" in str(found(model=model))
    assert "the embeddings of 'emb:deep'" in str(found(inputs={"emb:deep": bad(torch.zeros(3, 2), (0, 0))}))
    assert "the logit 'logit'" in str(found(logits={"logit": bad(torch.zeros(3), 1)}))
    assert isinstance(found(), RunError)
