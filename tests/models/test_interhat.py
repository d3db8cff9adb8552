import torch

from easyrec.models import build


def normalised(x, norm):
    mean, var = x.mean(-1, keepdim=True), x.var(-1, unbiased=False, keepdim=True)
    return (x - mean) / torch.sqrt(var + 1e-5) * norm.weight + norm.bias


def test_crosses_of_each_order_are_pooled_and_make_those_of_the_next(case, task):
    torch.manual_seed(0)
    keys = {"attention_dim": 6, "heads": 2, "order": 3, "pooling_dim": 4, "hidden": [5]}
    made = case("interhat", groups={"deep": ["user", "item", "price"]}, **keys)
    model, x = build(made.config, made.plan, [task]), made.inputs(5)
    fields = model.bottom(x.tensors["emb:deep"].view(5, 2, 4), x.tensors["dense:deep"])
    attended = model.attention[0](fields.reshape(15, 4))
    hidden = (attended @ model.inner.weight.T + model.inner.bias).clamp_min(0)
    first = normalised(attended + hidden @ model.outer.weight.T + model.outer.bias, model.norm).view(5, 3, 6)
    crossed, pooled = first, [model.pools[0](first)]
    for pool in model.pools[1:]:
        crossed = torch.stack([pooled[-1] * first[:, j] + crossed[:, j] for j in range(3)], 1)
        pooled.append(pool(crossed))
    read = model.last_pool(torch.stack(pooled, 1))
    deep = (read @ model.deep[0].weight.T + model.deep[0].bias).clamp_min(0)
    expected = deep @ model.head.vector.weight[0] + model.head.bias
    torch.testing.assert_close(model(x)["logit"], expected, rtol=1e-4, atol=1e-5)
