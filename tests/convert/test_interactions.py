"""Models of crosses between fields keep their numbers."""

import pytest

RELU = {"activation": "relu"}
DENSE = "feature_groups { group_name: 'dense' feature_names: 'd' %s }"


def fields(*names, more="", name="sparse"):
    return f"feature_groups {{ group_name: '{name}' feature_names: [{', '.join(map(repr, names))}] {more} }}"


def told(found):
    """What is said of the model, without its place in it."""
    return [(e.kind, e.path.rpartition(".")[2]) for e in found.report.entries if e.path.startswith("model_config")]


def test_dlrm_of_torcheasyrec_is_whole(convert_model):
    text = "dlrm { dense_mlp { hidden_units: [16, 4] } final { hidden_units: [8] dropout_ratio: 0.1 } }"
    found = convert_model("tzrec", fields("a", "b") + DENSE % "" + text)
    assert found.draft.model == {
        "type": "dlrm",
        "hidden": [8],
        **RELU,
        "dropout": 0.1,
        "bottom": {"hidden": [16], **RELU},
        "with_fields": True,
        "groups": {"deep": ["a", "b", "d"]},
    }
    assert told(found) == []


def test_dlrm_without_fields_on_top_and_without_a_dense_group(convert_model):
    text = "dlrm { dense_mlp { hidden_units: [4] } arch_with_sparse: false final { hidden_units: [8] } }"
    found = convert_model("tzrec", fields("a", "b", name="any") + text)
    assert found.draft.model == {"type": "dlrm", "hidden": [8], **RELU, "groups": {"deep": ["a", "b"]}}
    assert told(found) == []


def test_fields_of_different_widths_leave_the_mlp(convert_model):
    found = convert_model("tzrec", fields("a", "c") + "dlrm { dense_mlp {} final { hidden_units: [8] } }")
    assert found.draft.model == {"type": "dnn", "hidden": [8], **RELU, "groups": {"deep": ["a", "c"]}}
    assert told(found) == [("changed", "dlrm")]


def test_what_dense_embeds_is_a_field(convert_model):
    dense = "feature_groups { group_name: 'dense' feature_names: ['d', 'b'] }"
    found = convert_model("tzrec", fields("a") + dense + "dlrm { dense_mlp { hidden_units: 4 } final {} }")
    assert found.draft.model["groups"] == {"deep": ["a", "d", "b"]}
    assert told(found) == [("changed", "dlrm")]


@pytest.mark.parametrize(
    ("keys", "expected", "entries"),
    [
        ("arch_with_dense_feature: true", {"with_fields": True}, []),
        ("", {"with_fields": True}, [("changed", "dlrm")]),
        ("arch_interaction_op: 'cat'", {"interaction": "cat"}, []),
        ("arch_with_dense_feature: true arch_interaction_itself: true", {"with_fields": True}, [("lost", "dlrm")]),
    ],
    ids=["with-dense", "without-dense", "cat", "itself"],
)
def test_dlrm_of_easyrec(keys, expected, entries, convert_model):
    mlps = "bot_dnn { hidden_units: [16, 4] use_bn: false } top_dnn { hidden_units: [8] use_bn: false }"
    found = convert_model(
        "easyrec", "model_class: 'DLRM'" + fields("a", "b") + DENSE % "" + f"dlrm {{ {mlps} {keys} }}"
    )
    bottom = {"bottom": {"hidden": [16], **RELU}}
    groups = {"groups": {"deep": ["a", "b", "d"]}}
    assert found.draft.model == {"type": "dlrm", "hidden": [8], **RELU, **bottom, **expected, **groups}
    assert [kind for kind, _ in told(found)] == [kind for kind, _ in entries]
    assert found.draft.train["net_regularizer"] == 1e-5


def test_the_mlp_of_dense_ends_as_wide_as_an_embedding(convert_model):
    mlps = "top_dnn { hidden_units: [16, 4] } bot_dnn { hidden_units: [8] } arch_with_dense_feature: true"
    found = convert_model("easyrec", "model_class: 'DLRM'" + fields("a", "b") + DENSE % "" + f"dlrm {{ {mlps} }}")
    assert (found.draft.model["hidden"], found.draft.model["bottom"]["hidden"]) == ([8], [16])
    assert told(found) == [("check", "dlrm")]


def test_wukong_has_the_layers_of_its_first(convert_model):
    layer = "wukong_layers { lcb_feature_num: %d fmb_feature_num: 5 feature_num_mlp { hidden_units: [6] } }"
    text = f"wukong {{ dense_mlp {{ hidden_units: [4] }} {layer % 3} {layer % 3} final {{ hidden_units: [8] }} }}"
    found = convert_model("tzrec", fields("a", "b") + DENSE % "" + text)
    assert found.draft.model == {
        "type": "wukong",
        "hidden": [8],
        **RELU,
        "layers": 2,
        "fm_fields": 5,
        "linear_fields": 3,
        "rank": 16,
        "fm_hidden": [6],
        "bottom": {"hidden": [], **RELU},
        "groups": {"deep": ["a", "b", "d"]},
    }
    assert told(found) == []
    uneven = f"wukong {{ {layer % 3} {layer % 4} final {{ hidden_units: [8] dropout_ratio: 0.5 }} }}"
    found = convert_model("tzrec", fields("a", "b") + uneven)
    assert sorted(told(found)) == [("changed", "feature_num_mlp")] * 2 + [("changed", "wukong_layers")]


@pytest.mark.parametrize(
    ("parts", "keys"),
    [
        ("cross { cross_num: 2 } deep { hidden_units: [8] }", {"cross_layers": 2, "hidden": [8], **RELU}),
        ("cross_tower { cross_num: 2 } deep_tower { hidden_units: [8] }", {"cross_layers": 2, "hidden": [8], **RELU}),
        ("", {"cross_layers": 3, "structure": "cross"}),
    ],
    ids=["now", "once", "no-mlp"],
)
def test_dcn_of_the_first_version(parts, keys, convert_model):
    found = convert_model("tzrec", fields("a", "c") + f"dcn_v1 {{ {parts} }}")
    assert found.draft.model == {"type": "dcn", **keys, "groups": {"deep": ["a", "c"]}}
    assert told(found) == []
    found = convert_model("tzrec", fields("a", "c") + f"dcn_v1 {{ {parts} final {{ hidden_units: 4 }} }}")
    assert told(found) == [("lost", "final")]


def test_models_of_one_group_read_the_first(convert_model):
    found = convert_model("tzrec", fields("a") + fields("b", name="more") + "dcn_v1 { cross {} }")
    assert found.draft.model["groups"] == {"deep": ["a"]}
    assert told(found) == [("changed", "feature_groups")]


def test_dcn_of_easyrec_reads_what_its_towers_name(convert_model):
    towers = "deep_tower { input: 'sparse' dnn { hidden_units: 8 } } cross_tower { input: 'other' cross_num: 2 }"
    found = convert_model(
        "easyrec", "model_class: 'DCN'" + fields("a") + fields("b", name="other") + f"dcn {{ {towers} }}"
    )
    groups = {"groups": {"deep": ["a", "b"]}}
    assert found.draft.model == {"type": "dcn", "cross_layers": 2, "hidden": [8], **RELU, "batch_norm": True, **groups}
    assert told(found) == [("changed", "dcn")]


def test_xdeepfm_shares_the_embeddings(convert_model):
    text = "xdeepfm { cin { cin_layer_size: [6, 4] } deep { hidden_units: 8 } final { hidden_units: 4 } }"
    wide = fields("a", "b", name="wide", more="group_type: WIDE")
    found = convert_model("tzrec", fields("a", "b", "d", name="deep") + wide + text)
    assert found.draft.model == {
        "type": "xdeepfm",
        "hidden": [8],
        **RELU,
        "cin_units": [6, 4],
        "groups": {"deep": ["a", "b", "d"]},
    }
    assert sorted(told(found)) == [("changed", "xdeepfm"), ("lost", "final")]


@pytest.mark.parametrize(
    ("keys", "expected", "entries"),
    [
        (
            "n_mask_blocks: 2 mask_block { hidden_dim: 6 reduction_ratio: 2 } top_mlp { hidden_units: [8] }",
            {"blocks": 2, "block_dim": 6, "hidden": [8], **RELU, "reduction": 2.0},
            [("changed", "mask_net")],
        ),
        (
            "n_mask_blocks: 2 mask_block { hidden_dim: 6 aggregation_dim: 9 } use_parallel: false",
            {"structure": "serial", "hidden": [6, 6]},
            [("changed", "mask_net"), ("dropped", "aggregation_dim")],
        ),
        (
            "n_mask_blocks: 2 mask_block { hidden_dim: 6 reduction_ratio: 0 aggregation_dim: 9 }"
            " top_mlp { hidden_units: [8] activation: 'nn.GELU' use_ln: true }",
            {"blocks": 2, "block_dim": 6, "hidden": [8], "activation": "gelu"},
            [("changed", "mask_net"), ("changed", "aggregation_dim"), ("lost", "use_ln"), ("changed", "top_mlp")],
        ),
        (
            "n_mask_blocks: 2 mask_block { hidden_dim: 6 }",
            {"blocks": 2, "block_dim": 6},
            [("changed", "mask_net"), ("changed", "mask_net_module")],
        ),
    ],
    ids=["parallel", "serial", "as-wide-as-its-mask", "no-mlp"],
)
def test_masknet(keys, expected, entries, convert_model):
    found = convert_model("tzrec", fields("a", "b") + f"mask_net {{ mask_net_module {{ {keys} }} }}")
    assert found.draft.model == {"type": "masknet", **expected, "groups": {"deep": ["a", "b"]}}
    assert sorted(told(found)) == sorted(entries)


def test_masknet_leaves_fields_of_different_widths_as_they_are(convert_model):
    block = "n_mask_blocks: 2 mask_block { hidden_dim: 6 } top_mlp { hidden_units: 8 }"
    found = convert_model("tzrec", fields("a", "c", "d") + f"mask_net {{ mask_net_module {{ {block} }} }}")
    assert found.draft.model["embedding_norm"] is False
    assert told(found) == [("changed", "mask_net")]


def test_autoint(convert_model):
    found = convert_model(
        "easyrec",
        "model_class: 'AutoInt'" + fields("a", "b", name="all")
        + "autoint { multi_head_num: 2 multi_head_size: 8 interacting_layer_num: 3 }",
    )  # fmt: skip
    assert found.draft.model == {
        "type": "autoint",
        "attention_layers": 3,
        "attention_dim": 16,
        "heads": 2,
        "groups": {"deep": ["a", "b"]},
    }
    assert told(found) == [("changed", "autoint")]
