"""Upstream, downstream and impact, against reachability worked out step by step."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from easyrec.errors import ConfigError
from easyrec.lineage.graph import KINDS, Edge, Graph, Node

ORDER = list(KINDS)


def small():
    """Two columns, a label, a model, its version and an endpoint."""
    graph = Graph()
    nodes = {
        "age": Node("column", "users", "age"),
        "click": Node("column", "log", "click"),
        "x": Node("input", "m", "deep/age"),
        "y": Node("label", "m", "click"),
        "m": Node("model", "m", ""),
        "v": Node("version", "m@1", ""),
        "e": Node("endpoint", "host:1/m", ""),
    }
    ids = {name: graph.add(node) for name, node in nodes.items()}
    for source, target, training in [
        ("age", "x", False),
        ("click", "y", True),
        ("x", "m", False),
        ("y", "m", True),
        ("m", "v", False),
        ("v", "e", False),
    ]:
        graph.link(Edge(ids[source], ids[target], training=training))
    return graph, ids


def test_an_input_breaks_the_model_and_all_that_answers_with_it():
    graph, ids = small()
    found = graph.impact([ids["age"]])
    assert (found.models, found.untrained) == (["m"], [])
    assert (found.versions, found.endpoints) == (["m@1"], ["host:1/m"])


def test_a_label_stops_training_and_what_was_trained_answers_on():
    graph, ids = small()
    found = graph.impact([ids["click"]])
    assert (found.models, found.untrained, found.versions, found.endpoints) == ([], ["m"], [], [])
    assert found.broken == [ids["y"], ids["m"]]
    both = graph.impact([ids["click"], ids["age"]])
    assert (both.models, both.untrained, both.versions) == (["m"], [], ["m@1"])


def test_names_are_found_by_their_ends_and_doubts_are_told():
    graph, ids = small()
    graph.add(Node("column", "warehouse/users", "age"))
    assert graph.find("users.age").id == ids["age"]
    assert graph.find("warehouse/users.age").group == "warehouse/users"
    assert graph.find("model:m").kind == "model"
    with pytest.raises(ConfigError, match="'age' may be any of 2"):
        graph.find("age", ("column",))
    with pytest.raises(ConfigError, match=r"did you mean 'users\.age'"):
        graph.find("users.agee")


@given(st.lists(st.tuples(st.integers(0, 14), st.integers(0, 14), st.booleans(), st.booleans()), max_size=40))
def test_reachability_is_that_of_paths(edges):
    """Against a closure that adds one step at a time, with a flag for paths through training alone."""
    graph = Graph()
    kind = [ORDER[place // 2] for place in range(15)]
    names = [graph.add(Node(kind[place], f"n{place}", "x")) for place in range(15)]
    kept = [(a, b, t, d) for a, b, t, d in edges if a < b]
    for a, b, training, direct in kept:
        graph.link(Edge(names[a], names[b], training=training, direct=direct))
    seen = {(0, False)}
    while True:
        more = {
            (b, flag or training)
            for at, flag in seen
            for a, b, training, _ in kept
            if a == at and not (flag and kind[at] == "model")
        }
        if more <= seen:
            break
        seen |= more
    reached = {place for place, _ in seen} - {0}
    assert {node.id for node in graph.downstream(names[0])} == {names[place] for place in reached}
    answering = {place for place, flag in seen if not flag} - {0}
    found = graph.impact([names[0]])
    of = lambda kind_, places: sorted(f"n{p}.x" for p in places if kind[p] == kind_)  # noqa: E731
    assert sorted(found.models) == of("model", answering)
    assert sorted(found.untrained) == of("model", reached - answering)
    assert sorted(found.versions) == of("version", answering)
    for place in reached:
        assert names[0] in {node.id for node in graph.upstream(names[place])}
