import torch

from easyrec.models import build


def test_logit_is_the_bias_plus_weights_of_ids_and_numbers(case, task):
    made = case("lr")
    model, x = build(made.config, made.plan, [task]), made.inputs(4)
    torch.nn.init.constant_(model.head.bias, 0.25)
    weights = model.dense_weights["deep"].weight[0]  # price, size_0, size_1
    first, dense = x.tensors["first:deep"], x.tensors["dense:deep"]
    for row in range(4):
        expected = 0.25 + sum(first[row]) + sum(w * v for w, v in zip(weights, dense[row], strict=True))
        torch.testing.assert_close(model(x)["logit"][row], expected)


def test_reads_no_embeddings(case):
    assert [key for key in case("lr").inputs(2).tensors if key.startswith("emb:")] == []


def test_numbers_alone_suffice(case, task):
    made = case("lr", features=["price"], sequences=[])
    x = made.inputs(3)
    model = build(made.config, made.plan, [task])
    expected = x.tensors["dense:deep"][:, 0] * model.dense_weights["deep"].weight[0, 0]
    torch.testing.assert_close(model(x)["logit"], expected)
