"""Servers in processes of their own: TLS, gRPC, several processes, signals, and clients that others wrote."""

import asyncio
import contextlib
import os
import signal
import socket
import ssl
import struct
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest

from serving import Predictor

ADMIN = "an admin's token of the tests"


@pytest.fixture
def stack():
    """Closes what is entered."""
    with contextlib.ExitStack() as opened:
        yield opened


@pytest.fixture
def body(request_parts):
    user, items, context = request_parts
    return {"user": user, "items": items, "context": context}


def scores_of(bundle, body):
    with Predictor.load(bundle) as predictor:
        return predictor.predict(body["user"], body["items"], body["context"])["click"]


def ask(client, body):
    answer = client.post("/predict", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()["version"], np.float32(answer.json()["scores"]["click"])


def metric(client, start):
    lines = client.get("/metrics").text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(start))


def cut_off(server):
    """Requests that end too early, come too slowly, or say that they are huge."""
    host, port = server.url.removeprefix("http://").split(":")
    head = b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{"
    with socket.create_connection((host, int(port))) as cut:
        cut.sendall(head)
    for text, status in ((head, b"408"), (head.replace(b"100", b"99999999999"), b"413")):
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(text)
            connection.settimeout(20)
            assert status in connection.recv(4096)


def too_large(client):
    """A client that sends all of a body that is too large, and only then reads, is told so."""
    answer = client.post("/predict", content=b"x" * 3_000_000, headers={"connection": "close"})
    assert (answer.status_code, answer.json()["reason"]) == (413, "body_bytes")


def test_a_server_answers_and_drains(serving, toys, body, stack):
    models = [{"name": "ctr", "bundle": str(toys("deepfm").bundle)}]
    server = serving(models=models, limits={"body_timeout_s": 0.3, "deadline_ms": 30_000, "body_bytes": 1_000_000})
    with httpx.Client(base_url=server.url, timeout=30) as client:
        assert np.array_equal(ask(client, body)[1], scores_of(toys("deepfm").bundle, body))
        cut_off(server)
        too_large(client)
        assert client.get("/v2/health/ready").status_code == 200
    stop_under_load(server, body, stack)


def stop_under_load(server, body, stack):
    """Requests that run at SIGTERM are answered, and the server ends with 0."""
    large = {**body, "items": body["items"] * 1000}
    with ThreadPoolExecutor(4) as pool:
        clients = [stack.enter_context(httpx.Client(base_url=server.url, timeout=30)) for _ in range(4)]
        running = [pool.submit(client.post, "/predict", json=large) for client in clients]
        time.sleep(0.05)
        server.process.send_signal(signal.SIGTERM)
        statuses = {one.result().status_code for one in running}
    assert statuses <= {200, 503}
    assert server.stop() == 0
    assert not server.events("a request failed")


@pytest.mark.slow
def test_two_processes_answer_as_one_survive_a_kill_follow_orders_and_drain(
    serving, toys, other_toy, body, until, tmp_path, stack
):
    pointer = tmp_path / "current"
    pointer.write_text(str(toys("deepfm").bundle))
    models = [{"name": "ctr", "bundle": str(pointer)}]
    server = serving(
        models=models,
        processes=2,
        watch_s=0,
        auth={"admin": [ADMIN]},
        limits={"body_timeout_s": 0.3, "deadline_ms": 30_000},
    )
    expected, others = scores_of(toys("deepfm").bundle, body), scores_of(other_toy.bundle, body)
    clients = [stack.enter_context(httpx.Client(base_url=server.url, timeout=30)) for _ in range(4)]
    for client in clients:
        assert np.array_equal(ask(client, body)[1], expected)
    first, second = server.workers()
    counted = 'easyrec_requests_total{model="ctr",endpoint="/predict",status="200"}'
    until(lambda: metric(clients[0], counted) == 4)
    assert metric(clients[0], "easyrec_processes") == 2

    # An order that one process is given is followed by the other.
    pointer.write_text(str(other_toy.bundle))
    told = clients[0].post("/models/ctr/reload", headers={"authorization": f"Bearer {ADMIN}"})
    assert told.json()["versions"][0]["result"] == "loaded"
    until(lambda: all(np.array_equal(ask(client, body)[1], others) for client in clients))

    # A killed process takes its own connections with it, and is started again.
    time.sleep(1.1)  # what it counted is on the board by then
    before = metric(clients[0], counted)
    os.kill(first, signal.SIGKILL)
    server.event("a process died")
    with httpx.Client(base_url=server.url) as client:
        assert np.array_equal(ask(client, body)[1], others)
        assert metric(client, counted) >= before
        assert metric(client, "easyrec_worker_restarts_total") == 1
    until(lambda: len(server.workers()) == 2 and len(server.events("ready")) == 3)
    assert second in server.workers()

    stop_under_load(server, body, stack)
    assert not any(ADMIN in (line or "") for line in server.lines)


@pytest.mark.slow
def test_a_hundred_swaps_over_two_processes_fail_no_request_and_mix_no_versions(
    serving, toys, other_toy, body, until, tmp_path
):
    bundles = [toys("deepfm").bundle, other_toy.bundle]
    pointer = tmp_path / "current"
    pointer.write_text(str(bundles[0]))
    models = [{"name": "ctr", "bundle": str(pointer)}]
    server = serving(models=models, processes=2, watch_s=0.05, state=str(tmp_path / "state"))
    seen, stop = [], []

    def load():
        with httpx.Client(base_url=server.url, timeout=30) as client:
            while not stop:
                seen.append(ask(client, body))

    with ThreadPoolExecutor(3) as pool:
        loads = [pool.submit(load) for _ in range(3)]
        for swap in range(1, 101):
            pointer.write_text(str(bundles[swap % 2]))
            until(lambda wanted=2 * (swap + 1): len(server.events("a bundle answers")) >= wanted, 60)
        stop.append(True)
        for one in loads:
            one.result()
    expected = {}
    for version, scores in seen:
        expected.setdefault(version, scores)
        assert np.array_equal(scores, expected[version])
    wanted = [scores_of(bundle, body) for bundle in bundles]
    assert len(expected) == 2
    assert all(any(np.array_equal(scores, one) for one in wanted) for scores in expected.values())


@pytest.mark.slow
def test_tls_asks_for_certificates(serving, toys, body, tmp_path):
    trustme = pytest.importorskip("trustme", reason="needs trustme, as the extra 'dev' brings it")
    authority = trustme.CA()
    own, client_own = authority.issue_cert("127.0.0.1"), authority.issue_cert("client@example.org")
    paths = {name: str(tmp_path / name) for name in ("certificate", "key", "authority", "client")}
    own.cert_chain_pems[0].write_to_path(paths["certificate"])
    own.private_key_pem.write_to_path(paths["key"])
    authority.cert_pem.write_to_path(paths["authority"])
    client_own.private_key_and_cert_chain_pem.write_to_path(paths["client"])
    tls = {"certificate": paths["certificate"], "key": paths["key"], "client_authority": paths["authority"]}
    models = [{"name": "ctr", "bundle": str(toys("deepfm").bundle)}]
    server = serving(models=models, tls=tls, processes=2)
    context = ssl.create_default_context(cafile=paths["authority"])
    with httpx.Client(base_url=server.url, verify=context) as stranger, pytest.raises(httpx.TransportError):
        stranger.get("/v2")
    context.load_cert_chain(paths["client"])
    with httpx.Client(base_url=server.url, verify=context) as client:
        assert np.array_equal(ask(client, body)[1], scores_of(toys("deepfm").bundle, body))


# ------------------------------------------------------------------------------------------- the protocol

TYPES = {"level": "INT64", "price": "FP64", "score": "FP32"}


def arrays(body):
    """The request's columns as numpy arrays."""
    user, items = body["user"], [{**item, "tags": "t1"} for item in body["items"]]
    steps = user["click_seq"]
    found = {"user_id": [user["user_id"]], "level": [user["level"]], "scene": [body["context"]["scene"]]}
    found |= {f"click_seq__{key}": [[step[key] or "" for step in steps]] for key in ("item_id", "cate")}
    found |= {name: [item[name] if item[name] is not None else 0.5 for item in items] for name in items[0]}
    dtypes = {"INT64": np.int64, "FP64": np.float64, "FP32": np.float32}
    return {name: np.array(value, dtypes.get(TYPES.get(name, ""), object)) for name, value in found.items()}


def expected_of(bundle, body):
    given = arrays(body)
    user = {n: given[n][0].tolist() if given[n].ndim > 1 else given[n][0] for n in given if n in USERS}
    items = {n: v.tolist() for n, v in given.items() if n not in USERS and n != "scene"}
    with Predictor.load(bundle) as predictor:
        return predictor.predict(user, items, {"scene": given["scene"][0]})["click"]


USERS = ("user_id", "level", "click_seq__item_id", "click_seq__cate")


def test_grpc_answers_as_http_does(with_app, toys, body):
    grpc = pytest.importorskip("grpc", reason="needs the extra 'grpc'")
    pytest.importorskip("google.protobuf", reason="needs the extra 'grpc'")
    from serving.server.app import App
    from serving.server.grpc_messages import SERVICE, messages
    from serving.server.grpc_server import InferenceServer

    bundle, made = toys("deepfm").bundle, messages()
    expected = expected_of(bundle, body)

    def ask_all(port):
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:

            def call(what, /, **fields):
                method = channel.unary_unary(
                    f"/{SERVICE}/{what}",
                    request_serializer=made[f"{what}Request"].SerializeToString,
                    response_deserializer=made[f"{what}Response"].FromString,
                )
                return method(made[f"{what}Request"](**fields), timeout=20)

            assert call("ServerLive").live
            assert call("ServerReady").ready
            assert call("ModelReady", name="ctr").ready
            assert call("ServerMetadata").name == "easyrec"
            assert {tensor.name for tensor in call("ModelMetadata", name="ctr").inputs} == set(arrays(body))
            tensors, raw, plain = [], [], []
            for name, values in arrays(body).items():
                kind = TYPES.get(name, "BYTES")
                parts = {"name": name, "datatype": kind, "shape": values.shape}
                tensors.append(made["InferInputTensor"](**parts))
                plain.append(made["InferInputTensor"](**parts, contents=contents(made, kind, values)))
                texts = [text.encode() for text in values.reshape(-1)] if kind == "BYTES" else []
                raw.append(b"".join(struct.pack("<I", len(t)) + t for t in texts) if texts else values.tobytes())
            answer = call("ModelInfer", model_name="ctr", id="7", inputs=tensors, raw_input_contents=raw)
            assert answer.id == "7"
            assert np.array_equal(np.frombuffer(answer.raw_output_contents[0], "<f4"), expected)
            again = call("ModelInfer", model_name="ctr", inputs=plain)
            assert again.raw_output_contents == answer.raw_output_contents
            for fields, code in (
                ({"model_name": "cvr", "inputs": plain}, grpc.StatusCode.NOT_FOUND),
                ({"model_name": "ctr", "inputs": plain[:-1]}, grpc.StatusCode.INVALID_ARGUMENT),
                ({"model_name": "ctr"}, grpc.StatusCode.INVALID_ARGUMENT),
            ):
                with pytest.raises(grpc.RpcError) as failed:
                    call("ModelInfer", **fields)
                assert failed.value.code() == code

    async def work(client):
        server = InferenceServer(client.service, App(client.service))
        await server.start()
        try:
            await asyncio.get_running_loop().run_in_executor(None, ask_all, server.port)
        finally:
            await server.stop()

    with_app(work, models=[{"name": "ctr", "bundle": str(bundle)}], grpc={"port": 0})


def contents(made, datatype, values):
    flat = values.reshape(-1).tolist()
    key = {"INT64": "int64_contents", "FP64": "fp64_contents", "FP32": "fp32_contents", "BYTES": "bytes_contents"}
    return made["InferTensorContents"](
        **{key[datatype]: [text.encode() for text in flat] if datatype == "BYTES" else flat}
    )


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_the_clients_of_triton_run_their_calls(serving, toys, body, protocol):
    reason = "needs tritonclient: pip install --no-deps tritonclient, and what its extras http and grpc name"
    triton = pytest.importorskip(f"tritonclient.{protocol}", reason=reason, exc_type=Exception)
    bundle = toys("deepfm").bundle
    server = serving(models=[{"name": "ctr", "bundle": str(bundle)}], grpc={"port": 0})
    port = server.event("listening for gRPC" if protocol == "grpc" else "listening")["port"]
    client = triton.InferenceServerClient(f"127.0.0.1:{port}")
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("ctr")
    metadata = client.get_model_metadata("ctr")
    version = metadata["versions"][0] if protocol == "http" else metadata.versions[0]
    assert client.get_server_metadata()
    inputs = []
    for name, values in arrays(body).items():
        one = triton.InferInput(name, list(values.shape), TYPES.get(name, "BYTES"))
        one.set_data_from_numpy(values)
        inputs.append(one)
    answer = client.infer("ctr", inputs, model_version=version, request_id="7")
    assert np.array_equal(answer.as_numpy("click"), expected_of(bundle, body))
    outputs = [triton.InferRequestedOutput("click")]
    assert np.array_equal(client.infer("ctr", inputs, outputs=outputs).as_numpy("click"), expected_of(bundle, body))
    for name, given, outputs, told in (
        ("cvr", inputs, None, "no model 'cvr'"),
        ("ctr", inputs[:-1], None, "the column is missing"),
        ("ctr", inputs, [triton.InferRequestedOutput("buy")], "no output is called 'buy'"),
    ):
        with pytest.raises(Exception, match=told):
            client.infer(name, given, outputs=outputs)
    client.close()
