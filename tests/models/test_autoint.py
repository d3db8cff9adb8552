import pytest
import torch

from easyrec.errors import ConfigError
from easyrec.models import build


@pytest.mark.parametrize("linear", [False, True], ids=["", "linear"])
@pytest.mark.parametrize("hidden", [[], [7, 3]], ids=["autoint", "autoint-plus"])
def test_logit_is_attention_and_the_optional_parts(case, task, hidden, linear):
    torch.manual_seed(0)
    keys = {"attention_layers": 2, "attention_dim": 6, "heads": 3, "scale": True, "attention_norm": True}
    made = case("autoint", hidden=hidden, linear=linear, **keys)
    model, x = build(made.config, made.plan, [task]).eval(), made.inputs(5)
    attended = x.tensors["emb:deep"].view(5 * 6, 4)
    for layer in model.attention:
        attended = layer(attended)
    parts, dense = [attended.view(5, 36)], x.tensors["dense:deep"]
    if hidden:
        deep = torch.cat([x.tensors["emb:deep"], dense], 1)
        for layer in (model.deep[0], model.deep[2]):
            deep = (deep @ layer.weight.T + layer.bias).clamp_min(0)
        parts.append(deep)
    elif not linear:
        parts.append(dense)
    expected = torch.cat(parts, 1) @ model.head.vector.weight[0] + model.head.bias
    if linear:
        expected = expected + x.tensors["first:deep"].sum(1) + dense @ model.dense_weights["deep"].weight[0]
    torch.testing.assert_close(model(x)["logit"], expected, rtol=1e-4, atol=1e-5)


def test_first_order_weights_exist_where_they_are_asked_for(case):
    assert not case("autoint").layouts["deep"].first_order
    assert case("autoint", linear=True).layouts["deep"].first_order


def test_a_group_of_numbers_alone_is_refused(case, task):
    made = case("autoint", groups={"deep": ["price", "size"]})
    with pytest.raises(ConfigError, match="'autoint' needs fields in 'deep'"):
        build(made.config, made.plan, [task])
