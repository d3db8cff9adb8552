"""What is told of a compiled model."""

import pytest
import torch

from easyrec.train.compiled import CompileWatch


@pytest.mark.filterwarnings("ignore")  # torch's compiler warns of its own internals
def test_graphs_and_breaks_are_told_with_their_reason():
    def broken(x):
        x = x + 1
        torch._dynamo.graph_break()
        return x * 2

    watch = CompileWatch()
    assert watch.told() == "compiled into 0 graphs, without a break"
    torch.compile(lambda x: x * 3 + 1, backend="eager")(torch.ones(2))
    assert watch.told() == "compiled into 1 graph, without a break"
    watch = CompileWatch()
    torch.compile(broken, backend="eager")(torch.ones(2))
    first, *reasons = watch.told().splitlines()
    assert first == "compiled into 2 graphs, broken at:"
    assert "torch._dynamo.graph_break" in reasons[0]
