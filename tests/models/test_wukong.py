import torch

from easyrec.models import build


def test_layers_are_stacked_on_the_fields_and_the_dense_one(case, task):
    torch.manual_seed(0)
    made = case("wukong", layers=2, fm_fields=3, linear_fields=2, rank=2, fm_hidden=[6], bottom=[5], hidden=[4])
    model, x = build(made.config, made.plan, [task]), made.inputs(5)
    fields = x.tensors["emb:deep"].view(5, 6, 4)
    dense = (x.tensors["dense:deep"] @ model.bottom.mlp[0].weight.T).clamp_min(0)
    dense = (dense @ model.bottom.mlp[2].weight.T).clamp_min(0)
    embeddings = torch.cat([fields, dense.unsqueeze(1)], 1)
    for layer in model.layers:
        embeddings = layer(embeddings)
        assert embeddings.shape == (5, 5, 4)
    hidden = (embeddings.flatten(1) @ model.deep[0].weight.T + model.deep[0].bias).clamp_min(0)
    expected = hidden @ model.head.vector.weight[0] + model.head.bias
    torch.testing.assert_close(model(x)["logit"], expected, rtol=1e-4, atol=1e-5)


def test_without_dense_inputs_there_are_the_fields_alone(case, task):
    made = case("wukong", groups={"deep": ["user", "item"]})
    model = build(made.config, made.plan, [task])
    assert model.bottom is None
    assert model(made.inputs(5))["logit"].shape == (5,)
