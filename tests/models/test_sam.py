import pytest
import torch

from easyrec.models import build


@pytest.mark.parametrize("aggregation", ["concat", "sum"])
def test_the_logit_reads_the_last_fields(case, task, aggregation):
    torch.manual_seed(0)
    made = case("sam", groups={"deep": ["user", "item", "price"]}, interaction_layers=2, aggregation=aggregation)
    model, x = build(made.config, made.plan, [task]), made.inputs(5)
    fields = model.bottom(x.tensors["emb:deep"].view(5, 2, 4), x.tensors["dense:deep"])
    for layer in model.layers:
        fields = layer(fields)
    assert fields.shape == (5, 3, 4)
    read = fields.flatten(1) if aggregation == "concat" else sum(fields.unbind(1))
    torch.testing.assert_close(model(x)["logit"], read @ model.head.vector.weight[0] + model.head.bias)
