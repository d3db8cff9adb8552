from pathlib import Path

import pytest

TZREC_FEATURES = """
train_input_path: "x.parquet"
data_config { dataset_type: ParquetDataset fg_mode: FG_DAG label_fields: "y" label_fields: "z" }
feature_configs { id_feature { feature_name: "a" expression: "user:ca" num_buckets: 5 embedding_dim: 4 } }
feature_configs { id_feature { feature_name: "b" expression: "item:cb" num_buckets: 5 embedding_dim: 4 } }
feature_configs { id_feature { feature_name: "c" expression: "item:cc" num_buckets: 5 embedding_dim: 6 } }
feature_configs { raw_feature { feature_name: "d" expression: "item:cd" } }
feature_configs { sequence_feature { sequence_name: "s" sequence_length: 3
    features { id_feature { feature_name: "b" expression: "item:cb" num_buckets: 5 embedding_dim: 4 } }
    features { id_feature { feature_name: "c" expression: "item:cc" num_buckets: 5 embedding_dim: 6 } }
    features { raw_feature { feature_name: "d" expression: "item:cd" } } } }
"""
EASYREC_FEATURES = """
train_input_path: "x.parquet"
data_config { input_type: ParquetInput label_fields: "y" label_fields: "z" }
feature_config {
  features { input_names: "a" num_buckets: 5 embedding_dim: 4 }
  features { input_names: "b" num_buckets: 5 embedding_dim: 4 }
  features { input_names: "c" num_buckets: 5 embedding_dim: 6 }
  features { input_names: "d" feature_type: RawFeature }
  features { input_names: "h" feature_type: SequenceFeature num_buckets: 5 embedding_dim: 4 max_seq_len: 3 }
}
"""

CONFIGS = Path(__file__).parent / "configs"


@pytest.fixture
def features():
    """Configs of both peers without a model."""
    return {"tzrec": TZREC_FEATURES, "easyrec": EASYREC_FEATURES}


@pytest.fixture
def convert_text(tmp_path):
    """Converts the text of a config."""
    from easyrec.convert import convert

    def run(text, kind=None, name="source.config"):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return convert(tmp_path / name, kind)

    return run


@pytest.fixture
def convert_model(convert_text):
    """Converts a model over the features above; the experiment loads, and its model is built."""
    from easyrec.check import build
    from easyrec.config import load_experiment

    def run(peer, config):
        text = (TZREC_FEATURES if peer == "tzrec" else EASYREC_FEATURES) + f"model_config {{ {config} }}"
        found = convert_text(text, peer)
        assert build(load_experiment(found.draft.plain())).dense_parameters > 0
        return found

    return run
