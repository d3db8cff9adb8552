"""Spaces in the place of values: what they are, what is drawn, and what is wrong with them."""

import pytest

from easyrec.config import load_experiment
from easyrec.config.space import filled, num_points, parameters, points
from easyrec.errors import ConfigError
from feature_generator.config import Document, read_yaml

NESTED = {
    "model": {
        "choice": [
            {
                "type": "deepfm",
                "hidden": {"choice": [[256, 128], [64]]},
                "dropout": {"uniform": [0.0, 0.5], "step": 0.25},
            },
            {"type": "dcn_v2", "cross_layers": {"int": [1, 3]}},
            "fm",
        ]
    },
    "train": {"seed": 3},
}


def drawn(config, **values):
    document = Document.of(config)
    return filled(document, parameters(document), lambda p: values[p.name]).data


def test_names_tell_the_place_and_the_option():
    names = [p.name for p in parameters(Document.of(NESTED))]
    assert names == ["model", "model[deepfm].hidden", "model[deepfm].dropout", "model[dcn_v2].cross_layers"]


def test_an_element_of_a_list_is_called_by_its_name():
    features = [{"name": "user_id", "embedding_dim": {"int": [4, 8]}}]
    (found,) = parameters(Document.of({"features": features}))
    assert found.name == "features[user_id].embedding_dim"


def test_only_the_taken_option_is_filled():
    asked = []
    document = Document.of(NESTED)

    def draw(parameter):
        asked.append(parameter.name)
        return {"model": "dcn_v2", "model[dcn_v2].cross_layers": 2}[parameter.name]

    assert filled(document, parameters(document), draw).data == {
        "model": {"type": "dcn_v2", "cross_layers": 2},
        "train": {"seed": 3},
    }
    assert asked == ["model", "model[dcn_v2].cross_layers"]


def test_an_option_is_the_value_and_not_its_text():
    config = {"model": {"hidden": {"choice": [[256, 128], [64], None, 0.5, "x"]}}}
    labels = parameters(Document.of(config))[0].labels
    assert [drawn(config, **{"model.hidden": label})["model"]["hidden"] for label in labels] == [
        [256, 128],
        [64],
        None,
        0.5,
        "x",
    ]


def test_the_points_of_a_finite_space_are_all_there_once():
    found = parameters(Document.of(NESTED))
    listed = [tuple(sorted(p.items())) for p in points(found)]
    assert len(listed) == len(set(listed)) == num_points(found) == 2 * 3 + 3 + 1


def test_a_range_without_a_step_has_no_end():
    found = parameters(Document.of({"train": {"lr": {"log": [1e-4, 1.0]}}}))
    assert num_points(found) is None
    with pytest.raises(ValueError, match=r"train\.lr"):
        next(points(found))


def test_the_last_step_does_not_leave_the_range():
    (found,) = parameters(Document.of({"train": {"x": {"int": [1, 10], "step": 4}}}))
    assert found.listed == (1, 5, 9)
    assert found.ends == (1, 9)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"choice": []}, "is empty: give the values to choose from"),
        ({"choice": [1, 1]}, "the option 1 is listed twice"),
        ({"uniform": []}, "is empty: give the least and the greatest value"),
        ({"uniform": [1]}, "has 1 values: give the least and the greatest value"),
        ({"uniform": [2, 1]}, "is empty: 2 is not below 1"),
        ({"log": [0, 1]}, "a logarithm needs bounds above 0, but one is 0"),
        ({"int": [1, 2.5]}, "its bounds must be whole numbers, but one is 2.5"),
        ({"int": [1, "x"]}, "its bounds must be numbers, but one is 'x'"),
        ({"int": [1, 4], "step": 9}, "'step' 9 is wider than the range"),
        ({"int": [1, 4], "step": 0}, "'step' must be a number above 0"),
        ({"log": [1, 4], "step": 1}, "a logarithmic range has no 'step'"),
        ({"uniform": [1, 4], "log": True}, "'log: true' is for int"),
        ({"uniform": [1, 4], "int": [1, 4]}, "is of several kinds, uniform and int"),
        ({"choice": [1], "type": "adam"}, "a space stands alone, but here are other keys too: type"),
        ({"choice": [{"lr": 1}], "lr": 2}, "with -o by the number of the option: train.x.choice[0].lr)"),
    ],
    ids=lambda value: str(value)[:30] if isinstance(value, dict) else "",
)
def test_what_is_wrong_with_a_space_is_said_at_its_place(space, message):
    with pytest.raises(ConfigError) as caught:
        parameters(Document.of({"train": {"x": space}}))
    assert message in str(caught.value)
    assert "train . x" in str(caught.value)


def test_a_config_without_spaces_is_told_how_one_is_written():
    with pytest.raises(ConfigError, match=r"there is nothing to search: .*lr: \{log: "):
        parameters(Document.of({"train": {"epochs": 1}}))


def test_a_drawn_value_keeps_the_line_of_its_option(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text("model:\n  choice:\n    - type: deepfm\n      hidden: [8]\n    - type: fm\n      wrong: 1\n")
    document = read_yaml(file)
    found = filled(document, parameters(document), lambda _: "fm")
    assert found.place(("model", "wrong")) == (str(file), 6)


def test_other_commands_name_every_space_and_the_command_that_searches():
    config = {"data": {"labels": ["y"]}, "features": [], "model": {"type": "fm", "embedding_dim": {"int": [1, 8]}}}
    with pytest.raises(ConfigError, match=r"model \. embedding_dim\s+is a space of values: `easyrec tune` searches it"):
        load_experiment(config)


def test_a_vocabulary_is_no_space():
    features = [{"type": "id", "name": "kind", "expression": "user:kind", "vocab_dict": {"int": 1, "log": 2}}]
    config = {"data": {"labels": ["y"]}, "features": features, "model": {"type": "fm", "embedding_dim": 4}}
    assert load_experiment(config).name == "experiment"
