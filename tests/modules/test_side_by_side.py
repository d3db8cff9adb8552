import torch
from pydantic import TypeAdapter

from easyrec.modules.side_by_side import Part, SideBySide


def test_parts_read_the_same_and_lie_side_by_side():
    given = [{"type": "mlp", "hidden": [5, 3]}, {"type": "cross", "cross_layers": 2}, {"type": "plain"}]
    parts = SideBySide(4, [TypeAdapter(Part).validate_python(part) for part in given])
    x = torch.randn(6, 4)
    mlp, cross, _ = parts.parts
    hidden = (x @ mlp[0].weight.T + mlp[0].bias).relu()
    hidden = (hidden @ mlp[2].weight.T + mlp[2].bias).relu()
    crossed = x
    for layer in cross.layers:
        crossed = x * (crossed @ layer.weight.T + layer.bias) + crossed
    torch.testing.assert_close(parts(x), torch.cat([hidden, crossed, x], 1))
    assert parts.out == 3 + 4 + 4
