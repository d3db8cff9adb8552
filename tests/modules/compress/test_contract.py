"""Every composed embedding: ids differ, tables become smaller, gradients reach all, and none is outside of its tables."""

import numpy as np
import pytest
import torch

from easyrec.config.compress import COMPOSITIONS
from easyrec.embedding.lookup import _rows_of_part
from easyrec.modules.compress import build
from feature_generator.config import member, members

KINDS = members(COMPOSITIONS)
KEYS = {
    "quotient_remainder": [{}, {"operation": "add", "collisions": 7}, {"operation": "concat"}],
    "product": [{"digits": 3}, {"operation": "multiply"}, {"operation": "concat", "digits": 4}],
    "mixed": [{"dim": 3}, {"dim": 2, "frequent": 5}],
    "threshold": [{"start": 0.1}],
}
CASES = [(name, number) for name in KINDS for number in range(len(KEYS.get(name, [{}])))]
ROWS, DIM = 90, 8


def config_of(name, number):
    return member(COMPOSITIONS, name).Config(**KEYS.get(name, [{}])[number])


def gathered(parts, tables, ids):
    """What the tables give for ids, one after another: the specification."""
    columns = []
    for part, table in zip(parts, tables, strict=True):
        rows = []
        for i in ids:
            row = i // part.divide
            row = row % part.modulo if part.modulo else row
            row -= part.start
            rows.append(table[row] if 0 <= row < part.rows else torch.zeros(part.dim))
        columns.append(torch.stack(rows))
    return torch.cat(columns, dim=1)


def tables_of(parts):
    torch.manual_seed(3)
    return [torch.randn(part.rows, part.dim, requires_grad=True) for part in parts]


@pytest.mark.parametrize(("name", "number"), CASES)
def test_every_id_has_an_embedding_of_its_own_and_teaches_it(name, number):
    config = config_of(name, number)
    parts = config.parts(ROWS, DIM)
    tables = tables_of(parts)
    module = build(config, tuple(p.dim for p in parts), DIM)
    embeddings = module(gathered(parts, tables, range(ROWS)))
    assert embeddings.shape == (ROWS, DIM)
    distances = torch.cdist(embeddings, embeddings) + torch.eye(ROWS)
    assert distances.min() > 1e-3
    embeddings.square().sum().backward()
    for tensor in (*tables, *module.parameters()):
        assert tensor.grad is not None
        assert tensor.grad.abs().sum() > 0


@pytest.mark.parametrize(("name", "number"), CASES)
def test_rows_are_those_of_the_specification_and_ids_outside_have_none(name, number):
    config = config_of(name, number)
    ids = np.arange(ROWS)
    for part in config.parts(ROWS, DIM):
        expected = ids // part.divide
        expected = (expected % part.modulo if part.modulo else expected) - part.start
        expected = np.where((expected >= 0) & (expected < part.rows), expected, -1)
        np.testing.assert_array_equal(_rows_of_part(part, ids), expected)
        outside = _rows_of_part(part, np.array([-1, -5, ROWS, 10**12]))
        assert ((outside < 0) | (outside >= part.rows)).all()


@pytest.mark.parametrize(("name", "number"), CASES)
def test_a_batch_of_no_rows_has_no_embeddings(name, number):
    config = config_of(name, number)
    parts = config.parts(ROWS, DIM)
    module = build(config, tuple(p.dim for p in parts), DIM)
    assert module(torch.zeros(0, sum(p.dim for p in parts))).shape == (0, DIM)


@pytest.mark.parametrize(("name", "number"), CASES)
def test_a_linear_one_gives_the_sum_of_what_it_gives(name, number):
    config = config_of(name, number)
    parts = config.parts(ROWS, DIM)
    module = build(config, tuple(p.dim for p in parts), DIM)
    two = gathered(parts, tables_of(parts), [3, 77])
    summed = torch.allclose(module(two.sum(0, keepdim=True)), module(two).sum(0, keepdim=True), atol=1e-5)
    assert summed == config.linear


def test_quotients_times_remainders():
    config = config_of("quotient_remainder", 0)
    parts = config.parts(10, 2)
    quotients, remainders = tables_of(parts)
    found = build(config, (2, 2), 2)(gathered(parts, [quotients, remainders], [9]))
    torch.testing.assert_close(found[0], quotients[2] * (1 + remainders[1]))


def test_digits_of_an_id():
    parts = config_of("product", 0).parts(90, 8)
    assert [(p.rows, p.divide, p.modulo) for p in parts] == [(5, 1, 5), (5, 5, 5), (5, 25, 5)]  # 5^3 >= 90


def test_a_row_below_the_threshold_is_zeros_and_idle():
    module = build(config_of("threshold", 0), (2,), 2)
    rows = torch.tensor([[0.03, 0.04], [3.0, 4.0], [0.0, 0.0]])
    found = module(rows)
    torch.testing.assert_close(found, torch.tensor([[0.0, 0.0], [3.0 * 0.98, 4.0 * 0.98], [0.0, 0.0]]))
    assert module.idle(rows).tolist() == [True, False, True]


def test_the_pull_raises_the_threshold():
    module = build(member(COMPOSITIONS, "threshold").Config(pull=0.5), (2,), 2)
    module.auxiliary.backward()
    assert module.level.grad < -0.4
    found = module(torch.zeros(1, 2, requires_grad=True))
    found.sum().backward()
    assert torch.isfinite(module.level.grad)


@pytest.mark.parametrize(
    ("name", "keys", "rows", "text"),
    [
        ("quotient_remainder", {"collisions": 10}, 10, "would not become smaller"),
        ("quotient_remainder", {"operation": "concat"}, 90, "take a multiple of 2"),
        ("product", {"digits": 3}, 6, "would not become smaller"),
        ("mixed", {"dim": 9}, 90, "would not become smaller"),
        ("mixed", {"dim": 2, "frequent": 90}, 90, "none would be rare"),
    ],
    ids=["few-ids", "odd-dim", "few-digits", "wide", "all-frequent"],
)
def test_settings_that_fit_no_such_table_are_told(name, keys, rows, text):
    with pytest.raises(ValueError, match=text):
        member(COMPOSITIONS, name).Config(**keys).parts(rows, 9)
