"""Bundles and deltas from elsewhere: an object store, and a Redis stream that announces them."""

import json
import shutil
from importlib.util import find_spec
from pathlib import Path

import fsspec
import pytest

from easyrec.cli import main
from easyrec.errors import BundleError, ConfigError
from easyrec.export.bundle import CHECKSUM, MANIFEST, digest_of
from easyrec.export.delta import make_delta
from easyrec.export.sign import SigningKey, sign
from easyrec.export.trust import Trust
from serving.server.config import load_server_config
from serving.server.models import DIGITS
from serving.server.sources import Room, source_config

ADMIN = {"authorization": "Bearer an admin's token of the tests"}
AUTH = {"admin": ["an admin's token of the tests"]}
SECRET = "a secret of the tests, long enough"


@pytest.fixture
def store(tmp_path):
    """A bucket in memory; puts folders and files."""
    system = fsspec.filesystem("memory")
    root = f"/{tmp_path.name}"

    class Store:
        url = f"memory:/{root}"

        def put(self, folder, name):
            for path in sorted(folder.rglob("*"), key=lambda p: p.name in (MANIFEST, CHECKSUM)):
                if path.is_file():
                    system.pipe_file(f"{root}/{name}/{path.relative_to(folder).as_posix()}", path.read_bytes())

        def write(self, name, data):
            system.pipe_file(f"{root}/{name}", data)

        def read(self, name):
            return system.cat_file(f"{root}/{name}")

        def remove(self, name):
            system.rm(f"{root}/{name}", recursive=True)

    yield Store()
    if system.exists(root):
        system.rm(root, recursive=True)


@pytest.fixture
def bundles(toys, other_toy):
    """Two bundles, and the versions that tell them."""
    paths = toys("deepfm").bundle, other_toy.bundle
    return *paths, *(digest_of(path)[:DIGITS] for path in paths)


@pytest.fixture
def body(request_parts):
    user, items, context = request_parts
    return {"user": user, "items": items, "context": context}


async def answered(client, body):
    found = await client.post("/predict", json=body)
    return found.json().get("version", found.status_code)


async def reload(client):
    return (await client.post("/models/ctr/reload", headers=ADMIN)).json()["versions"][0]


def served(**model):
    return {"models": [{"name": "ctr", **model}], "auth": AUTH, "watch_s": 0}


def test_a_bundle_and_its_deltas_come_from_an_object_store(with_app, store, bundles, body, tmp_path):
    first, second, old, new = bundles
    store.put(first, "bundle")
    made = make_delta(first, second, tmp_path / "made").path

    async def work(client):
        seen = [await answered(client, body), (await reload(client))["result"]]
        store.put(made, "deltas/1")
        seen += [(await reload(client))["result"], await answered(client, body)]
        return seen

    found = with_app(work, **served(bundle=f"{store.url}/bundle", deltas=f"{store.url}/deltas"))
    assert found == [old, "same", "loaded", new]
    state = tmp_path / "state"
    assert {path.name for path in (state / "bundles").iterdir()} == {old, new}
    assert {path.name for path in (state / "coming").iterdir() if path.is_dir()} == set()


def test_a_text_file_names_the_bundle_so_that_it_changes_at_one_stroke(with_app, store, bundles, body):
    first, second, old, new = bundles
    for name, bundle in (("monday", first), ("tuesday", second)):
        store.put(bundle, f"ctr/{name}")
    store.write("ctr/current", b"monday\n")

    async def work(client):
        before = await answered(client, body)
        store.write("ctr/current", f"{store.url}/ctr/tuesday".encode())
        await reload(client)
        return before, await answered(client, body)

    assert with_app(work, **served(bundle=f"{store.url}/ctr/current")) == (old, new)


@pytest.mark.parametrize("damage", ["flipped", "longer", "shorter", "missing", "outside", "manifest", "nothing"])
def test_what_is_damaged_or_not_all_there_is_refused_and_leaves_nothing(store, bundles, tmp_path, damage):
    first, *_ = bundles
    store.put(first, "bundle")
    name = "bundle/program/weights.safetensors"
    data = store.read(name)
    if damage == "flipped":
        store.write(name, data[:-1] + bytes([data[-1] ^ 1]))
    elif damage == "longer":
        store.write(name, data + b"x")
    elif damage == "shorter":
        store.write(name, data[:-1])
    elif damage == "missing":
        store.remove(name)
    elif damage == "manifest":
        store.write(f"bundle/{MANIFEST}", store.read(f"bundle/{MANIFEST}") + b" ")
    elif damage == "nothing":
        store.remove("bundle")
    else:
        import hashlib

        manifest = json.loads(store.read(f"bundle/{MANIFEST}"))
        manifest["files"]["../../outside"] = manifest["files"].pop("program/weights.safetensors")
        text = json.dumps(manifest).encode()
        store.write(f"bundle/{MANIFEST}", text)
        store.write(f"bundle/{CHECKSUM}", f"{hashlib.sha256(text).hexdigest()}  {MANIFEST}\n".encode())
    source = source_config(f"{store.url}/bundle").open(Room(tmp_path / "room"))
    with pytest.raises(BundleError, match="memory://"):
        source.bundle().fetch()
    left = [path for path in (tmp_path / "room").rglob("*") if path.is_file() and path.suffix != ".lock"]
    assert not left
    assert not (tmp_path / "outside").exists()


def test_a_refused_bundle_leaves_what_answers_and_is_tried_again(with_app, store, bundles, body):
    first, second, old, new = bundles
    store.put(first, "bundle")

    async def work(client):
        seen = [await answered(client, body)]
        store.put(second, "bundle")
        whole = store.read("bundle/tables/0.npy")
        store.write("bundle/tables/0.npy", whole[:100])  # it is still being copied
        told = await reload(client)
        seen += [told["result"], await answered(client, body)]
        store.write("bundle/tables/0.npy", whole)
        seen += [(await reload(client))["result"], await answered(client, body)]
        return seen, told["error"]

    seen, error = with_app(work, **served(bundle=f"{store.url}/bundle"))
    assert seen == [old, "refused", old, "loaded", new]
    assert error.endswith(
        "bundle/tables/0.npy: is not the file that the manifest lists: it is damaged, or was being replaced"
    )


def test_a_copy_that_was_damaged_on_the_disk_is_fetched_anew(with_app, store, bundles, body, tmp_path):
    store.put(bundles[0], "bundle")
    source = source_config(f"{store.url}/bundle").open(Room(tmp_path / "state"))
    table = source.bundle().fetch() / "tables" / "0.npy"
    data = table.read_bytes()
    table.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))

    async def work(client):
        before = await answered(client, body)
        return before, (await reload(client))["result"], await answered(client, body)

    assert with_app(work, **served(bundle=f"{store.url}/bundle")) == (503, "loaded", bundles[2])


def test_a_delta_that_was_signed_after_it_was_fetched_is_fetched_anew(with_app, store, bundles, body, copied, tmp_path):
    key = SigningKey(id="release", secret=SECRET)
    base, made = copied(bundles[0], "base"), make_delta(*bundles[:2], tmp_path / "made").path
    sign(base, key)
    store.put(made, "deltas/1")
    url = f"{store.url}/deltas"
    source_config(url).open(Room(tmp_path / "state")).deltas()[0].fetch()  # by a server that asked for no signature
    sign(made, key)
    store.put(made, "deltas/1")

    async def work(client):
        before = await answered(client, body)
        await reload(client)
        return before, await answered(client, body)

    trust = {"keys": [{"id": "release", "secret": SECRET}]}
    assert with_app(work, **served(bundle=str(base), deltas=url), trust=trust) == bundles[2:]


def test_the_signature_is_looked_at_before_anything_large_is_fetched(store, bundles, copied, tmp_path):
    signed = copied(bundles[0])
    store.put(signed, "bundle")
    store.remove("bundle/tables")  # what would be fetched next
    trust = Trust(keys=[{"id": "release", "secret": SECRET}])
    source = source_config(f"{store.url}/bundle").open(Room(tmp_path / "room", trust))
    with pytest.raises(BundleError, match=f"{store.url}/bundle: is not signed; wanted is one by 'release'"):
        source.bundle().fetch()
    sign(signed, SigningKey(id="release", secret=SECRET))
    store.put(signed, "bundle")
    assert source.bundle().fetch().name == bundles[2]


def test_a_server_starts_before_its_bundle_is_there(with_app, store, bundles, body):
    async def work(client):
        before = await answered(client, body)
        store.put(bundles[0], "bundle")
        await reload(client)
        return before, await answered(client, body)

    assert with_app(work, **served(bundle=f"{store.url}/bundle")) == (503, bundles[2])


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("", "is empty"),
        ("s3x://models/ctr", "s3x"),
        ({"type": "object_stor", "url": "s3://m"}, "did you mean 'object_store'"),
        ({"type": "object_store"}, "url"),
        ({"type": "redis", "url": "http://host"}, "url"),
    ],
    ids=["empty", "unknown-scheme", "unknown-type", "no-url", "no-redis"],
)
def test_a_source_that_cannot_be_is_told(with_app, tmp_path, place, message):
    with pytest.raises(Exception, match=message):
        with_app(lambda client: None, models=[{"name": "ctr", "bundle": place}])


def test_an_unknown_option_of_an_address_is_told_and_not_waited_for():
    pytest.importorskip("redis", reason="needs the extra 'redis'")
    with pytest.raises(ConfigError, match=r"unknown option 'strem'; '\?stream=\.\.\.'") as told:
        source_config("redis://:secret@127.0.0.1:1/0?strem=a").open(Room(Path()))
    assert "secret" not in str(told.value)
    source_config("redis://127.0.0.1:1/0?stream=a&socket_timeout=2").open(Room(Path()))  # options of the client go on


def test_passwords_and_options_are_never_told(tmp_path):
    config = {"type": "object_store", "url": "memory://user:secret-1@x/bundle", "options": {"key": "secret-2"}}
    found = load_server_config({"models": [{"name": "ctr", "bundle": config}]}).models[0].bundle
    source = source_config("redis://:secret-3@127.0.0.1:1/0?stream=x").open(Room(tmp_path))
    with pytest.raises(BundleError) as caught:
        source.bundle()
    told = repr(found) + source.shown + str(caught.value)
    assert "secret-2" not in told
    assert "secret-3" not in told
    assert "secret-1" not in source_config(found).open(Room(tmp_path)).shown


def test_a_delta_that_was_replaced_under_its_name_is_applied_at_the_second_look(store, bundles, tmp_path):
    first, second, *_ = bundles
    store.put(make_delta(first, second, tmp_path / "one").path, "deltas/1")
    source = source_config(f"{store.url}/deltas").open(Room(tmp_path / "room"))
    (one,) = source.deltas()
    store.remove("deltas/1")
    store.put(make_delta(second, first, tmp_path / "two").path, "deltas/1")
    assert [offer.digest for offer in source.deltas()] == [one.digest]  # no delta is read at every look
    with pytest.raises(BundleError, match="was replaced"):
        one.fetch()
    (two,) = source.deltas()
    assert (two.base, two.result) == (one.result, one.base)
    assert two.fetch().is_dir()


def test_a_command_line_may_name_a_url_and_is_told_what_it_needs(capsys):
    assert main(["serve", "nothing:///bundle"]) == 2
    assert "nothing" in capsys.readouterr().err
    assert main(["serve", "no-such-folder"]) == 2
    if find_spec("s3fs") is None:
        assert main(["serve", "s3://models/ctr"]) == 2
        assert "s3fs" in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------------ redis


def test_a_stream_announces_bundles_and_deltas(with_app, store, bundles, body, tmp_path, redis_servers, capsys):
    first, second, old, new = bundles
    url = f"{redis_servers().address}?stream=ctr"
    made = make_delta(first, second, tmp_path / "made").path
    store.put(first, "bundle")
    assert main(["serve", "announce", "--to", url, "--bundle", f"{store.url}/bundle"]) == 0
    assert "announced as" in capsys.readouterr().out

    async def work(client):
        seen = [await answered(client, body), (await reload(client))["result"]]
        assert main(["serve", "announce", "--to", url, "--delta", str(made)]) == 0
        seen += [(await reload(client))["result"], await answered(client, body)]
        again = tmp_path / "again"
        shutil.copytree(first, again)
        assert main(["serve", "announce", "--to", url, "--bundle", str(again)]) == 0
        await reload(client)
        return [*seen, await answered(client, body)]

    # The bundle that was announced last comes first, then the deltas that begin at it.
    assert with_app(work, **served(bundle=url, deltas=url)) == [old, "same", "loaded", new, new]
    assert main(["serve", "announce", "--to", url, "--bundle", str(tmp_path / "nothing")]) == 3


def test_what_is_not_what_was_announced_is_refused(with_app, bundles, body, copied, redis_servers, caplog):
    import redis

    server = redis_servers()
    client = redis.Redis.from_url(server.address)
    place = copied(bundles[0])
    url = f"{server.address}?stream=ctr"
    assert main(["serve", "announce", "--to", url, "--bundle", str(place)]) == 0
    shutil.rmtree(place)
    shutil.copytree(bundles[1], place)
    for fields in ({"kind": "bundle"}, {"x": "y"}, {"kind": "delta", "place": "x", "digest": "0" * 64}):
        client.xadd("ctr", fields)

    async def work(app):
        before = await answered(app, body)
        assert main(["serve", "announce", "--to", url, "--bundle", str(place)]) == 0
        await reload(app)
        seen = await answered(app, body)
        server.stop()
        told = await reload(app)
        return before, seen, told["result"], await answered(app, body)

    with caplog.at_level("WARNING", "serving.server"):
        found = with_app(work, **served(bundle=url))
    assert found == (503, bundles[3], "refused", bundles[3])
    told = [record.told["why"] for record in caplog.records if hasattr(record, "told") and "why" in record.told]
    assert any("is not the bundle" in text for text in told)
    assert sum("is no announcement" in record.getMessage() for record in caplog.records) == 3


# --------------------------------------------------------------------------------------------------------- s3


@pytest.fixture(scope="module")
def s3(s3_address):
    """Options of a server on this machine that speaks S3's protocol."""
    return {"key": "testing", "secret": "testing-secret", "client_kwargs": {"endpoint_url": s3_address}}


def test_a_bundle_and_its_deltas_come_from_s3(with_app, s3, bundles, body, tmp_path):
    import s3fs

    first, second, old, new = bundles
    system = s3fs.S3FileSystem(**s3)
    system.mkdir("models")
    system.put(str(first), "models/bundle", recursive=True)
    made = make_delta(first, second, tmp_path / "made").path

    async def work(client):
        seen = [await answered(client, body), (await reload(client))["result"]]
        system.put(str(made), "models/deltas/1", recursive=True)
        seen += [(await reload(client))["result"], await answered(client, body)]
        return seen

    place = lambda name: {"type": "object_store", "url": f"s3://models/{name}", "options": s3}  # noqa: E731
    assert with_app(work, **served(bundle=place("bundle"), deltas=place("deltas"))) == [old, "same", "loaded", new]
    wrong = {**s3, "client_kwargs": {"endpoint_url": "http://127.0.0.1:1"}}
    source = source_config(
        load_server_config({"models": [{"name": "m", "bundle": {**place("bundle"), "options": wrong}}]})
        .models[0]
        .bundle
    ).open(Room(tmp_path / "room"))
    with pytest.raises(BundleError, match="s3://models/bundle: cannot be read") as caught:
        source.bundle()
    assert "testing-secret" not in str(caught.value)
