import contextlib
import re
from pathlib import Path

import pytest

from easyrec.cli import main
from easyrec.convert import convert
from easyrec.errors import ConfigError

CONFIGS = Path(__file__).parent / "configs"


@pytest.fixture
def here(tmp_path):
    with contextlib.chdir(tmp_path):
        yield tmp_path


def test_a_converted_config_passes_the_whole_check(here, capsys):
    (here / "cars").mkdir()
    rows = "\n".join(f"{i % 2}\t{i}\t{i % 6}\t{'red' if i % 3 else ''}\tu{i % 5}\t{i}.5\t{i}" for i in range(60))
    for part in ("train", "test"):
        (here / "cars" / f"{part}.csv").write_text(rows + "\n")
    assert main(["convert", str(CONFIGS / "er_deepfm.config"), "-o", "cars.yaml"]) == 0
    err = capsys.readouterr().err
    assert re.search(r"lost +model_config\.deepfm\.final_dnn, line 54", err)
    assert main(["check", "-c", "cars.yaml"]) == 0
    assert "the config is valid" in capsys.readouterr().out


def test_standard_output_holds_the_yaml_alone(here, capsys):
    assert main(["convert", str(CONFIGS / "tz_din.config")]) == 0
    out, err = capsys.readouterr()
    assert out == convert(CONFIGS / "tz_din.config").yaml
    assert "TorchEasyRec" in err


def test_a_file_that_is_there_stays(here, capsys):
    (here / "x.yaml").write_text("mine")
    words = ["convert", str(CONFIGS / "tz_din.config"), "-o", "x.yaml"]
    assert main(words) == 2
    assert (here / "x.yaml").read_text() == "mine"
    assert "--overwrite replaces it" in capsys.readouterr().err
    assert main([*words, "--overwrite"]) == 0


def test_what_check_would_refuse_is_said_with_its_line(here, capsys):
    Path("a.config").write_text(
        "train_input_path: 'x'\ndata_config { dataset_type: ParquetDataset fg_mode: FG_DAG label_fields: 'y' }\n"
        "feature_configs { raw_feature { feature_name: 'r' expression: 'item:r' boundaries: [2, 1] embedding_dim: 4 } }\n"
    )
    assert main(["convert", "a.config", "-o", "a.yaml"]) == 2
    err = capsys.readouterr().err
    assert re.search(r"line \d+  features\[0\] 'r' \. boundaries\n +must ascend, but 2\.0 is followed by 1\.0", err)
    assert "type: raw" in Path("a.yaml").read_text()


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.config", "data_config {", "line 1  column 14\n           expected a field's name or '}'"),
        ("a.config", "x: 1", "neither a config of EasyRec nor of TorchEasyRec"),
        ("a.json", '{"a": 1}', "a fg.json has a list 'features'"),
        ("a.json", '{"features": [}', "expected a value"),
        ("a.json", '{"features": [... ]}', "'...' stands for what a document leaves out"),
        ("a.json", '{"features": [{"a": 1} ...]}', "'...' stands for what a document leaves out"),
        ("a.json", '{... "features": []}', "'...' stands for what a document leaves out"),
        (
            "a.config",
            "model_config {\n  feature_groups { group_name: 'g' }\n  ...\n}",
            "write it, or take the line away",
        ),
        ("a.config", "model_config { ${model_name} {} }", "stands for a name of yours"),
        ("a.config", "model_config { losses { jrc_loss {} } }", "a piece of a config: it has 'model_config', and no"),
        ("a.config", "input_fields { input_name: 'a' }", "put its feature_configs or feature_config into the same"),
        ("a.config", "a: 1 b: 1 c: 1 d: 1 e: 1", "but 'a', 'b', 'c', 'd', ..."),
        ("a.config", "# nothing", "but nothing"),
        (
            "a.config",
            "feature_config { features { num_buckets: 'x' input_names: 'a' } }",
            "must be a number, but is 'x'",
        ),
    ],
)
def test_a_file_that_is_no_config_is_exit_code_2(here, capsys, name, text, said):
    Path(name).write_text(text)
    assert main(["convert", name]) == 2
    out, err = capsys.readouterr()
    assert said in err
    assert name in err
    assert out == ""


def test_a_missing_file_and_bytes_that_are_no_text(here, capsys):
    assert main(["convert", "none.config"]) == 2
    assert "none.config" in capsys.readouterr().err
    Path("b.config").write_bytes(b"a: '\xff'")
    with pytest.raises(ConfigError, match="not UTF-8"):
        convert("b.config")


@pytest.mark.parametrize("path", [pytest.param(p, id=p.name) for p in sorted(CONFIGS.iterdir())])
def test_whose_config_it_is_is_told_by_what_it_holds(path):
    expected = {"er": "easyrec", "tz": "tzrec", "fg": "fg_json", "od": "tzrec"}[path.name[:2]]
    assert convert(path).kind == expected
