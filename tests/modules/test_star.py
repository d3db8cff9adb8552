import torch
import torch.nn.functional as F

from easyrec.modules.star import PartitionedNorm, StarLinear

DOMAINS = torch.tensor([0, 2, 0, 0, 2, 1, 2, 0])


def one_hot(domains):
    return F.one_hot(domains, 4).float()


def random(module):
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    return module


def test_a_row_goes_through_its_domains_layer():
    layer, x = random(StarLinear(4, 5, 3)), torch.randn(8, 5)
    expected = [
        (layer.shared.weight * layer.weight[d]) @ row + layer.shared.bias + layer.bias[d]
        for row, d in zip(x, DOMAINS, strict=True)
    ]
    torch.testing.assert_close(layer(x, one_hot(DOMAINS)), torch.stack(expected), rtol=1e-4, atol=1e-5)


def test_at_first_all_domains_share_one_layer():
    layer, x = StarLinear(4, 5, 3), torch.randn(8, 5)
    torch.testing.assert_close(layer(x, one_hot(DOMAINS)), layer.shared(x))


def test_training_normalises_over_the_rows_of_the_domain():
    norm, x = random(PartitionedNorm(4, 5)).train(), torch.randn(8, 5) * 3 + 1
    got = norm(x, one_hot(DOMAINS))
    for d in (0, 2):
        rows = d == DOMAINS
        plain = F.batch_norm(x[rows], None, None, training=True)
        expected = norm.scale * norm.scales[d] * plain + norm.shift + norm.shifts[d]
        torch.testing.assert_close(got[rows], expected, rtol=1e-4, atol=1e-4)


def test_moving_averages_are_those_of_batch_norm_over_the_domains_rows():
    norm, plain = PartitionedNorm(4, 5).train(), {d: torch.nn.BatchNorm1d(5) for d in (0, 2)}
    for _ in range(3):
        x = torch.randn(8, 5) * 3 + 1
        norm(x, one_hot(DOMAINS))
        for d, one in plain.items():
            one(x[d == DOMAINS])
    for d, one in plain.items():
        torch.testing.assert_close(norm.mean[d], one.running_mean)
        torch.testing.assert_close(norm.var[d], one.running_var)
    assert norm.known.flatten().tolist() == [1, 0, 1, 0]
    for d in (1, 3):  # one row a batch, and none
        assert torch.equal(norm.mean[d], torch.zeros(5))
        assert torch.equal(norm.var[d], torch.ones(5))
    x = torch.randn(8, 5)
    got = norm.eval()(x, one_hot(DOMAINS))
    torch.testing.assert_close(got[DOMAINS == 2], plain[2].eval()(x[DOMAINS == 2]), rtol=1e-4, atol=1e-5)


def test_a_lone_row_of_a_domain_is_normalised_as_in_evaluation():
    norm, x = PartitionedNorm(4, 5).train(), torch.randn(8, 5)
    torch.testing.assert_close(norm(x, one_hot(DOMAINS))[5], x[5], rtol=1e-4, atol=1e-4)
    assert norm(x[:0], one_hot(DOMAINS[:0])).shape == (0, 5)


def test_a_row_without_a_domain_goes_through_what_all_share():
    layer, norm, x = random(StarLinear(4, 5, 3)), random(PartitionedNorm(4, 5)), torch.randn(3, 5)
    nowhere = torch.zeros(3, 4)
    torch.testing.assert_close(layer(x, nowhere), layer.shared(x), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(norm.eval()(x, nowhere), x / (1 + 1e-5) ** 0.5 * norm.scale + norm.shift)
    norm.mean.copy_(torch.randn(4, 5))
    norm.var.copy_(torch.rand(4, 5) + 0.5)
    norm.known.copy_(torch.tensor([[1.0], [0.0], [1.0], [0.0]]))
    expected = (x - norm.mean[::2].mean(0)) / (norm.var[::2].mean(0) + 1e-5).sqrt()
    torch.testing.assert_close(norm(x, nowhere), expected * norm.scale + norm.shift, rtol=1e-4, atol=1e-5)
    unknown = expected * norm.scale * norm.scales[3] + norm.shift + norm.shifts[3]
    torch.testing.assert_close(norm(x, one_hot(torch.tensor([3, 3, 3]))), unknown, rtol=1e-4, atol=1e-5)
    before = norm.train().mean.clone()
    norm(x, nowhere)
    assert torch.equal(norm.mean, before)  # no domain learns from them
