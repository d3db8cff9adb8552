import pytest
import torch

from easyrec.errors import ConfigError
from easyrec.models import build


@pytest.mark.parametrize(
    "keys", [{}, {"shared": True}, {"gru": False}, {"residual": False}], ids=["plain", "shared", "sums", "bare"]
)
def test_states_are_passed_and_then_summed_by_a_gate(case, task, keys):
    torch.manual_seed(0)
    made = case("fignn", groups={"deep": ["user", "item", "cate", "price"]}, steps=2, **keys)
    model, x = build(made.config, made.plan, [task]), made.inputs(5)
    fields = model.bottom(x.tensors["emb:deep"].view(5, 3, 4), x.tensors["dense:deep"])
    assert len(model.messages) == (1 if "shared" in keys else 2)
    edges, states = model.edges(fields), fields
    for step in range(2):
        message = model.messages[step % len(model.messages)](edges, states)
        states = message + states if keys.get("gru") is False else model.update(message, states)
        states = states if keys.get("residual") is False else states + fields
    gate = torch.sigmoid(states.flatten(1) @ model.gate.weight.T)
    pooled = sum(gate[:, i : i + 1] * states[:, i] for i in range(4))
    expected = pooled @ model.head.vector.weight[0] + model.head.bias
    torch.testing.assert_close(model(x)["logit"], expected, rtol=1e-4, atol=1e-5)


def test_one_field_alone_has_no_neighbours(case, task):
    made = case("fignn", groups={"deep": ["user"]})
    with pytest.raises(ConfigError):
        build(made.config, made.plan, [task])
