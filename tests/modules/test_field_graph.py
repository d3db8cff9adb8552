import torch

from easyrec.modules.field_graph import Edges, GatedUpdate, Messages


def test_edges_are_shares_of_the_other_fields():
    torch.manual_seed(0)
    layer, fields = Edges(4, 3), torch.randn(5, 4, 3)
    w = layer.ends.weight.flatten()  # of [e_i, e_j]
    found = layer(fields)
    for row in range(5):
        for i in range(4):
            scores = {}
            for j in set(range(4)) - {i}:
                score = w @ torch.cat([fields[row, i], fields[row, j]])
                scores[j] = torch.exp(score if score > 0 else 0.01 * score)
            for j in range(4):
                expected = scores[j] / sum(scores.values()) if j != i else torch.tensor(0.0)
                torch.testing.assert_close(found[row, i, j], expected, rtol=1e-4, atol=1e-6)


def test_messages_go_through_matrices_of_both_ends():
    torch.manual_seed(0)
    layer, edges, states = Messages(3, 4), torch.rand(5, 3, 3), torch.randn(5, 3, 4)
    torch.nn.init.normal_(layer.arriving.bias)
    found = layer(edges, states)
    for i in range(3):
        arrived = sum(edges[:, i, j : j + 1] * (states[:, j] @ layer.leaving[j].T) for j in range(3))
        expected = arrived @ layer.arriving.weight[i].T + layer.arriving.bias[i]
        torch.testing.assert_close(found[:, i], expected, rtol=1e-4, atol=1e-5)


def test_the_update_is_a_step_of_torch_s_gru():
    torch.manual_seed(0)
    layer, gru = GatedUpdate(4), torch.nn.GRUCell(4, 4)
    gru.weight_ih, gru.weight_hh = layer.of_message.weight, layer.of_state.weight
    torch.nn.init.normal_(layer.of_message.bias)
    torch.nn.init.normal_(layer.of_state.bias)
    gru.bias_ih, gru.bias_hh = layer.of_message.bias, layer.of_state.bias
    message, state = torch.randn(6, 4), torch.randn(6, 4)
    torch.testing.assert_close(layer(message, state), gru(message, state))
