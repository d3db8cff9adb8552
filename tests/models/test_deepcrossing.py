import torch

from easyrec.models import build


def test_logit_is_a_chain_of_residual_units(case, task):
    made = case("deepcrossing", hidden=[5, 3])
    model, x = build(made.config, made.plan, [task]), made.inputs(5)
    rows = torch.cat([x.tensors["emb:deep"], x.tensors["dense:deep"]], 1)
    for unit in model.units:
        first, _, second = unit.inner
        inner = (rows @ first.weight.T + first.bias).clamp_min(0)
        rows = (rows + inner @ second.weight.T + second.bias).clamp_min(0)
    expected = (rows @ model.head.vector.weight.T).squeeze(1) + model.head.bias
    torch.testing.assert_close(model(x)["logit"], expected, rtol=1e-4, atol=1e-5)


def test_units_have_the_widths_of_the_config(case, task):
    made = case("deepcrossing", hidden=[5, 3], batch_norm=True)
    model = build(made.config, made.plan, [task])
    assert [unit.inner[0].out_features for unit in model.units] == [5, 3]
    assert {unit.inner[0].in_features for unit in model.units} == {6 * 4 + 3}
