"""Generators on disk: whole or not at all, and never a changed one."""

import json

import pytest

from feature_generator import ConfigError, FeatureGenerator

WORDS = "abc\nefg\n中文\n"


@pytest.fixture
def generator(tmp_path):
    (tmp_path / "words.txt").write_text(WORDS, encoding="utf-8")
    (tmp_path / "features.yaml").write_text(
        "features:\n"
        "  - {type: id, name: word, expression: user:w, vocab_file: words.txt, default_bucketize_value: 0}\n"
        "  - type: sequence\n"
        "    name: s\n"
        "    features: [{type: id, name: word, expression: item:w, vocab_file: words.txt, default_bucketize_value: 0}]\n"
        "hash: farmhash\n"
    )
    return FeatureGenerator.load(tmp_path / "features.yaml")


DATA = {"w": ["abc", "中文", "zz"], "s__w": ["efg;abc", "", "中文"]}


def test_it_stands_alone_with_its_vocabularies(generator, tmp_path, kit):
    expected = generator.transform(DATA)
    generator.save(tmp_path / "saved")
    (tmp_path / "words.txt").unlink()
    again = FeatureGenerator.load(tmp_path / "saved")
    kit.equal(again.transform(DATA), expected)
    assert again.config.hash == "farmhash"
    again.save(tmp_path / "second")
    assert FeatureGenerator.load(tmp_path / "second").fingerprint == again.fingerprint


def test_the_fingerprint_follows_what_decides_the_outputs(generator, tmp_path):
    first = generator.fingerprint
    assert FeatureGenerator.load(tmp_path / "features.yaml").fingerprint == first
    (tmp_path / "words.txt").write_text(WORDS + "more\n", encoding="utf-8")
    assert FeatureGenerator.load(tmp_path / "features.yaml").fingerprint != first
    (tmp_path / "words.txt").write_text(WORDS, encoding="utf-8")
    assert FeatureGenerator.load(tmp_path / "features.yaml", mode="encoded").fingerprint != first
    other = (tmp_path / "features.yaml").read_text().replace("farmhash", "murmur64a")
    (tmp_path / "other.yaml").write_text(other)
    assert FeatureGenerator.load(tmp_path / "other.yaml").fingerprint != first


def test_a_saved_generator_remembers_its_mode(generator, tmp_path):
    encoded = FeatureGenerator.load(tmp_path / "features.yaml", mode="encoded")
    encoded.save(tmp_path / "saved")
    assert FeatureGenerator.load(tmp_path / "saved").mode == "encoded"


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "manifest.json")


@pytest.mark.parametrize("which", [0, 1])
def test_a_flipped_byte_is_found(generator, tmp_path, which):
    generator.save(tmp_path / "saved")
    path = files(tmp_path / "saved")[which]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="was altered: its checksum"):
        FeatureGenerator.load(tmp_path / "saved")


def test_a_missing_file_is_named(generator, tmp_path):
    generator.save(tmp_path / "saved")
    files(tmp_path / "saved")[0].unlink()
    with pytest.raises(ConfigError, match=r"cannot read features\.json"):
        FeatureGenerator.load(tmp_path / "saved")


def test_a_newer_format_is_refused(generator, tmp_path):
    generator.save(tmp_path / "saved")
    path = tmp_path / "saved" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 2}))
    with pytest.raises(ConfigError, match="the format is 2, but this version reads 1"):
        FeatureGenerator.load(tmp_path / "saved")


def test_a_manifest_cannot_reach_outside_its_folder(generator, tmp_path):
    generator.save(tmp_path / "saved")
    path = tmp_path / "saved" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["files"]["../words.txt"] = "0"
    path.write_text(json.dumps(manifest))
    with pytest.raises(ConfigError, match="names a file outside"):
        FeatureGenerator.load(tmp_path / "saved")


def test_nothing_is_overwritten_and_nothing_half_written_stays(generator, tmp_path, monkeypatch):
    (tmp_path / "taken").mkdir()
    with pytest.raises(FileExistsError):
        generator.save(tmp_path / "taken")
    before = sorted(path.name for path in tmp_path.iterdir())
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        generator.save(tmp_path / "saved")
    assert sorted(path.name for path in tmp_path.iterdir()) == before
