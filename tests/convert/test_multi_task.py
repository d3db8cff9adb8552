"""Models of several tasks keep their experts, towers and relations."""

import pytest


def group(name, features, more=""):
    listed = ", ".join(f'"{feature}"' for feature in features)
    return f'feature_groups {{ group_name: "{name}" feature_names: [{listed}] {more} }}'


def kinds(found):
    return [entry.kind for entry in found.report.entries if entry.path.startswith("model_config")]


def told(found):
    """What is said of the model, without its place in it."""
    return [(e.kind, e.path.rpartition(".")[2]) for e in found.report.entries if e.path.startswith("model_config")]


def towers(names, *more, mlp="mlp"):
    """A tower per name, of equal layers, with more keys by position."""
    parts = []
    for index, name in enumerate(names):
        extra = more[index] if index < len(more) else ""
        parts.append(
            f"task_towers {{ tower_name: '{name}' label_name: '{'yz'[index]}' {mlp} {{ hidden_units: 4 }} {extra} }}"
        )
    return " ".join(parts)


RELU = {"activation": "relu"}
TOWER = {"hidden": [4], **RELU}
P, Q = {"name": "p", "label": "y", "type": "binary"}, {"name": "q", "label": "z", "type": "binary"}


@pytest.mark.parametrize(
    ("config", "keys"),
    [
        ("simple_multi_task { %s }", {"type": "shared_bottom", "bottom": [], "tower": TOWER}),
        (
            "mmoe { expert_mlp { hidden_units: [6, 5] use_bn: true } num_expert: 2 %s }",
            {"type": "mmoe", "experts": 2, "expert": {"hidden": [6, 5], "batch_norm": True, **RELU}, "tower": TOWER},
        ),
        (
            "ple { extraction_networks { network_name: 'a' expert_num_per_task: 2 share_num: 1 task_expert_net {"
            " hidden_units: 6 } share_expert_net { hidden_units: 6 } } extraction_networks { network_name: 'b'"
            " expert_num_per_task: 2 share_num: 3 task_expert_net { hidden_units: 5 } share_expert_net {"
            " hidden_units: 5 } } %s }",
            {
                "type": "ple",
                "levels": [{}, {"shared_experts": 3, "expert": {"hidden": [5], **RELU}}],
                "task_experts": 2,
                "shared_experts": 1,
                "expert": {"hidden": [6], **RELU},
                "tower": TOWER,
            },
        ),
        (
            "dbmtl { bottom_mlp { hidden_units: 8 } expert_mlp { hidden_units: 6 } num_expert: 2 %s }",
            {
                "type": "dbmtl",
                "bottom": {"hidden": [8], **RELU},
                "experts": 2,
                "expert": {"hidden": [6], **RELU},
                "relations": {"q": ["p"]},
                "relation": {"hidden": [3], **RELU},
                "tower": TOWER,
            },
        ),
    ],
    ids=["simple", "mmoe", "ple", "dbmtl"],
)
def test_tasks_become_the_model_of_the_same_name(config, keys, convert_model):
    related = "relation_tower_names: 'p' relation_mlp { hidden_units: 3 }" if keys["type"] == "dbmtl" else ""
    found = convert_model("tzrec", group("g", "ab") + config % towers("pq", "", related))
    assert found.draft.model == {**keys, "groups": {"deep": ["a", "b"]}, "tasks": [P, Q]}
    assert kinds(found) == []


def test_towers_that_differ_are_told_by_task(convert_model):
    config = (
        "simple_multi_task { task_towers { tower_name: 'p' label_name: 'y' mlp { hidden_units: 4 dropout_ratio: 0.2 } }"
    )
    config += " task_towers { tower_name: 'q' label_name: 'z' mlp { hidden_units: [8, 4] } } }"
    found = convert_model("tzrec", group("g", "ab") + config).draft.model
    assert found["tower"] == {"hidden": [4], "dropout": 0.2, **RELU}
    assert found["towers"] == {"q": {"hidden": [8, 4], "dropout": 0.0}}


@pytest.mark.parametrize(
    ("groups", "kind", "others"),
    [
        ({"domain": "c", "uia": "ab"}, "pepnet", {"domain": ["c"], "gate": ["a", "b"]}),
        ({"uia": "ab"}, "ppnet", {"gate": ["a", "b"]}),
        ({"domain": "c"}, "pepnet", {"domain": ["c"], "gate": ["c"]}),
        ({}, "shared_bottom", {}),
    ],
    ids=["both", "no-domain", "no-ids", "none"],
)
def test_pepnet_reads_the_groups_that_it_names(groups, kind, others, convert_model):
    listed = group("main", "abd") + "".join(group(f"g_{role}", names) for role, names in groups.items())
    named = "".join(f"{role}_group_name: 'g_{role}' " for role in groups)
    body = (
        f"pepnet {{ main_group_name: 'main' {named} epnet_hidden_unit: 7 ppnet_hidden_units: [6, 5] {towers('pq')} }}"
    )
    found = convert_model("tzrec", listed + body)
    assert found.draft.model["type"] == kind
    assert found.draft.model["groups"] == {"deep": ["a", "b", "d"], **others}
    assert found.draft.model["tower"] == {"hidden": [6, 5, 4], **RELU}
    assert found.draft.model["tasks"] == [P, Q]
    assert "lost" not in kinds(found)


def test_easyrec_esmm_has_a_task_for_both(convert_model):
    config = "model_class: 'ESMM'" + group("g", "ab") + "esmm { ctr_tower { tower_name: 'p' label_name: 'y' dnn {"
    config += " hidden_units: 4 } } cvr_tower { tower_name: 'q' label_name: 'z' weight: 2 dnn { hidden_units: 4 } } }"
    found = convert_model("easyrec", config)
    assert found.draft.model["type"] == "esmm"
    assert found.draft.model["tasks"] == [
        P,
        {**Q, "mask": "y == 1", "weight": 0},
        {"name": "ctcvr", "label": "z", "type": "binary", "weight": 2.0},
    ]
    assert kinds(found) == ["check"]


def test_easyrec_experts_one_by_one(convert_model):
    experts = "".join(f"experts {{ expert_name: 'e{i}' dnn {{ hidden_units: [6] }} }}" for i in range(3))
    config = "model_class: 'MMoE'" + group("g", "ab") + f"mmoe {{ {experts} {towers('pq', mlp='dnn')} }}"
    found = convert_model("easyrec", config).draft.model
    assert (found["type"], found["experts"]) == ("mmoe", 3)
    assert found["expert"] == {"hidden": [6], "activation": "relu", "batch_norm": True}


def test_a_level_of_ple_without_shared_experts_gets_one(convert_model):
    network = "extraction_networks { network_name: 'a' expert_num_per_task: 2 task_expert_net { hidden_units: 6 } }"
    config = "model_class: 'PLE'" + group("g", "ab") + f"ple {{ {network} {towers('pq', mlp='dnn')} }}"
    found = convert_model("easyrec", config)
    assert (found.draft.model["levels"], found.draft.model["shared_experts"]) == (1, 1)
    assert kinds(found) == ["changed"]


def test_easyrec_tasks(convert_model):
    found = convert_model("easyrec",
        "model_class: 'DBMTL'" + group("g", "ab") + "dbmtl { bottom_dnn { hidden_units: [8] } task_towers { tower_name: 'p'"
        " label_name: 'y' loss_type: CLASSIFICATION dnn { hidden_units: 4 } metrics_set { auc {} } } task_towers {"
        " tower_name: 'q' label_name: 'z' loss_type: L2_LOSS weight: 2 relation_tower_names: 'p' dnn { hidden_units: 4 }"
        " metrics_set { root_mean_squared_error {} } } }",
    )  # fmt: skip
    assert found.draft.model["type"] == "dbmtl"
    assert found.draft.model["bottom"] == {"hidden": [8], "activation": "relu", "batch_norm": True}
    assert found.draft.model["relations"] == {"q": ["p"]}
    assert found.draft.model["tasks"] == [
        {"name": "p", "label": "y", "type": "binary", "metrics": ["auc"]},
        {"name": "q", "label": "z", "type": "regression", "weight": 2.0, "metrics": ["rmse"]},
    ]


@pytest.mark.parametrize(
    ("more", "entries"),
    [
        ("relation_tower_names: 'p'", [("dropped", "relation_tower_names")]),
        ("relation_mlp { hidden_units: 5 }", [("lost", "relation_mlp")]),
        ("relation_tower_names: 'zzz' relation_mlp {}", [("lost", "relation_tower_names"), ("lost", "relation_mlp")]),
    ],
    ids=["no-layers", "no-tasks", "unknown"],
)
def test_relations_that_are_none(more, entries, convert_model):
    found = convert_model("tzrec", group("g", "ab") + f"dbmtl {{ {towers('pq', '', more)} }}")
    assert "relations" not in found.draft.model
    assert told(found) == entries


def test_a_task_depends_on_those_before_it_alone(convert_model):
    found = convert_model("tzrec", group("g", "ab") + f"dbmtl {{ {towers('pq', RELATED % 'q', RELATED % 'p')} }}")
    assert found.draft.model["relations"] == {"q": ["p"]}
    assert ("lost", "relation_tower_names") in told(found)


RELATED = "relation_tower_names: '%s' relation_mlp { hidden_units: 3 }"


def test_interventions_are_lost(convert_model):
    rank = "low_rank_dim: 3"
    listed = towers("pq", rank, f"{rank} intervention_tower_names: 'p'")
    found = convert_model("tzrec", group("g", "ab") + f"dc2vr {{ {listed} }}")
    assert found.draft.model["type"] == "dbmtl"
    assert sorted(kinds(found)) == ["changed", "lost", "lost", "lost"]


def test_models_of_several_tasks_read_the_first_group(convert_model):
    config = f"mmoe {{ expert_mlp {{ hidden_units: 6 }} {towers('pq')} }}"
    found = convert_model("tzrec", group("g", "ab") + group("more", "c") + config)
    assert found.draft.model["groups"] == {"deep": ["a", "b"]}
    assert told(found) == [("changed", "feature_groups")]


def test_pepnet_has_groups_by_default(convert_model):
    listed = group("all", "abd") + group("domain", "c") + group("uia", "ab")
    keys = "ppnet_gamma: 3 domain_input_name: 'c'"
    found = convert_model("tzrec", listed + f"pepnet {{ ppnet_hidden_units: 6 {keys} {towers('pq')} }}")
    assert found.draft.model["groups"] == {"deep": ["a", "b", "d"], "domain": ["c"], "gate": ["a", "b"]}
    assert {("lost", "ppnet_gamma"), ("lost", "domain_input_name"), ("changed", "pepnet")} <= set(told(found))


@pytest.mark.parametrize(
    ("peer", "config", "kind"),
    [
        ("tzrec", "use_pareto_loss_weight: true simple_multi_task { %s }", "mgda"),
        (
            "easyrec",
            "loss_weight_strategy: Uncertainty model_class: 'SimpleMultiTask' simple_multi_task { %s }",
            "uncertainty",
        ),
    ],
)
def test_training_finds_the_weights_of_several_tasks(peer, config, kind, convert_model):
    text = config % towers("pq", mlp="mlp" if peer == "tzrec" else "dnn")
    found = convert_model(peer, group("all", "ab") + text)
    assert found.draft.train["task_weighting"] == kind
    assert kinds(found) == ["changed"]


@pytest.mark.parametrize(
    ("peer", "config"),
    [
        ("tzrec", "use_pareto_loss_weight: true wide_and_deep { deep {} }"),
        ("easyrec", "loss_weight_strategy: Uncertainty model_class: 'WideAndDeep' wide_and_deep { dnn {} }"),
        ("easyrec", f"loss_weight_strategy: Random model_class: 'DBMTL' dbmtl {{ {towers('pq', mlp='dnn')} }}"),
    ],
    ids=["pareto", "uncertainty", "random"],
)
def test_weights_that_cannot_be_found_are_lost(peer, config, convert_model):
    found = convert_model(peer, group("all", "ab") + config)
    assert "task_weighting" not in found.draft.train
    assert kinds(found) == ["lost"]
