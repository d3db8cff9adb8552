import socket
import subprocess
import time

import pytest

from easyrec.store.definitions import load_store


@pytest.fixture(scope="session")
def redis_socket(tmp_path_factory):
    """A server of Redis, by its socket."""
    from shutil import which

    pytest.importorskip("redis")
    if which("redis-server") is None:
        pytest.skip("needs redis-server")
    path = tmp_path_factory.mktemp("redis") / "r.sock"
    command = ["redis-server", "--port", "0", "--unixsocket", path, "--save", "", "--appendonly", "no"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=path.parent) as server:
        for _ in range(500):
            with socket.socket(socket.AF_UNIX) as probe:
                if probe.connect_ex(str(path)) == 0:
                    break
            time.sleep(0.01)
        yield path
        server.terminate()


@pytest.fixture(scope="session")
def postgres_url(request):
    """A server of PostgreSQL, by its address."""
    pytest.importorskip("psycopg", reason="needs the extra 'postgres'")
    return request.getfixturevalue("postgres")


@pytest.fixture(params=["memory", "sqlite", "lmdb", "redis", "postgres"])
def online(request, tmp_path):
    """The config of an empty store of each kind."""
    kind = request.param
    if kind == "memory":
        return {"type": kind}
    if kind == "redis":
        return {"type": kind, "url": f"unix://{request.getfixturevalue('redis_socket')}"}
    if kind == "postgres":
        return {"type": kind, "url": request.getfixturevalue("postgres_url")}
    if kind == "lmdb":
        pytest.importorskip("lmdb")
    return {"type": kind, "path": str(tmp_path / kind), **({"gigabytes": 0.05} if kind == "lmdb" else {})}


@pytest.fixture
def project(online, request):
    """`project(views=..., models=...)`: definitions over an empty store."""

    def made(views, models=(), **more):
        name = "p" + request.node.name.translate({ord(c): "_" for c in "[]-/."})[:70]
        entities = [{"name": "user", "join_id": "user_id"}, {"name": "item", "join_id": "item_id"}]
        return load_store(
            {"project": name, "online": online, "entities": entities, "views": views, "models": list(models), **more}
        )

    return made
