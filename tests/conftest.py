"""What holds for every test."""

import contextlib
import gc
import importlib.util
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from datetime import UTC, datetime
from functools import cache
from multiprocessing import get_context
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import settings

from easyrec.data.engines import Engine
from easyrec.data.engines._worker import told_of
from easyrec.data.engines.ray import Actor
from easyrec.processors import wait_asleep
from feature_generator.config import members

wait_asleep()  # before a test module loads torch: workers share two processors

# A shared machine is slow at times; the same examples every time make a failure one that can be repeated.
settings.register_profile("house", deadline=None, derandomize=True)
settings.register_profile("fast", settings.get_profile("house"), max_examples=40)
settings.load_profile("house")


def pytest_configure(config):
    """Without the slow tests, properties see fewer examples too, where a test does not say how many."""
    if "not slow" in (config.option.markexpr or ""):
        settings.load_profile("fast")
    told = getattr(config, "workerinput", {})  # midnight may pass before the last process has begun
    config.today = told.get("today", datetime.now(UTC).timetuple().tm_yday)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node):
    """All processes collect the same tests."""
    node.workerinput["today"] = node.config.today


ROOT = Path(__file__).parents[1]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Contract tests of the big families run for changed members and a tenth of the others, by the day.

    A test marked `family("easyrec.models")` names its member by the parameter `name`; the other members' are slow.
    """
    for item in items:
        marker = item.get_closest_marker("family")
        name = item.callspec.params.get("name") if marker and hasattr(item, "callspec") else None
        if name is not None:
            family = marker.args[0]
            if name not in _todays(family, config.today % 10) and not _has_changed(family, name):
                item.add_marker(pytest.mark.slow)


@cache
def _todays(family, turn):
    """A tenth of a family, drawn as if at random: tenths of equal size make days of equal length."""
    return set(sorted(members(family), key=lambda name: zlib.crc32(name.encode()))[turn::10])


def pytest_collection_finish():
    """What lives as long as the session, the tests themselves and what they import, is not looked through for garbage.

    That and younger garbage that is looked for more seldom are a tenth of the time of the tests.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


@cache
def _changed():
    """Files that the last commit or the working tree changes, as far as git tells."""
    found = set()
    for arguments in (["diff", "--name-only", "HEAD~1"], ["ls-files", "--others", "--exclude-standard"]):
        told = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
        found.update(told.stdout.split() if told.returncode == 0 else [])
    return found


def _has_changed(family, name):
    return f"{family.replace('.', '/')}/{name}.py" in _changed()


# ------------------------------------------------------------------------------- what commands tell of themselves


@pytest.fixture(scope="session")
def explained():
    """`explained(["train"], ["fg", "offline"])`: by command, its exit code with `--help`, what it prints, what it loads.

    One process tells of all: to start one takes longer. Of the packages that a command should do without, those that it
    loads are taken out again, so that the next one is judged by itself.
    """

    def told(*commands):
        code = f"""
import contextlib, io, json, sys
from easyrec.cli import main
told = {{}}
for words in {commands!r}:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        code = main([*words, "--help"])
    told[" ".join(words)] = code, out.getvalue(), [n for n in ("torch", "redis") if sys.modules.pop(n, None)]
print(json.dumps(told))
"""
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return told


@pytest.fixture(scope="session")
def editors_schema():
    """The JSON schema of configs; to make it takes seconds."""
    from easyrec.config.schema import experiment_schema

    return experiment_schema()


@pytest.fixture(scope="session")
def schema_validator():
    """Draft 2020-12, quicker with the many alternatives of a config: what is wrong with each is asked where none fits."""
    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend

    def fitting(validator, alternatives, instance):
        return (validator.evolve(schema=one).is_valid(instance) for one in alternatives)

    def any_of(validator, alternatives, instance, schema):
        if not any(fitting(validator, alternatives, instance)):
            yield from Draft202012Validator.VALIDATORS["anyOf"](validator, alternatives, instance, schema)

    def one_of(validator, alternatives, instance, schema):
        if sum(fitting(validator, alternatives, instance)) != 1:
            yield from Draft202012Validator.VALIDATORS["oneOf"](validator, alternatives, instance, schema)

    return extend(Draft202012Validator, {"anyOf": any_of, "oneOf": one_of})


# -------------------------------------------------------------------------------------- a real database


class PostgresServer:
    """A server of PostgreSQL with a password that needs care.

    Args:
        folder: Whose everything is.
        programs: Where its programs are; default: where they are installed.

    Attributes:
        url: Its address.
    """

    def __init__(self, folder, programs=None):
        places = [Path(found).resolve().parent for found in [shutil.which("postgres")] if found]
        installed = Path("/usr/lib/postgresql").glob("*/bin")
        places += sorted(installed, key=lambda place: int(place.parent.name), reverse=True)
        bin_ = programs or next(
            (place for place in places if (place / "initdb").exists() and (place / "pg_ctl").exists()), None
        )
        if bin_ is None:
            pytest.skip("needs the programs of PostgreSQL: apt-get install postgresql")
        self.bin, self.folder, self.who = bin_, folder, {}
        if os.geteuid() == 0:  # the server refuses to be root
            owner = next(entry for name in ("postgres", "nobody") for entry in pwd.getpwall() if entry.pw_name == name)
            os.chown(folder, owner.pw_uid, owner.pw_gid)
            self.who = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
        secret, self.data = folder / "secret", folder / "data"
        secret.write_text("s3cr%t/w@rd")
        secret.chmod(0o644)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"postgresql://app:s3cr%25t%2Fw%40rd@127.0.0.1:{self.port}/postgres"
        how = ["-A", "scram-sha-256", f"--pwfile={secret}", "--no-sync", "--locale=C", "-EUTF8"]
        self._run("initdb", "-D", self.data, "-U", "app", *how)

    def _run(self, program, *words, before=()):
        with (self.folder.parent / f"{self.folder.name}.log").open(
            "a"
        ) as log:  # a pipe would be held open by the server
            command = [*before, self.bin / program, *words]
            subprocess.run(command, cwd=self.folder, check=True, stdout=log, stderr=log, **self.who)

    def start(self, largest_file=None):
        """Start it; files may grow so far, in bytes: a full disk to it."""
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        before = [] if largest_file is None else ["prlimit", f"--fsize={largest_file}", "--"]
        self._run("pg_ctl", "-D", self.data, "-w", "-l", self.folder / "log", "-o", options, "start", before=before)

    def stop(self):
        """Stop it, if it runs."""
        if (self.data / "postmaster.pid").exists():  # which pg_ctl reads
            self._run("pg_ctl", "-D", self.data, "-w", "-m", "immediate", "stop")

    def remove(self):
        """Stop it, and leave nothing of it."""
        self.stop()
        shutil.rmtree(self.folder)
        (self.folder.parent / f"{self.folder.name}.log").unlink(missing_ok=True)


@pytest.fixture(scope="session")
def postgres():
    """URI of a PostgreSQL server of this session's own; it is stopped at the end."""
    pytest.importorskip("adbc_driver_postgresql", reason="needs the extra 'sql'")
    server = PostgresServer(Path(tempfile.mkdtemp(prefix="postgres-")))
    try:
        server.start()
        yield server.url
    finally:
        server.remove()


@pytest.fixture
def postgres_server():
    """A server of a test's own, which the test starts and may stop."""
    server = PostgresServer(Path(tempfile.mkdtemp(prefix="postgres-")))
    yield server
    server.remove()


@pytest.fixture(scope="module")
def vector_postgres():
    """A server with the extension `vector`, out of the package pgserver, which the test starts and may stop."""
    package = importlib.util.find_spec("pgserver")
    if package is None:
        pytest.skip("needs the package pgserver (PostgreSQL with pgvector): make test-rag")
    programs = Path(next(iter(package.submodule_search_locations))) / "pginstall" / "bin"
    server = PostgresServer(Path(tempfile.mkdtemp(prefix="postgres-")), programs)
    yield server
    server.remove()


# ----------------------------------------------------------------------------------------------- S3


@pytest.fixture(scope="module")
def s3_address():
    """Address of a server on this machine that speaks S3's protocol: moto's."""
    pytest.importorskip("s3fs", reason="needs s3fs")
    pytest.importorskip("moto.server", reason="needs moto[s3], flask and flask-cors")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # A process of its own: deltalake waits for an answer with the interpreter's lock in its hand.
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 60
        while True:
            with socket.socket() as asked:
                if asked.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None
            assert time.monotonic() < end, "the server does not come up"
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


# ---------------------------------------------------------------------------------------- a Kafka broker


class Broker:
    """A broker that speaks Kafka's protocol over TCP, in a process of its own; see `kafka_broker.py`."""

    def __init__(self):
        command = [sys.executable, Path(__file__).parent / "kafka_broker.py"]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.address = self.process.stdout.readline().strip()
        self.topics = 0

    def tell(self, *order):
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline().strip() == "0", order

    def topic(self, partitions=1):
        """The name of a new topic."""
        self.topics += 1
        self.tell("topic", f"topic-{self.topics}", partitions)
        return f"topic-{self.topics}"

    def send(self, topic, messages, partition=0, **options):
        """Write messages; what is no text or bytes is written as JSON."""
        from confluent_kafka import Producer

        producer = Producer({"bootstrap.servers": self.address, "linger.ms": 2})
        for message in messages:
            raw = message is None or isinstance(message, str | bytes)
            producer.produce(topic, message if raw else json.dumps(message), partition=partition, **options)
        assert producer.flush(30) == 0

    def delete(self, topic, partition, before):
        """As retention does."""
        self.tell("delete", topic, partition, before)

    def down(self):
        self.tell("down")

    def up(self):
        self.tell("up")

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


@pytest.fixture(scope="session")
def kafka():
    """A broker, with topics of a test's own."""
    pytest.importorskip("confluent_kafka", reason="needs the extra 'kafka'")
    if not Path("/proc/self/maps").exists():
        pytest.skip("the broker is found in /proc, which only Linux has")
    broker = Broker()
    yield broker
    broker.stop()


# -------------------------------------------------------------------------------------------- a browser


class Browser:
    """Chromium without a window, told what to do through pipes by its own protocol; it reaches no network but this machine."""

    def __init__(self, folder):
        command_read, self._tell = os.pipe()
        self._hear, answer_write = os.pipe()
        options = (
            f"--headless=new --no-sandbox --disable-gpu --no-first-run --user-data-dir={folder} --remote-debugging-pipe"
        )
        blocked = "--host-resolver-rules='MAP * ~NOTFOUND, EXCLUDE 127.0.0.1'"
        script = f"exec chromium {options} {blocked} 3<&{command_read} 4>&{answer_write}"
        self.process = subprocess.Popen(
            ["bash", "-c", script],
            pass_fds=(command_read, answer_write),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(command_read)
        os.close(answer_write)
        self._number, self._rest, self._heard = 0, b"", []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.ask(f"{domain}.enable")

    def ask(self, method, **parameters):
        """Send a command, and give what it answers."""
        self._number += 1
        order = {"id": self._number, "method": method, "params": parameters}
        if hasattr(self, "_session"):
            order["sessionId"] = self._session
        os.write(self._tell, json.dumps(order).encode() + b"\0")
        while True:
            message = self._next()
            if message.get("id") == self._number:
                assert "error" not in message, message
                return message["result"]
            self._heard.append(message)

    def _next(self):
        while b"\0" not in self._rest:
            part = os.read(self._hear, 1 << 16)
            assert part, "the browser has gone"
            self._rest += part
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)

    def open(self, address, width=1500, height=900):
        """Show a page, once it is loaded."""
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self._heard.clear()
        self.ask("Page.navigate", url="about:blank")
        self.ask("Page.navigate", url=address)
        self.wait("document.readyState === 'complete' && location.href !== 'about:blank'")

    def run(self, script):
        """The value of an expression in the page."""
        found = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait(self, script, seconds=60):
        """Until an expression is true."""
        end = time.monotonic() + seconds
        while not self.run(f"(() => {{ try {{ return {script} }} catch {{ return false }} }})()"):
            assert time.monotonic() < end, script
            time.sleep(0.02)

    def complaints(self):
        """What scripts threw and what policies forbade since the page was opened."""
        self.run("0")
        told = ("Runtime.exceptionThrown", "Log.entryAdded")
        heard = [m["params"] for m in self._heard if m.get("method") in told]
        return [one for one in heard if one.get("entry", {}).get("level") != "verbose"]

    def picture(self, path):
        """Write what the page looks like."""
        import base64

        found = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=False)
        Path(path).write_bytes(base64.b64decode(found["data"]))

    def stop(self):
        for end in (self._tell, self._hear):
            os.close(end)
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """Chromium, without a window."""
    if shutil.which("chromium") is None:
        pytest.skip("needs chromium: apt-get install chromium")
    made = Browser(tmp_path_factory.mktemp("chromium"))
    yield made
    made.stop()


# ------------------------------------------------------------------------------------ HDFS over HTTP


@pytest.fixture
def webhdfs(tmp_path):
    """(`webhdfs://host:port`, folder that it serves) of a stand-in; a request against the protocol fails the test."""
    pytest.importorskip("requests", reason="needs requests")
    folder = tmp_path / "hdfs" / "tree"
    folder.mkdir(parents=True)
    command = [sys.executable, Path(__file__).parent / "webhdfs_server.py", folder]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield f"webhdfs://{process.stdout.readline().strip()}", folder
        finally:
            process.kill()
    violations = folder.parent / "violations"
    assert not violations.exists(), violations.read_text()


# ----------------------------------------------------------------------------------------- MaxCompute


class MaxCompute:
    """A stand-in for the service and its tunnel; see `maxcompute_server.py`.

    Attributes:
        settings: What a config says of it.
    """

    def __init__(self, address, folder):
        self.folder = folder
        keys = {"access_id": "id-1", "access_key": "secret/+1"}
        self.settings = {"endpoint": f"http://{address}/api", "project": "shop_dev", **keys}

    def table(self, name, columns, parts, partitions=None):
        """Make a table, or write it anew: types by column, rows by partition (`dt=20260101`), types by partition."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        told = {"columns": columns, "partitions": partitions or {}}
        listed = {key: [{"name": n, "type": kind} for n, kind in value.items()] for key, value in told.items()}
        (folder / "table.json").write_text(json.dumps(listed))
        for spec, rows in parts.items():
            self.write(name, spec, rows)

    def write(self, name, spec, rows, at=None):
        """The rows of a partition, as of a time in seconds; the name of a table's only part is empty."""
        path = self.folder / name / "rows" / f"{spec}.parquet"
        path.parent.mkdir(exist_ok=True)
        pq.write_table(rows, path.with_suffix(".new"))
        if at is not None:
            os.utime(path.with_suffix(".new"), (at, at))
        path.with_suffix(".new").replace(path)

    def fails(self, **faults):
        """What fails from now on."""
        (self.folder.parent / "faults.json").write_text(json.dumps(faults))


@pytest.fixture(scope="session")
def maxcompute_server(tmp_path_factory):
    """A stand-in for MaxCompute, which stays."""
    pytest.importorskip("odps", reason="needs the extra 'maxcompute'")
    folder = tmp_path_factory.mktemp("maxcompute") / "tables"
    folder.mkdir()
    command = [sys.executable, Path(__file__).parent / "maxcompute_server.py", folder]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield MaxCompute(process.stdout.readline().strip(), folder)
        finally:
            process.kill()


@pytest.fixture
def maxcompute(maxcompute_server):
    """A stand-in for MaxCompute without tables; a request against the protocol fails the test."""
    folder = maxcompute_server.folder
    shutil.rmtree(folder)
    folder.mkdir()
    maxcompute_server.fails()
    yield maxcompute_server
    violations = folder.parent / "violations"
    if violations.exists():
        told = violations.read_text()
        violations.unlink()
        pytest.fail(told)


# ------------------------------------------------------------------------------------- a Hive metastore

METASTORE_SITE = """\
<configuration>
<property><name>javax.jdo.option.ConnectionURL</name><value>jdbc:derby:;databaseName={folder}/db;create=true</value></property>
<property><name>hive.metastore.warehouse.dir</name><value>{folder}/warehouse</value></property>
<property><name>hive.metastore.schema.verification</name><value>false</value></property>
<property><name>datanucleus.schema.autoCreateAll</name><value>true</value></property>
<property><name>hive.async.log.enabled</name><value>false</value></property>
</configuration>
"""


PARQUET = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"


class Metastore:
    """A Hive metastore; its tables are made by its client.

    Attributes:
        url: `thrift://host:port`.
    """

    def __init__(self, port):
        self.url, self._port, self._tables = f"thrift://127.0.0.1:{port}", port, {}

    @contextlib.contextmanager
    def client(self):
        """A client, and the module of what it speaks of."""
        from pymetastore.hive_metastore import ttypes
        from pymetastore.hive_metastore.ThriftHiveMetastore import Client
        from thrift.protocol.TBinaryProtocol import TBinaryProtocol
        from thrift.transport.TSocket import TSocket
        from thrift.transport.TTransport import TBufferedTransport

        transport = TBufferedTransport(TSocket("127.0.0.1", self._port))
        transport.open()
        try:
            yield Client(TBinaryProtocol(transport)), ttypes
        finally:
            transport.close()

    def table(
        self, name, columns, folder, partitions=None, serde=PARQUET, told=None, kind="EXTERNAL_TABLE", **parameters
    ):
        """Make a table in `default`, in the place of one of this name: types by column, its folder, types by partition."""
        with self.client() as (client, types):
            with contextlib.suppress(types.NoSuchObjectException):
                client.drop_table("default", name, False)
            fields = [types.FieldSchema(column, type_) for column, type_ in columns.items()]
            keys = [types.FieldSchema(column, type_) for column, type_ in (partitions or {}).items()]
            info = types.SerDeInfo(name, serde, told or {})
            self._tables[name] = (folder, list(partitions or ()))
            stored = self._stored(types, fields, folder, info)
            table = types.Table(
                name, "default", "me", 0, 0, 0, stored, keys, {"EXTERNAL": "TRUE", **parameters}, "", "", kind
            )
            client.create_table(table)

    def partition(self, name, values, folder=None):
        """Add a partition to a table; its folder, which is made."""
        root, keys = self._tables[name]
        folder = folder or root.joinpath(*(f"{key}={value}" for key, value in zip(keys, values, strict=True)))
        folder.mkdir(parents=True, exist_ok=True)
        with self.client() as (client, types):
            table = client.get_table("default", name)
            stored = self._stored(types, table.sd.cols, folder, table.sd.serdeInfo)
            client.add_partition(types.Partition(values, "default", name, 0, 0, stored, {}))
        return folder

    @staticmethod
    def _stored(types, fields, folder, info):
        names = {"location": str(folder), "inputFormat": "in", "outputFormat": "out", "compressed": False}
        lists = {"numBuckets": -1, "bucketCols": [], "sortCols": [], "parameters": {}}
        return types.StorageDescriptor(cols=fields, serdeInfo=info, **names, **lists)


@pytest.fixture(scope="session")
def metastore(tmp_path_factory):
    """A Hive metastore of this session's own: that of the Hive inside of Spark."""
    pytest.importorskip("pymetastore", reason="needs the extra 'hive'")
    spark = importlib.util.find_spec("pyspark")
    if spark is None:
        pytest.skip("needs Hive's classes, which the package pyspark brings: pip install 'easyrec-torch[spark]'")
    java = Path(os.environ["JAVA_HOME"]) / "bin" / "java" if os.environ.get("JAVA_HOME") else shutil.which("java")
    if java is None:
        pytest.skip("needs Java: apt-get install openjdk-17-jre-headless")
    folder = tmp_path_factory.mktemp("metastore")
    (folder / "hive-site.xml").write_text(METASTORE_SITE.format(folder=folder))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    classes = f"{folder}{os.pathsep}{Path(spark.origin).parent}/jars/*"
    command = [java, "-Xmx512m", "-cp", classes, "org.apache.hadoop.hive.metastore.HiveMetaStore", "-p", str(port)]
    log = folder / "log"
    with log.open("w") as told, subprocess.Popen(command, cwd=folder, stdout=told, stderr=told) as process:
        try:
            end = time.monotonic() + 180
            while True:
                with socket.socket() as asked:
                    if asked.connect_ex(("127.0.0.1", port)) == 0:
                        break
                assert process.poll() is None, log.read_text()[-4000:]
                assert time.monotonic() < end, "the metastore does not come up"
                time.sleep(0.2)
            yield Metastore(port)
        finally:
            process.kill()


# ------------------------------------------------------------------- a second device, made of the processor


@pytest.fixture
def other_device(monkeypatch):
    """A device beside the CPU: a GPU, or where there is none one that computes on the CPU, and takes no tensors of the CPU.

    The tensors of the latter say that they are on `meta`, which has no kernels of its own to be taken for these.
    """
    import torch
    from torch.utils import _foreach_utils
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves, tree_map

    if torch.cuda.is_available():
        yield torch.device("cuda")
        return
    there = torch.device("meta")

    class There(torch.Tensor):
        @staticmethod
        def __new__(cls, inner):
            like = {"strides": inner.stride(), "storage_offset": inner.storage_offset(), "dtype": inner.dtype}
            made = torch.Tensor._make_wrapper_subclass(cls, inner.size(), device=there, **like)
            made.inner = inner
            return made

        is_meta = False  # it holds values

        def tolist(self):
            return self.inner.tolist()

        @classmethod
        def __torch_dispatch__(cls, operator, types, args=(), kwargs=None):
            return carry_out(operator, args, kwargs or {})

    def carry_out(operator, args, kwargs):
        tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
        known = {id(x.inner): x for x in tensors if isinstance(x, There)}
        name, wanted = operator.overloadpacket.__name__, kwargs.get("device")
        if known and name not in ("_to_copy", "copy_"):
            strange = [tuple(x.shape) for x in tensors if not isinstance(x, There) and x.dim()]
            if strange:
                raise RuntimeError(f"{name}: beside tensors of the other device are some of the CPU: {strange}")
        if name == "copy_":
            goes = isinstance(args[0], There)
        else:
            goes = bool(known) if wanted is None else torch.device(wanted) == there
        if wanted is not None:
            kwargs = {**kwargs, "device": torch.device("cpu")}
        args, kwargs = tree_map(lambda x: x.inner if isinstance(x, There) else x, (args, kwargs))

        def given(x):
            if not isinstance(x, torch.Tensor) or not goes:
                return x
            return known[id(x)] if id(x) in known else There(x)

        return tree_map(given, operator(*args, **kwargs))

    class Carries(TorchDispatchMode):
        def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
            return carry_out(operator, args, kwargs or {})

    supported = [*_foreach_utils._get_fused_kernels_supported_devices(), there.type]

    class Autocast(torch.autocast):
        def __init__(self, device, *args, **kwargs):
            super().__init__("cpu" if device == there.type else device, *args, **kwargs)

    enabled, made_of = torch.is_autocast_enabled, torch.tensor

    def tensor(values, *, device=None, **kwargs):
        return made_of(values, **kwargs) if device is None else made_of(values, **kwargs).to(device)

    monkeypatch.setattr("torch.autocast", Autocast)
    monkeypatch.setattr("torch.is_autocast_enabled", lambda kind="cuda": enabled("cpu" if kind == there.type else kind))
    monkeypatch.setattr("torch.tensor", tensor)
    optimizers = sys.modules["torch.optim.optimizer"]
    monkeypatch.setattr(optimizers, "_get_fused_kernels_supported_devices", lambda: supported)
    with Carries():
        yield there


# ------------------------------------------------------------------------------- an engine of this machine


class Processes(Engine):
    """An engine of the interface: some worker processes of this machine, which die and start anew as others' do."""

    def __init__(self, workers):
        self.shown, self.workers = "processes", workers
        self._pool = None

    def run(self, task, numbers, progress):
        """A slice that dies with its process is tried again."""
        left, done = list(numbers), 0
        while left:
            self._pool = self._pool or ProcessPoolExecutor(self.workers, get_context("spawn"))
            waiting = {self._pool.submit(Actor(task), pa.table({"number": [number]})): number for number in left}
            for future in as_completed(waiting):
                try:
                    told = told_of(future.result().column("told")[0].as_py())
                except BrokenProcessPool:
                    self._pool = None
                    continue
                done += 1
                left.remove(waiting[future])
                progress(done)
                yield told

    def end(self):
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


@pytest.fixture(scope="session")
def processes():
    """An engine of one worker process, which stays."""
    engine = Processes(1)
    yield engine
    engine.end()


class RedisServer:
    """A Redis server on a free port of this machine, which can be stopped and started again."""

    def __init__(self, folder, *options):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.folder, self.options, self.process = folder, options, None
        self.start()

    @property
    def address(self):
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self):
        words = [
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--dir",
            str(self.folder),
            "--save",
            "",
            *self.options,
        ]
        self.process = subprocess.Popen(["redis-server", *words], stdout=subprocess.DEVNULL)
        end = time.monotonic() + 30
        while not self.answers():
            assert time.monotonic() < end, "the server does not come up"
            time.sleep(0.02)

    def answers(self):
        with socket.socket() as asked:
            return asked.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="session")
def redis_servers(tmp_path_factory):
    """`redis_servers(*options)`: starts one; all end with the tests."""
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed: apt-get install redis-server")
    pytest.importorskip("redis")
    started = []

    def start(*options):
        started.append(RedisServer(tmp_path_factory.mktemp("redis"), *options))
        return started[-1]

    yield start
    for server in started:
        server.stop()


@cache
def _model_server():
    """The module beside this one."""
    spec = importlib.util.spec_from_file_location("model_server", ROOT / "tests" / "model_server.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def model_server(monkeypatch):
    """A server that speaks the interface of language models; its key is in MODEL_KEY."""
    module = _model_server()
    made = module.ModelServer("secret-of-this-server")
    monkeypatch.setenv("MODEL_KEY", made.key)
    made.Reply, made.word_vectors = module.Reply, module.word_vectors
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


@pytest.fixture
def interruptible():
    """Interrupts are heard, also where a shell that runs tests in the background has turned them off."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
