"""What is wrong between the parts of `store.yaml` is told at the key that is wrong, all of it at once."""

import pytest

from easyrec.errors import ConfigError
from easyrec.store.definitions import load_store

STORE = """\
project: shop
online: {type: sqlite, path: online.db}
entities: [{name: user, join_id: user_id}]
views:
  - name: profile
    entity: user
    source: {type: parquet, path: profiles}
    event_time: at
    ttl: 30d
    fields: [{name: age, type: int64}, {name: tags, type: "array<string>"}]
    expect: [{type: range, field: age, min: 0}]
  - name: counted
    entity: user
    source: {type: parquet, path: built}
    event_time: at
    transform: {type: windows, input: profile, features: [{type: count, name: n, over: 7d}]}
    fields: [{name: n, type: int64}]
  - name: clicks
    type: stream
    entity: user
    stream:
      source: {type: jsonl, path: events}
      columns: {user_id: int64, ts: int64, item: string}
      event_time: ts
      aggregates: [{name: clicks, function: count}]
models:
  - {name: ctr, features: [{view: profile}, {view: counted}]}
"""


@pytest.fixture
def told(tmp_path):
    def told(*changes):
        text = STORE
        for old, new in changes:
            assert old in text
            text = text.replace(old, new, 1)
        (tmp_path / "store.yaml").write_text(text)
        with pytest.raises(ConfigError) as error:
            load_store(tmp_path / "store.yaml")
        return str(error.value)

    return told


@pytest.mark.parametrize(
    ("old", "new", "line", "where", "message"),
    [
        ("entity: user\n    source", "entity: usr\n    source", 6, "views[0] 'profile' . entity", "did you mean 'user'?"),
        ("{name: tags, type", "{name: user_id, type", 10, ". fields[1] 'user_id'", "leave it out"),
        ("type: int64}, {name: tags", "type: bigint}, {name: tags", 10, "'age' . type", "did you mean 'int64'?"),
        ("field: age", "field: agee", 11, ". expect[0] . field", "did you mean 'age'?"),
        ("    event_time: at\n", "", 8, "views[0] 'profile' . ttl", "counted from the event_time"),
        ("ttl: 30d", "ttl: true", 9, "views[0] 'profile' . ttl", "must be seconds"),
        ("ttl: 30d", "ttl: 99999999999d", 9, "views[0] 'profile' . ttl", "at most 36525d"),
        ("input: profile", "input: profil", 16, "views[1] 'counted' . transform", "did you mean 'profile'?"),
        ("function: count}", "function: sum, column: item}", 25, ". aggregates[0] 'clicks' . column", "'item' is string"),
        ("{user_id: int64, ts", "{uid: int64, ts", 23, ". stream . columns", "no column 'user_id'"),
        ("{view: profile}", "{view: profle}", 27, "models[0] 'ctr' . features[0] . view", "did you mean 'profile'?"),
        ("{view: profile}", "{view: profile, alias: {agee: x}}", 27, ". features[0] . alias", "did you mean 'age'?"),
        ("{view: counted}", "{view: counted, alias: {n: age}}", 27, ". features[1]", "called like a field of view"),
        ("name: ctr, f", "name: ctr, label: x, f", 27, "models[0] 'ctr' . label", "unknown label table 'x'"),
        ("{type: sqlite, path: online.db}", "{type: redis, url: 'http://x'}", 2, "online . url", "must begin with redis://"),
    ],
)  # fmt: skip
def test_a_fault_is_told_at_its_key(told, old, new, line, where, message):
    text = told((old, new))
    assert "store.yaml: " in text
    assert f"line {line} " in text
    assert where in text
    assert message in text


def test_faults_between_parts_are_told_at_once(told):
    text = told(
        ("input: profile", "input: nothing"), ("{view: profile}", "{view: nobody}"), ("{view: counted}", "{view: x}")
    )
    assert "3 problems" in text
    assert all(name in text for name in ("'nothing'", "'nobody'", "'x'"))
