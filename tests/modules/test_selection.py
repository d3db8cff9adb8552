import torch

from easyrec.modules.mlp import MLPConfig
from easyrec.modules.selection import FeatureGate


def test_a_gate_is_an_mlp_of_its_context():
    torch.manual_seed(0)
    gate, x, context = FeatureGate(4, 3, MLPConfig(hidden=[5])), torch.randn(6, 4), torch.randn(6, 3)
    hidden = (context @ gate.hidden[0].weight.T + gate.hidden[0].bias).clamp_min(0)
    logits = hidden @ gate.gate.weight.T + gate.gate.bias
    torch.testing.assert_close(gate(x, context), x * 2 / (1 + torch.exp(-logits)))


def test_without_a_context_all_rows_share_a_gate_that_starts_open():
    gate, x = FeatureGate(4, 0, MLPConfig()), torch.randn(6, 4)
    torch.testing.assert_close(gate(x), x)
    with torch.no_grad():
        gate.constant.copy_(torch.tensor([-100.0, 0.0, 100.0, 0.0]))
    torch.testing.assert_close(gate(x), x * torch.tensor([0.0, 1.0, 2.0, 1.0]))
