import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from easyrec.config.family import implementation
from easyrec.errors import ConfigError
from easyrec.models import build
from easyrec.models.deepfm import DeepFM
from easyrec.modules.sequence.din import DIN
from easyrec.modules.sequence.pooling import Pooling


def test_the_type_names_the_class_of_its_file(case, task):
    assert type(build(case("deepfm").config, case("deepfm").plan, [task])) is DeepFM


def test_a_file_defines_one_class_of_its_family():
    with pytest.raises(TypeError, match=r"easyrec\.models\.deepfm must define one class over int, but defines: none"):
        implementation("easyrec.models", "deepfm", int)


def test_every_sequence_has_an_encoder_of_its_own(case, task):
    entries = [{"sequence": "clicks"}, {"sequence": "buys", "encoder": {"type": "pooling", "product": True}}]
    made = case("din", sequences=entries)
    encoders = dict(build(made.config, made.plan, [task]).encoders)
    assert {name: type(e) for name, e in encoders.items()} == {"deep__clicks": DIN, "deep__buys": Pooling}


def test_the_widths_that_a_model_plans_with_are_those_it_gets(case, task):
    entries = [{"sequence": "clicks", "encoder": {"type": "din", "product": True}}, {"sequence": "buys"}]
    made = case("deepfm", sequences=entries)
    model, x = build(made.config, made.plan, [task]).eval(), made.inputs(5)
    assert model.flat(x).shape == (5, model.width())
    assert model.fields(x).shape == (5, model.num_fields(), model.dim())
    torch.testing.assert_close(model.flat(x, fields=model.fields(x)).sort().values, model.flat(x).sort().values)


def test_flat_copies_nothing_where_there_are_fields_alone(case, task):
    made = case("deepfm", features=["user", "item"], sequences=[])
    model, x = build(made.config, made.plan, [task]), made.inputs(5)
    assert model.flat(x).data_ptr() == model.fields(x).data_ptr() == x.tensors["emb:deep"].data_ptr()


def test_the_family_needs_no_torch_until_a_model_is_built():
    code = "import sys, easyrec.models, easyrec.modules.sequence; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_all_that_does_not_suit_the_model_comes_at_once_with_dotted_paths(case, task):
    attention = [{"sequence": "buys"}, {"sequence": "clicks", "encoder": {"type": "din"}}]
    groups = {name: {"features": ["user"], "sequences": attention} for name in ("deep", "wide")}
    made = case("wide_and_deep", groups=groups)
    with pytest.raises(ConfigError) as caught:
        build(made.config, made.plan, [task])
    assert [(p.where, p.message.splitlines()[0]) for p in caught.value.problems] == [
        (
            "model.groups.deep.sequences.1",
            "encoder 'din' compares the steps of 'clicks' with a candidate, but no feature of the group shares an "
            "embedding_name with its children: clicks__item, clicks__cate, clicks__hour",
        ),
        (
            "model.groups.wide.sequences.1",
            "'wide_and_deep' reads no embeddings in 'wide', so 'din' has nothing to encode",
        ),
    ]


def test_steps_of_another_dim_than_the_fields_are_named(case, task, generator):
    made = case("deepfm", sequences=[{"sequence": "clicks", "encoder": {"type": "din"}}])
    (group,) = made.plan.groups.values()
    (clicks,) = group.layout.sequences
    narrow = replace(clicks, children=(*clicks.children[:2], replace(clicks.children[2], dim=3)))
    layout = replace(group.layout, sequences=(narrow,))
    plan = replace(made.plan, groups={"deep": replace(group, layout=layout)})
    with pytest.raises(ConfigError, match=r"those of 'deep' are: .*clicks__cate 4, clicks__hour 3"):
        build(made.config, plan, [task])
