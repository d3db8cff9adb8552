import numpy as np
import pyarrow as pa
import pytest
import torch

from easyrec.batch import Batch, Embedded, GroupLayout, SequenceLayout, Span, as_tensor
from feature_generator import Ragged, Table


def table():
    ragged = {
        "one": Ragged(np.array([3, 1])),
        "many": Ragged(np.array([3, 1, 2]), np.array([0, 2, 3]), np.array([1.0, 2.0, 3.0], np.float32)),
        "steps": Ragged(np.array([5, 6]), np.array([0, 0, 1]), None, np.array([0, 2])),
        "vectors": Ragged(np.zeros((3, 2), np.float32), np.array([0, 1, 3])),
    }
    return Table(2, ragged, np.array([[1, 2], [3, 4]], np.float32), {"x": slice(0, 1), "y": slice(1, 2)})


def test_a_batch_is_the_table_s_memory():
    source = table()
    batch = Batch.of(source, labels={"click": np.array([0, 1], np.float32)})
    source["many"].values[0] = 9
    source.dense[0, 0] = 7
    assert batch.size == 2
    assert batch.jagged("many").values.tolist() == [9, 1, 2]
    assert batch.dense[0, 0] == 7
    assert batch.jagged("one").offsets is None
    assert batch.labels["click"].tolist() == [0, 1]


def test_sequences_are_told_by_the_outputs_or_by_their_shape():
    batch = Batch.of(table())
    assert (list(batch.sparse), list(batch.sequences)) == (["one", "many"], ["steps", "vectors"])


def test_read_only_memory_becomes_a_tensor_without_a_copy_or_a_warning():
    array = np.arange(3)
    array.flags.writeable = False
    assert as_tensor(array).data_ptr() == array.ctypes.data


@pytest.mark.parametrize("size", [0, 1, 3])
def test_accessors_cut_the_flat_tensors(size):
    layout = GroupLayout(
        "deep",
        (Span("a", 2, 0), Span("b", 2, 2)),
        (Span("x", 1, 0),),
        (SequenceLayout("s", (Span("s__b", 2, 0),), ("b",)),),
        True,
    )
    tensors = {
        "emb:deep": torch.arange(4.0 * size).view(size, 4),
        "first:deep": torch.zeros(size, 2),
        "dense:deep": torch.ones(size, 1),
        "seq:deep/s": torch.zeros(2 * size, 2),
        "rows:deep/s": torch.arange(size).repeat_interleave(2),
        "offsets:deep/s": 2 * torch.arange(size + 1),
    }
    x = Embedded(tensors, {"deep": layout})
    assert x.fields("deep").shape == (size, 2, 2)
    assert x.flat("deep").shape == (size, 5)
    torch.testing.assert_close(x.feature("deep", "b"), tensors["emb:deep"][:, 2:], rtol=0, atol=0)
    torch.testing.assert_close(x.query("s"), tensors["emb:deep"][:, 2:], rtol=0, atol=0)
    assert x.sequence("s").values.shape == (2 * size, 2)
    assert (x.first("deep").shape, x.dense("deep").shape) == ((size, 2), (size, 1))


def test_a_group_without_dense_inputs_has_zero_columns_of_them():
    x = Embedded({"emb:deep": torch.zeros(3, 2)}, {"deep": GroupLayout("deep", (Span("a", 2, 0),))})
    assert x.dense("deep").shape == (3, 0)
    assert x.flat("deep") is x.tensors["emb:deep"]


def test_a_child_without_a_candidate_makes_no_query():
    layout = GroupLayout("deep", (Span("a", 2, 0),), (), (SequenceLayout("s", (Span("s__t", 2, 0),), (None,)),))
    with pytest.raises(KeyError, match="'s__t' of sequence 's' is paired with no feature"):
        Embedded({}, {"deep": layout}).query("s")


@pytest.mark.parametrize(
    "column",
    [
        pa.chunked_array([["a", None], ["b", "a", None]]),
        pa.chunked_array([pa.array(["a", None]).dictionary_encode(), pa.array(["b", "a", None]).dictionary_encode()]),
        pa.chunked_array([[7, None, 5, 7, None]]),
    ],
    ids=["text", "dictionaries", "numbers"],
)
def test_codes_are_equal_where_a_columns_values_are(column):
    batch = Batch(5, torch.zeros(5, 0), {}, {}, reserved=pa.table({"user": column}))
    codes = batch.codes("user")
    assert codes.dtype == torch.int64
    same = codes[:, None] == codes[None, :]
    values = column.to_pylist()
    assert same.tolist() == [[one == two for two in values] for one in values]
