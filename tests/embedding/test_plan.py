import pytest

from easyrec.config.model import GroupUse, ModelConfig
from easyrec.embedding.plan import plan_embeddings
from easyrec.embedding.spec import Initializer
from easyrec.errors import ConfigError
from feature_generator import OutputSpec


class Reads(ModelConfig):
    type: str = "reads"
    use: dict[str, GroupUse] = {"deep": GroupUse()}
    encoder: str | None = None

    def uses(self):
        return self.use

    def default_encoder(self):
        return self.encoder


def output(name, kind="sparse", **changes):
    values = {
        "side": "item", "mixed": False, "value_dim": 1, "num_embeddings": None if "dense" in kind else 100,
        "embedding_dim": 8, "embedding_name": name, "pooling": "sum", "trainable": True, "weighted": False,
        "sequence": None, "dense_embedding": None, "config": None,
    }  # fmt: skip
    return OutputSpec(name=name, kind=kind, **{**values, **changes})


def child(name, **changes):
    return output(f"clicks__{name}", "sparse_sequence", sequence="clicks", **changes)


def plan(*specs, **model):
    return plan_embeddings({spec.name: spec for spec in specs}, Reads(**model))


def problems(*specs, **model):
    with pytest.raises(ConfigError) as caught:
        plan(*specs, **model)
    return [(p.where, p.message) for p in caught.value.problems]


def test_without_groups_all_that_is_no_sequence_is_deep():
    result = plan(output("a"), output("x", "dense", embedding_dim=None, value_dim=3), child("a"), output("b"))
    layout = result.layouts["deep"]
    assert [(s.name, s.dim, s.start) for s in layout.fields] == [("a", 8, 0), ("b", 8, 8)]
    assert [(s.name, s.dim, s.start) for s in layout.dense] == [("x", 3, 0)]
    assert [t.name for t in result.tables] == ["a", "b"]
    assert (result.parameters, result.bytes) == (1600, 6400)


def test_features_without_a_dim_take_the_model_s():
    result = plan(output("a", embedding_dim=None), output("b", embedding_dim=4), embedding_dim=16)
    assert [t.dim for t in result.tables] == [16, 4]


def test_a_dim_must_come_from_somewhere():
    ((where, message),) = problems(output("a", embedding_dim=None))
    assert where == "model"
    assert "'a' needs an embedding_dim" in message


def test_a_model_without_fields_needs_no_dims():
    result = plan(output("a", embedding_dim=None), use={"deep": GroupUse(fields=False, first_order=True)})
    assert [(t.name, t.dim) for t in result.tables] == [("a:first", 1)]
    assert result.layouts["deep"].keys() == ("first:deep",)
    assert result.layouts["deep"].num_fields == 1


@pytest.mark.parametrize(
    "init", [{"type": "normal", "std": 0.5}, {"type": "uniform", "bound": 0.5}, {"type": "xavier"}], ids=str
)
def test_first_order_weights_start_near_0_whatever_embeddings_do(init):
    result = plan(output("a"), use={"deep": GroupUse(first_order=True)}, embedding_init=init)
    first, other = sorted(result.tables, key=lambda table: table.dim)
    assert (first.init.type, first.init.value) == ("normal", 1e-4)
    assert other.init != first.init


def test_first_order_weights_are_shared_like_the_embeddings():
    specs = [output("a"), output("b", embedding_name="a"), output("n", "dense", dense_embedding="linear", value_dim=2)]
    result = plan(*specs, use={"deep": GroupUse(first_order=True)})
    assert [(t.name, t.rows, t.dim, t.features) for t in result.tables] == [
        ("a", 100, 8, ("a", "b")),
        ("n", 2, 8, ("n",)),
        ("a:first", 100, 1, ("a", "b")),
        ("n:first", 2, 1, ("n",)),
    ]


def test_a_linear_field_is_a_table_with_one_row_per_value():
    (bag,) = plan(output("n", "dense", dense_embedding="linear", value_dim=3)).groups["deep"].fields
    assert (bag.kind, bag.value_dim, bag.dim) == ("linear", 3, 8)


def test_the_vectors_of_a_linear_field_start_like_the_rows_of_ids():
    tables = {t.name: t for t in plan(output("a"), output("n", "dense", dense_embedding="linear", value_dim=3)).tables}
    assert tables["n"].init == tables["a"].init == Initializer("normal", 1e-4)


def test_a_field_that_a_module_makes_is_no_table():
    deep = {"type": "mlp", "hidden": 3}
    specs = [
        output("x", "dense", dense_embedding="autodis"),
        output("a"),
        output("v", "dense", dense_embedding=deep, value_dim=3),
        output("y", "dense", dense_embedding={"type": "autodis"}, embedding_dim=2),
        output("w", "dense", dense_embedding=deep),
        output("n", "dense", dense_embedding={"type": "linear"}),
    ]
    result = plan(*specs, use={"deep": GroupUse(first_order=True)})
    layout = result.layouts["deep"]
    assert [s.name for s in layout.fields] == ["a", "n"]
    assert [(f.name, f.dim, f.start, f.size, f.config.type) for f in layout.numeric] == [
        ("x", 8, 0, 1, "autodis"),
        ("v", 8, 1, 3, "mlp"),
        ("w", 8, 4, 1, "mlp"),
        ("y", 2, 5, 1, "autodis"),
    ]
    assert layout.keys() == ("emb:deep", "first:deep", "num:deep")
    assert (layout.width, layout.num_fields, layout.numeric_width) == (16, 6, 6)
    assert {t.name: t.rows for t in result.tables if t.dim > 1} == {"a": 100, "n": 1}
    assert [(bag.feature, bag.kind) for bag in result.groups["deep"].first] == [
        ("a", "ids"), ("n", "linear"), ("x", "linear"), ("v", "linear"), ("w", "linear"), ("y", "linear"),
    ]  # fmt: skip
    assert {t.name: t.rows for t in result.tables if t.dim == 1}["v:first"] == 3
    assert [(s.name, s.dim, s.start) for s in layout.joined().fields] == [
        ("a", 8, 0), ("n", 8, 8), ("x", 8, 16), ("v", 8, 24), ("w", 8, 32), ("y", 2, 40),
    ]  # fmt: skip


def test_a_model_without_fields_needs_no_modules():
    use = {"deep": GroupUse(fields=False, first_order=True)}
    result = plan(output("x", "dense", dense_embedding="autodis"), use=use)
    assert result.layouts["deep"].keys() == ("first:deep",)
    assert [(t.name, t.rows) for t in result.tables] == [("x:first", 1)]


def test_a_field_for_each_other_one_is_made_of_numbers_too():
    specs = [output("a"), output("b"), output("x", "dense", dense_embedding="mlp")]
    (field,) = plan(*specs, use={"deep": GroupUse(pairs=True)}).layouts["deep"].numeric
    assert field.dim == 2 * 8


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dense_embedding": "autodi"}, "'x' . dense_embedding: unknown type 'autodi'; did you mean 'autodis'?\nknown: linear, autodis, mlp, periodic"),
        ({"dense_embedding": {"type": "autodis", "bukets": 3}}, "'x' . dense_embedding . bukets: unknown key; did you mean 'buckets'?"),
        ({"dense_embedding": {"type": "mlp", "hidden": 0}}, "'x' . dense_embedding . hidden: must be greater than 0, but is 0"),
        ({"dense_embedding": {"type": "linear", "hidden": 2}}, "'x' . dense_embedding: 'linear' has no keys, but has 'hidden'"),
        ({"dense_embedding": "mlp", "embedding_name": "y"}, "'x' has 'embedding_name', which is for tables: dense_embedding 'mlp' has none"),
        ({"dense_embedding": "mlp", "trainable": False}, "'x' has 'trainable', which is for tables: dense_embedding 'mlp' has none"),
    ],
    ids=["unknown", "key", "value", "linear", "shared", "frozen"],
)  # fmt: skip
def test_what_is_wrong_with_a_dense_embedding_is_told(changes, message):
    assert problems(output("a"), output("x", "dense", **changes)) == [("features", message)]


def test_steps_of_numbers_are_embedded_by_tables_alone():
    price = output("clicks__price", "dense_sequence", sequence="clicks", dense_embedding="mlp")
    groups = {"deep": {"features": ["a"], "sequences": [{"sequence": "clicks"}]}}
    for encoder in (None, "din"):
        ((where, message),) = problems(output("a"), price, groups=groups, encoder=encoder)
        assert where == "features"
        assert "'clicks__price' is a sequence: its dense_embedding must be 'linear', not 'mlp'" in message


def test_unequal_dims_of_fields_made_of_numbers_are_named():
    x = output("x", "dense", dense_embedding="mlp", embedding_dim=4)
    ((where, message),) = problems(output("a"), x, use={"deep": GroupUse(equal_dims=True)})
    assert (where, "a 8, x 4" in message) == ("model.groups.deep", True)


@pytest.mark.parametrize(
    ("changes", "what"),
    [({"num_embeddings": 50}, "rows"), ({"embedding_dim": 4}, "embedding_dim"), ({"trainable": False}, "trainable")],
)
def test_sharers_of_a_table_must_agree(changes, what):
    ((where, message),) = problems(output("a"), output("b", embedding_name="a", **changes))
    assert where == "features.b"
    assert "'a' and 'b' share the table 'a'" in message
    assert what in message


def test_unequal_dims_are_named_where_the_model_needs_equal_ones():
    ((where, message),) = problems(output("a"), output("b", embedding_dim=4), use={"deep": GroupUse(equal_dims=True)})
    assert where == "model.groups.deep"
    assert "a 8, b 4" in message


def test_all_problems_of_the_groups_come_at_once():
    groups = {
        "deep": {"features": ["a", "aa", "clicks", "clicks__a", "a"], "sequences": [{"sequence": "click"}]},
        "deeep": ["a"],
    }
    found = problems(output("a"), child("a"), groups=groups)
    assert [where for where, _ in found] == [
        "model.groups.deeep",
        "model.groups.deep.features.1",
        "model.groups.deep.features.2",
        "model.groups.deep.features.3",
        "model.groups.deep.features.4",
        "model.groups.deep.sequences.0.sequence",
    ]
    messages = dict(found)
    assert "did you mean 'deep'" in messages["model.groups.deeep"]
    assert "did you mean 'a'" in messages["model.groups.deep.features.1"]
    assert "is a sequence" in messages["model.groups.deep.features.2"]
    assert "listed twice" in messages["model.groups.deep.features.4"]
    assert "did you mean 'clicks'" in messages["model.groups.deep.sequences.0.sequence"]


def test_a_group_that_the_model_needs_must_be_there():
    use = {"user": GroupUse(), "item": GroupUse()}
    assert problems(output("a"), use=use, groups={"user": ["a"]}) == [
        ("model.groups", "type 'reads' needs a group 'item'\ngiven: user; add e.g. item: [a]")
    ]


def test_a_group_may_be_like_another():
    use = {"deep": GroupUse(), "wide": GroupUse(fields=False, first_order=True, like="deep")}
    for groups in (None, {"deep": ["a"]}):
        layouts = plan(output("a"), use=use, groups=groups).layouts
        assert [s.name for s in layouts["wide"].fields] == ["a"]
    layouts = plan(output("a"), output("b"), use=use, groups={"deep": ["a"], "wide": ["b"]}).layouts
    assert [s.name for s in layouts["wide"].fields] == ["b"]


SEQUENCE = {"deep": {"features": ["item", "cate"], "sequences": [{"sequence": "clicks"}]}}


def test_children_are_paired_with_the_feature_that_shares_their_table():
    specs = [output("item"), output("cate"), child("item", embedding_name="item"), child("time")]
    (sequence,) = plan(*specs, groups=SEQUENCE, encoder="din").layouts["deep"].sequences
    assert [c.name for c in sequence.children] == ["clicks__item", "clicks__time"]
    assert sequence.query == ("item", None)
    assert sequence.dim == 16


def test_a_query_may_be_given_by_short_or_full_name():
    specs = [output("item"), output("cate"), child("a"), child("b")]
    entry = {"sequence": "clicks", "query": {"a": "cate", "clicks__b": "item"}}
    groups = {"deep": {"features": ["item", "cate"], "sequences": [entry]}}
    (sequence,) = plan(*specs, groups=groups, encoder="din").layouts["deep"].sequences
    assert sequence.query == ("cate", "item")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"x": "item"}, "has no child 'x'; it has: a"),
        ({"a": "itemm"}, "did you mean 'item'"),
        ({"a": "other"}, "must be among the group's features"),
        ({"a": "number"}, "is a dense input"),
        ({"a": "cate"}, "'clicks__a' has embedding_dim 8, but its candidate 'cate' has 4"),
    ],
)
def test_a_wrong_query_is_explained(query, message):
    specs = [
        output("item"), output("cate", embedding_dim=4), output("other"), child("a"),
        output("number", "dense", embedding_dim=None),
    ]  # fmt: skip
    groups = {"deep": {"features": ["item", "cate", "number"], "sequences": [{"sequence": "clicks", "query": query}]}}
    ((where, text),) = problems(*specs, groups=groups, encoder="din")
    assert where == f"model.groups.deep.sequences.0.query.{next(iter(query))}"
    assert message in text


@pytest.mark.parametrize(
    ("encoder", "default", "pooled"),
    [
        (None, None, "mean"),
        (None, "din", None),
        ({"type": "pooling"}, "din", "mean"),
        ({"type": "pooling", "pooling": "sum"}, "din", "sum"),
        ({"type": "pooling", "product": True}, None, None),
        ({"type": "din"}, None, None),
    ],
)
def test_the_lookup_pools_where_the_encoder_is_pooling(encoder, default, pooled):
    specs = [output("item"), output("cate"), child("item", embedding_name="item", pooling="mean"), child("b")]
    entry = {"sequence": "clicks", "encoder": encoder}
    groups = {"deep": {"features": ["item", "cate"], "sequences": [entry]}}
    group = plan(*specs, groups=groups, encoder=default).groups["deep"]
    assert len(group.layout.sequences) == (pooled is None)
    if pooled is None:
        assert [bag.element_mean for bag in group.sequences[0]] == [True, False]
    else:
        assert [s.name for s in group.layout.fields][2:] == ["clicks__item", "clicks__b"]
        assert [(bag.mean, bag.element_mean) for bag in group.fields[2:]] == [
            (pooled == "mean", e) for e in (True, False)
        ]


def test_an_output_without_a_number_of_ids_is_an_error():
    assert "does not say how many ids" in problems(output("a", num_embeddings=None))[0][1]


PAIRS = {"deep": GroupUse(pairs=True, equal_dims=True)}


def test_pairs_give_an_id_one_embedding_for_each_other_field():
    specs = [output("a"), output("b"), output("n", "dense", dense_embedding="linear", value_dim=3), output("d")]
    specs.append(output("x", "dense", embedding_dim=None))  # a dense input is no field
    result = plan(*specs, use=PAIRS)
    assert [(t.name, t.rows, t.dim) for t in result.tables] == [
        ("a:pairs", 100, 24),
        ("b:pairs", 100, 24),
        ("n:pairs", 3, 24),
        ("d:pairs", 100, 24),
    ]
    assert [(s.name, s.dim, s.start) for s in result.layouts["deep"].fields] == [
        ("a", 24, 0),
        ("b", 24, 24),
        ("n", 24, 48),
        ("d", 24, 72),
    ]


def test_pairs_count_the_children_of_every_sequence():
    specs = [output("item"), child("item", embedding_name="item"), child("time")]
    for encoder in ("din", "pooling"):
        entry = {"sequence": "clicks", "encoder": encoder}
        groups = {"deep": {"features": ["item"], "sequences": [entry]}}
        result = plan(*specs, use=PAIRS, groups=groups)
        assert [(t.name, t.dim, t.features) for t in result.tables] == [
            ("item:pairs", 16, ("item", "clicks__item")),
            ("clicks__time:pairs", 16, ("clicks__time",)),
        ]
        layout = result.layouts["deep"]
        children = layout.sequences[0].children if layout.sequences else layout.fields[1:]
        assert [s.dim for s in children] == [16, 16]


def test_a_lone_field_of_pairs_has_one_embedding():
    assert [t.dim for t in plan(output("a"), use=PAIRS).tables] == [8]


def test_pairs_beside_plain_embeddings_are_other_tables():
    use = {"deep": GroupUse(), "pairs": GroupUse(pairs=True, like="deep")}
    result = plan(output("a"), output("b"), output("c"), use=use)
    assert {t.name: t.dim for t in result.tables} == {
        "a": 8, "b": 8, "c": 8, "a:pairs": 16, "b:pairs": 16, "c:pairs": 16,
    }  # fmt: skip
    assert result.layouts["pairs"].keys() == ("emb:pairs",)


def test_first_order_weights_of_pairs_are_one_per_id():
    result = plan(output("a"), output("b"), use={"deep": GroupUse(pairs=True, first_order=True)})
    assert {t.name: t.dim for t in result.tables} == {
        "a:pairs": 8,
        "b:pairs": 8,
        "a:pairs:first": 1,
        "b:pairs:first": 1,
    }


def test_unequal_dims_of_pairs_are_told_as_the_config_says_them():
    specs = [output("a"), output("b", embedding_dim=4), output("c")]
    assert "a 8, b 4, c 8" in problems(*specs, use=PAIRS)[0][1]


def test_a_vector_has_no_embedding_per_field():
    specs = [output("item"), child("item", embedding_name="item")]
    specs.append(output("clicks__look", "dense_sequence", sequence="clicks", embedding_dim=None, value_dim=16))
    groups = {"deep": {"features": ["item"], "sequences": [{"sequence": "clicks"}]}}
    for use in (PAIRS, {"deep": GroupUse(pairs=True)}):
        ((where, message),) = problems(*specs, use=use, groups=groups)
        assert where == "model.groups.deep"
        assert message.endswith("these are vectors: clicks__look")


def test_fields_take_the_dim_of_a_vector_which_has_that_of_the_data():
    look, tone = (
        output(f"clicks__{name}", "dense_sequence", sequence="clicks", embedding_dim=None, value_dim=dim)
        for name, dim in (("look", 4), ("tone", 6))
    )
    groups = {"deep": {"features": ["a", "b"], "sequences": [{"sequence": "clicks"}]}}
    for pooled in (True, False):
        entry = {"sequence": "clicks"} if pooled else {"sequence": "clicks", "encoder": {"type": "din"}}
        groups["deep"]["sequences"] = [entry]
        ((_, message),) = problems(
            output("a"), output("b"), look, use={"deep": GroupUse(equal_dims=True)}, groups=groups
        )
        assert message.endswith("set embedding_dim: 4 at: a, b; the dim of the vector clicks__look is that of the data")
        ((_, message),) = problems(
            output("a"),
            look,
            tone,
            use={"deep": GroupUse(equal_dims=True)},
            groups={"deep": {**groups["deep"], "features": ["a"]}},
        )
        assert message.endswith("those of the data: clicks__look, clicks__tone; keep those of one dim alone")


def test_own_tables_are_not_shared_with_groups_that_read_the_same():
    use = {"deep": GroupUse(), "gate": GroupUse(like="deep"), "mine": GroupUse(own=True, like="deep")}
    result = plan(output("a"), output("b", embedding_name="a"), use=use)
    assert {t.name: t.features for t in result.tables} == {"a": ("a", "b"), "a:mine": ("a", "b")}
    names = {group: [bag.table for bag in result.groups[group].fields] for group in use}
    assert names == {"deep": ["a", "a"], "gate": ["a", "a"], "mine": ["a:mine", "a:mine"]}


def test_own_pairs_of_two_groups_are_two_tables():
    use = {name: GroupUse(own=True, pairs=True, like="deep") for name in ("deep", "other")}
    tables = plan(output("a"), output("b"), use=use).tables
    assert [t.name for t in tables] == ["a:deep:pairs", "b:deep:pairs", "a:other:pairs", "b:other:pairs"]


def test_an_optional_group_is_there_where_the_config_names_it():
    use = {"deep": GroupUse(), "extra": GroupUse(optional=True)}
    specs = [output("a"), output("b")]
    for groups in (None, {"deep": ["a"]}):
        assert list(plan(*specs, use=use, groups=groups).layouts) == ["deep"]
    layouts = plan(*specs, use=use, groups={"deep": ["a"], "extra": ["b"]}).layouts
    assert [s.name for s in layouts["extra"].fields] == ["b"]
    assert problems(*specs, use=use, groups={"extra": ["b"]}) == [
        ("model.groups", "type 'reads' needs a group 'deep'\ngiven: extra; add e.g. deep: [a, b]")
    ]


def test_an_optional_group_is_not_taken_from_the_one_that_it_is_like():
    use = {"deep": GroupUse(), "extra": GroupUse(optional=True, like="deep")}
    assert list(plan(output("a"), use=use).layouts) == ["deep"]
