import pytest
import torch
from pydantic import ValidationError

from easyrec.models import build
from easyrec.models.din import Config


def test_needs_a_sequence():
    with pytest.raises(ValidationError, match="'din' needs a sequence"):
        Config(groups={"deep": ["item"]})


def test_sequences_attend_unless_told_otherwise(case, task):
    made = case("din", sequences=[{"sequence": "clicks"}, {"sequence": "buys", "encoder": "pooling"}])
    assert [s.name for s in made.layouts["deep"].sequences] == ["clicks"]
    assert [f.name for f in made.layouts["deep"].fields] == ["user", "item", "cate", "buys__item"]


def test_the_twin_differs_in_the_encoder_alone(case, task):
    attends, pools = case("din"), case("din", sequences=[{"sequence": "clicks", "encoder": "pooling"}])
    first, second = (build(c.config, c.plan, [task]) for c in (attends, pools))
    shapes = [{n: p.shape for n, p in m.named_parameters() if not n.startswith("encoders.")} for m in (first, second)]
    assert shapes[0] == shapes[1]
    assert any(n.startswith("encoders.") for n, _ in first.named_parameters())


def test_several_sequences_side_by_side(case, task):
    made = case("din", sequences=[{"sequence": "clicks"}, {"sequence": "buys"}])
    model, x = build(made.config, made.plan, [task]).eval(), made.inputs(5)
    layout = made.layouts["deep"]
    parts = [x.tensors["emb:deep"], *(model.interest(x, s) for s in layout.sequences), x.tensors["dense:deep"]]
    torch.testing.assert_close(model.flat(x), torch.cat(parts, 1))


def test_product_is_the_interest_times_the_candidate(case, task):
    made = case("din", sequences=[{"sequence": "clicks", "encoder": {"type": "pooling", "product": True}}])
    model, x = build(made.config, made.plan, [task]).eval(), made.inputs(5)
    layout = made.layouts["deep"]
    interest = model.interest(x, layout.sequences[0])
    steps, offsets = x.tensors["seq:deep/clicks"], x.tensors["offsets:deep/clicks"]
    item, cate = x.feature("deep", "item"), x.feature("deep", "cate")
    for row in range(5):
        own = steps[offsets[row] : offsets[row + 1]]
        mean = own.mean(0) if len(own) else torch.zeros(12)
        expected = torch.cat([mean, mean[:4] * item[row], mean[4:8] * cate[row]])
        torch.testing.assert_close(interest[row], expected)


def test_a_batch_whose_sequences_are_all_empty(case, task):
    made = case("din", batch_norm=True)
    model = build(made.config, made.plan, [task])
    x = made.inputs(3, lengths=[0, 0, 0])
    for training in (True, False):
        assert model.train(training)(x)["logit"].isfinite().all()
