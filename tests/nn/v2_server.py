"""A server that speaks the Open Inference Protocol v2 by HTTP and gRPC and runs ONNX Runtime, for tests on loopback.

Its gRPC side is written with Google's protobuf library from a description of the messages, not with the code under
test.
"""

from __future__ import annotations

import json
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import sleep
from typing import Any

import grpc
import numpy as np
import onnxruntime as ort
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

KINDS = {
    "FP32": "<f4", "FP16": "<f2", "FP64": "<f8", "INT64": "<i8", "INT32": "<i4", "INT8": "i1", "UINT8": "u1",
    "BOOL": "?", "UINT64": "<u8", "UINT32": "<u4", "UINT16": "<u2", "INT16": "<i2",
}  # fmt: skip
ORT = {
    "tensor(float)": "FP32", "tensor(float16)": "FP16", "tensor(double)": "FP64", "tensor(int64)": "INT64",
    "tensor(int8)": "INT8", "tensor(uint8)": "UINT8", "tensor(bool)": "BOOL", "tensor(string)": "BYTES",
    "tensor(int32)": "INT32", "tensor(uint64)": "UINT64",
}  # fmt: skip
_HEAD = "Inference-Header-Content-Length"


class Model:
    """One model, run the plain way."""

    def __init__(self, data: bytes) -> None:
        self.session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])

    def ports(self, which: str) -> list[dict[str, Any]]:
        return [
            {"name": p.name, "datatype": ORT[p.type], "shape": [d if isinstance(d, int) else -1 for d in p.shape]}
            for p in getattr(self.session, f"get_{which}")()
        ]

    def run(self, inputs: dict[str, np.ndarray]) -> list[tuple[str, str, np.ndarray]]:
        found = self.session.run(None, inputs)
        return [(p["name"], p["datatype"], array) for p, array in zip(self.ports("outputs"), found, strict=True)]


def pack(array: np.ndarray) -> bytes:
    if array.dtype != object:
        return array.tobytes()
    each = [s.encode() if isinstance(s, str) else s for s in array.ravel()]
    return b"".join(len(s).to_bytes(4, "little") + s for s in each)


def unpack(kind: str, shape: list[int], data: bytes) -> np.ndarray:
    if kind != "BYTES":
        return np.frombuffer(data, KINDS[kind]).reshape(shape)
    found, at = [], 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "little")
        found.append(data[at + 4 : at + 4 + size].decode())
        at += 4 + size
    return np.array(found, object).reshape(shape)


class Server:
    """Both doors, on free ports. `binary` switches the tensor extension, `raw` the form of gRPC's answers; `delay` is
    what an inference takes more, in seconds; `broken` replaces answers by those bytes."""

    def __init__(
        self, models: dict[str, bytes], *, binary: bool = True, raw: bool = True, tls: tuple[Path, Path] | None = None
    ) -> None:
        """`tls`: its key and its certificate; then it speaks nothing else."""
        self.models = {name: Model(data) for name, data in models.items()}
        self.binary, self.raw = binary, raw
        self.delay, self.broken = 0.0, b""
        self.requests = 0
        self.headers: dict[str, str] = {}
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.http.daemon_threads = True
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls[1], tls[0])
            self.http.socket = context.wrap_socket(self.http.socket, server_side=True)
        self._thread = threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        self.grpc = grpc.server(ThreadPoolExecutor(2))
        self.grpc.add_generic_rpc_handlers([self._service()])
        if tls is None:
            self.grpc_port = self.grpc.add_insecure_port("127.0.0.1:0")
        else:
            credentials = grpc.ssl_server_credentials([(tls[0].read_bytes(), tls[1].read_bytes())])
            self.grpc_port = self.grpc.add_secure_port("127.0.0.1:0", credentials)
        self.grpc.start()

    def url(self, scheme: str, name: str) -> str:
        port = self.http.server_address[1] if scheme.startswith("http") else self.grpc_port
        return f"{scheme}://127.0.0.1:{port}/{name}"

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        self._thread.join(10)
        self.grpc.stop(0).wait(10)

    def get(self, path: str) -> tuple[int, bytes, int | None]:
        """Status, body, and the length of the JSON where tensors follow it."""
        if path == "/v2":
            extensions = ["binary_tensor_data"] if self.binary else []
            return 200, json.dumps({"name": "test", "extensions": extensions}).encode(), None
        model = self.models.get(path.removeprefix("/v2/models/"))
        if model is None:
            return 404, b'{"error": "no such model"}', None
        about = {"name": "m", "inputs": model.ports("inputs"), "outputs": model.ports("outputs")}
        return 200, json.dumps(about).encode(), None

    def post(self, path: str, body: bytes, head: int) -> tuple[int, bytes, int | None]:
        self.requests += 1
        sleep(self.delay)
        if self.broken:
            return 200, self.broken, None
        asked, at, inputs = json.loads(body[:head]), head, {}
        for entry in asked["inputs"]:
            size = entry.get("parameters", {}).get("binary_data_size")
            if size is None:
                kind = KINDS.get(entry["datatype"], object)
                inputs[entry["name"]] = np.array(entry["data"], kind).reshape(entry["shape"])
            else:
                inputs[entry["name"]] = unpack(entry["datatype"], entry["shape"], body[at : at + size])
                at += size
        outputs, blobs = [], []
        for name, kind, array in self.models[path.split("/")[3]].run(inputs):
            entry = {"name": name, "datatype": kind, "shape": list(array.shape)}
            if self.binary:
                blobs.append(pack(array))
                entry["parameters"] = {"binary_data_size": len(blobs[-1])}
            else:
                entry["data"] = array.ravel().tolist()
            outputs.append(entry)
        text = json.dumps({"model_name": "m", "outputs": outputs}).encode()
        return 200, text + b"".join(blobs), len(text) if blobs else None

    def _handler(server) -> type:  # noqa: N805 `self` is the handler's
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def _send(self, status: int, body: bytes, head: int | None) -> None:
                self.send_response(status)
                if head is not None:
                    self.send_header(_HEAD, str(head))
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self) -> None:
                self._send(*server.get(self.path))

            def do_POST(self) -> None:
                server.headers = dict(self.headers)
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self._send(*server.post(self.path, body, int(self.headers.get(_HEAD) or len(body))))

        return Handler

    def _service(server) -> grpc.GenericRpcHandler:  # noqa: N805
        class Service(grpc.GenericRpcHandler):
            def service(self, call: Any) -> Any:
                method = {"ModelInfer": server._infer, "ModelMetadata": server._about}[call.method.rpartition("/")[2]]
                return grpc.unary_unary_rpc_method_handler(method)

        return Service()

    def _about(self, request: bytes, context: Any) -> bytes:
        asked = MESSAGES["ModelMetadataRequest"].FromString(request)
        model = self.models.get(asked.name)
        if model is None:
            context.abort(grpc.StatusCode.NOT_FOUND, "no such model")
        answer = MESSAGES["ModelMetadataResponse"](name=asked.name, versions=["1"], platform="onnx")
        for which in ("inputs", "outputs"):
            for port in model.ports(which):
                getattr(answer, which).add(**port)
        return answer.SerializeToString()

    def _infer(self, request: bytes, _context: Any) -> bytes:
        self.requests += 1
        asked = MESSAGES["ModelInferRequest"].FromString(request)
        sleep(self.delay)
        if self.broken:
            return self.broken
        inputs = {
            tensor.name: unpack(tensor.datatype, list(tensor.shape), raw)
            for tensor, raw in zip(asked.inputs, asked.raw_input_contents, strict=True)
        }
        made = self.models[asked.model_name].run(inputs)
        answer = MESSAGES["ModelInferResponse"](model_name=asked.model_name)
        for name, kind, array in made:
            tensor = answer.outputs.add(name=name, datatype=kind, shape=array.shape)
            if self.raw:
                answer.raw_output_contents.append(pack(array))
            elif kind == "BYTES":
                tensor.contents.bytes_contents.extend(s.encode() for s in array.ravel())
            else:
                getattr(tensor.contents, LISTS[array.dtype.kind, array.dtype.itemsize]).extend(array.ravel().tolist())
        return answer.SerializeToString()


LISTS = {
    ("f", 4): "fp32_contents", ("f", 8): "fp64_contents", ("i", 8): "int64_contents", ("i", 4): "int_contents",
    ("i", 1): "int_contents", ("u", 1): "uint_contents", ("u", 8): "uint64_contents", ("b", 1): "bool_contents",
}  # fmt: skip


def _messages() -> dict[str, Any]:
    """The messages of grpc_service.proto that are used here: name, then fields as number, name, type; `*` repeats."""
    described = {
        "InferTensorContents": "1 bool_contents bool* 2 int_contents int32* 3 int64_contents int64*"
        " 4 uint_contents uint32* 5 uint64_contents uint64*"
        " 6 fp32_contents float* 7 fp64_contents double* 8 bytes_contents bytes*",
        "Tensor": "1 name string 2 datatype string 3 shape int64* 5 contents InferTensorContents",
        "Requested": "1 name string",
        "ModelMetadataRequest": "1 name string 2 version string",
        "ModelMetadataResponse": "1 name string 2 versions string* 3 platform string 4 inputs Tensor*"
        " 5 outputs Tensor*",
        "ModelInferRequest": "1 model_name string 2 model_version string 3 id string 5 inputs Tensor*"
        " 6 outputs Requested* 7 raw_input_contents bytes*",
        "ModelInferResponse": "1 model_name string 2 model_version string 3 id string 5 outputs Tensor*"
        " 6 raw_output_contents bytes*",
    }
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="v2_test.proto", package="v2_test", syntax="proto3")
    for name, text in described.items():
        message, words = file.message_type.add(name=name), text.split()
        for number, label, kind in zip(words[::3], words[1::3], words[2::3], strict=True):
            many, kind = kind.endswith("*"), kind.rstrip("*")
            made = message.field.add(name=label, number=int(number), label=3 if many else 1)
            made.type = getattr(field, f"TYPE_{kind.upper()}", field.TYPE_MESSAGE)
            if made.type == field.TYPE_MESSAGE:
                made.type_name = f".v2_test.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {n: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"v2_test.{n}")) for n in described}


MESSAGES = _messages()
