import random

from easyrec.report.layered import place

GRAPH = {
    "a": [],
    "b": [],
    "c": ["a"],
    "d": ["a", "b"],
    "e": ["c", "d"],
    "f": ["e", "a"],
    "late": [],
    "g": ["late", "f"],
}
HEIGHTS = dict.fromkeys(GRAPH, 40.0)


def drawn(count, seed):
    """A random graph in which each node reads a few of the former ones."""
    chance = random.Random(seed)
    names = [f"n{i}" for i in range(count)]
    return {n: chance.sample(names[:i], min(i, chance.randrange(4))) for i, n in enumerate(names)}


def graphs():
    return [GRAPH, {}, {"only": []}, *(drawn(20, seed) for seed in range(10))]


def test_each_node_is_right_of_what_it_reads():
    for graph in graphs():
        found = place(graph, dict.fromkeys(graph, 40.0), 10.0)
        assert all(found.column[other] < found.column[node] for node, others in graph.items() for other in others)


def test_no_two_nodes_of_a_column_touch():
    for graph in graphs():
        heights = {node: 30.0 + 7 * (i % 3) for i, node in enumerate(graph)}
        found = place(graph, heights, 10.0)
        for one in graph:
            assert heights[one] / 2 - 1e-6 <= found.middle[one] <= found.height - heights[one] / 2 + 1e-6
            for other in graph:
                if one < other and found.column[one] == found.column[other]:
                    apart = abs(found.middle[one] - found.middle[other])
                    assert apart >= (heights[one] + heights[other]) / 2 + 10.0 - 1e-6


def test_an_edge_passes_every_column_between_its_ends_and_no_node():
    for graph in graphs():
        found = place(graph, dict.fromkeys(graph, 40.0), 10.0)
        for (source, target), route in found.routes.items():
            assert [column for column, _ in route] == list(range(found.column[source] + 1, found.column[target]))
            for column, height in route:
                others = [found.middle[n] for n in graph if found.column[n] == column]
                assert all(abs(height - middle) > 20.0 for middle in others)


def test_a_source_is_beside_its_reader():
    found = place(GRAPH, HEIGHTS, 10.0)
    assert found.column["late"] == found.column["g"] - 1


def test_a_chain_is_straight():
    chain = {"a": [], "b": ["a"], "c": ["b"]}
    assert set(place(chain, {"a": 40.0, "b": 80.0, "c": 20.0}, 10.0).middle.values()) == {40.0}


def test_edges_that_need_not_cross_do_not():
    graph = {"a": [], "b": [], "x": ["b"], "y": ["a"]}
    found = place(graph, dict.fromkeys(graph, 40.0), 10.0)
    assert (found.middle["a"] < found.middle["b"]) == (found.middle["y"] < found.middle["x"])


def test_the_same_graph_lies_the_same():
    assert place(GRAPH, HEIGHTS, 10.0) == place(dict(GRAPH), HEIGHTS, 10.0)
