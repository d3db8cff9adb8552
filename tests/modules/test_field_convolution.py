import math

import pytest
import torch
from pydantic import ValidationError

from easyrec.modules.field_convolution import FieldConvolutionConfig, FieldConvolutions, kept, largest


def convolved(column, layer):
    """Of one column: `column` holds a list of numbers per map; by the definition, fields beyond the ends are 0."""
    maps, window = layer.weight.shape[0], layer.weight.shape[2]
    length = len(column[0])
    result = []
    for c in range(maps):
        numbers = []
        for start in range(-(window - 1), length):
            total = layer.bias[c].item()
            for before, values in enumerate(column):
                for t in range(window):
                    if 0 <= start + t < length:
                        total += layer.weight[c, before, t, 0].item() * values[start + t]
            numbers.append(total)
        result.append(numbers)
    return result


def biggest(numbers, count):
    places = sorted(sorted(range(len(numbers)), key=lambda i: -numbers[i])[:count])
    return [numbers[i] for i in places]


@pytest.mark.parametrize(("fields", "windows"), [(10, [6, 5, 3]), (4, [3, 2]), (1, [2, 1]), (5, [7])], ids=str)
def test_equals_loops_over_columns(fields, windows):
    torch.manual_seed(0)
    config = FieldConvolutionConfig(channels=[3, 2, 2][: len(windows)], windows=windows)
    module, x = FieldConvolutions(fields, 3, config), torch.randn(2, fields, 3)
    for layer in module.layers:
        torch.nn.init.normal_(layer.bias)
    output = module(x)
    assert output[0].numel() == module.out
    for row in range(2):
        for d in range(3):
            column = [x[row, :, d].tolist()]
            for layer, count in zip(module.layers, module.kept, strict=True):
                column = [[math.tanh(v) for v in biggest(m, count)] for m in convolved(column, layer)]
            torch.testing.assert_close(output[row, :, :, d], torch.tensor(column), rtol=1e-4, atol=1e-5)


def test_kept_numbers_follow_the_paper():
    # (1 - (1/3)^2) 18 = 16, (1 - (2/3)^1) 18 = 6, then 3
    assert kept(18, [6, 5, 3]) == [16, 6, 3]
    assert kept(1, [1, 1]) == [1, 1]


def test_the_largest_keep_their_order():
    column = torch.tensor([3.0, 9.0, 1.0, 7.0, 5.0]).view(1, 1, 5, 1)
    assert largest(column, 3).flatten().tolist() == [9.0, 7.0, 5.0]


def test_layers_need_a_window_each():
    with pytest.raises(ValidationError, match="equally many layers, but have 2 and 1"):
        FieldConvolutionConfig(channels=[4, 2], windows=[3])
