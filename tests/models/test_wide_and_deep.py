import torch

from easyrec.models import build


def test_wide_reads_the_features_of_deep_unless_told(case):
    groups = {"deep": {"features": ["user", "item", "price"]}}
    assert {n: len(g.fields) for n, g in case("wide_and_deep", groups=groups).layouts.items()} == {"deep": 2, "wide": 2}
    groups["wide"] = {"features": ["cate"]}
    assert {n: len(g.fields) for n, g in case("wide_and_deep", groups=groups).layouts.items()} == {"deep": 2, "wide": 1}


def test_logit_is_the_sum_of_both_parts(case, task):
    groups = {"deep": {"features": ["user", "price"]}, "wide": {"features": ["cate", "size"]}}
    made = case("wide_and_deep", groups=groups, hidden=[3])
    model, x = build(made.config, made.plan, [task]), made.inputs(5)
    first, head = model.deep[0], model.head.vector.weight
    flat = torch.cat([x.tensors["emb:deep"], x.tensors["dense:deep"]], 1)
    deep = (flat @ first.weight.T + first.bias).clamp_min(0) @ head.T
    wide = x.tensors["first:wide"].sum(1) + x.tensors["dense:wide"] @ model.dense_weights["wide"].weight[0]
    torch.testing.assert_close(model(x)["logit"], deep.squeeze(1) + wide, rtol=1e-4, atol=1e-5)
