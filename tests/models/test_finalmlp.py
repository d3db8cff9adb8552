import pytest
import torch
from pydantic import ValidationError

from easyrec.errors import ConfigError
from easyrec.models import build
from easyrec.models.finalmlp import Config

STREAMS = {"mlp1": {"hidden": [7, 6]}, "mlp2": {"hidden": [4]}, "heads": 2}
GROUPS = {"deep": ["user", "item", "price"], "context1": ["user"], "context2": ["item", "price"]}


def mlp(layers, x):
    """Every linear layer of a stack with ReLU."""
    for layer in layers:
        if isinstance(layer, torch.nn.Linear):
            x = (x @ layer.weight.T + layer.bias).clamp_min(0)
    return x


def reference(model, x, contexts):
    """The paper's equations, row by row in the bilinear form."""
    flat = torch.cat([x.tensors["emb:deep"], x.tensors["dense:deep"]], 1)
    streams = []
    for gate, layers, context in ((model.gate1, model.mlp1, contexts[0]), (model.gate2, model.mlp2, contexts[1])):
        gated = flat
        if gate is not None and context is None:
            gated = flat * 2 * torch.sigmoid(gate.constant)
        elif gate is not None:
            hidden = mlp(gate.hidden, context)
            gated = flat * 2 * torch.sigmoid(hidden @ gate.gate.weight.T + gate.gate.bias)
        streams.append(mlp(layers, gated))
    first, second = streams
    logits = torch.cat(streams, 1) @ model.head.vector.weight[0] + model.head.bias
    heads, width, other = model.fusion.weight.shape
    for h in range(heads):
        a, b = first[:, h * width : (h + 1) * width], second[:, h * other : (h + 1) * other]
        logits = logits + torch.stack([p @ model.fusion.weight[h] @ q for p, q in zip(a, b, strict=True)])
    return logits


@pytest.mark.parametrize("given", [(), ("context1",), ("context1", "context2")], ids=["none", "one", "both"])
def test_logit_is_two_gated_streams_and_their_bilinear_form(case, task, given):
    torch.manual_seed(0)
    made = case("finalmlp", groups={name: GROUPS[name] for name in ("deep", *given)}, **STREAMS)
    model, x = build(made.config, made.plan, [task]), made.inputs(5)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    contexts = [
        torch.cat([t for k in (f"emb:{name}", f"dense:{name}") if (t := x.tensors.get(k)) is not None], 1)
        if name in given
        else None
        for name in ("context1", "context2")
    ]
    torch.testing.assert_close(model(x)["logit"], reference(model, x, contexts), rtol=1e-4, atol=1e-4)


def test_without_gates_both_streams_read_the_features_themselves(case, task):
    made = case("finalmlp", groups={"deep": GROUPS["deep"]}, gates=False, **STREAMS)
    model, x = build(made.config, made.plan, [task]), made.inputs(5)
    assert model.gate1 is model.gate2 is None
    torch.testing.assert_close(model(x)["logit"], reference(model, x, [None, None]), rtol=1e-4, atol=1e-5)


def test_contexts_have_tables_of_their_own(case):
    plan = case("finalmlp", groups=GROUPS).plan
    assert sorted(table.rows for table in plan.tables) == [20, 20, 30, 30]


def test_contexts_without_gates_are_refused(case):
    with pytest.raises(ConfigError, match="reads no group 'context1'"):
        case("finalmlp", groups=GROUPS, gates=False)


def test_heads_must_divide_both_last_widths():
    with pytest.raises(ValidationError, match="4 does not divide both 8 and 6"):
        Config(mlp1={"hidden": [8]}, mlp2={"hidden": [6]}, heads=4)
