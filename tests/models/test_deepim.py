from itertools import combinations

import pytest
import torch

from easyrec.errors import ConfigError
from easyrec.models import build


@pytest.mark.parametrize("hidden", [[], [7, 3]], ids=["im", "deepim"])
@pytest.mark.parametrize("norm", [False, True], ids=["", "norm"])
def test_logit_is_crosses_plus_mlp(case, task, hidden, norm):
    torch.manual_seed(0)
    made = case("deepim", order=3, hidden=hidden, interaction_norm=norm)
    model, x = build(made.config, made.plan, [task]).train(), made.inputs(8)
    fields, dense = x.tensors["emb:deep"].view(8, 6, 4), x.tensors["dense:deep"]
    crosses = torch.cat(
        [sum(fields[:, list(chosen)].prod(1) for chosen in combinations(range(6), k)) for k in (1, 2, 3)], 1
    )
    if norm:
        crosses = (crosses - crosses.mean(0)) / torch.sqrt(crosses.var(0, unbiased=False) + 1e-5)
    beside = dense
    if hidden:
        beside = torch.cat([x.tensors["emb:deep"], dense], 1)
        for layer in (model.deep[0], model.deep[2]):
            beside = (beside @ layer.weight.T + layer.bias).clamp_min(0)
    expected = torch.cat([crosses, beside], 1) @ model.head.vector.weight[0] + model.head.bias
    torch.testing.assert_close(model(x)["logit"], expected, rtol=1e-4, atol=1e-4)


def test_an_order_above_the_number_of_fields_is_refused(case, task):
    made = case("deepim", order=4, groups={"deep": ["user", "item", "cate"]})
    with pytest.raises(ConfigError, match="order 4 crosses 4 different fields, but 'deep' has 3"):
        build(made.config, made.plan, [task])
