"""Keys that features have in TorchEasyRec and pyfg but not here, and what stands in their place."""

from __future__ import annotations

KEYS = {
    "autodis": "here it is `dense_embedding: autodis`",
    "data_type": "tables are float32; leave it out",
    "dynamicemb": "here it is `dynamic: {capacity: ...}`",
    "embedding_constraints": "it says how tables are spread over GPUs, which is no part of a feature; leave it out",
    "feature_name": "here it is 'name'",
    "feature_type": "here it is 'type', without `_feature`",
    "fg_value_type": "the column's own type decides; leave it out",
    "init_fn": "tables all start alike; leave it out",
    "is_op_thread_safe": "operators are free of state; leave it out",
    "mlp": "here it is `dense_embedding: mlp`",
    "need_prefix": "values carry no name in front; leave it out",
    "operator_lib_file": "built-in operators need none, and others are loaded by the caller (--operators, load_operators)",
    "sequence_name": "here it is 'name'",
    "sequence_pk": "requests carry the sequence as a list of objects under its name; leave it out",
    "use_mask": "inputs are not masked while training; leave it out",
    "value_dimension": "here it is 'value_dim'",
    "value_type": "the column's own type decides; leave it out",
    "zch": "here it is `dynamic: {capacity: ...}`",
}
