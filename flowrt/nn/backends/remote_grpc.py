"""The Open Inference Protocol by gRPC: the only file that imports it.

Messages are written and read by `v2.py`, so that neither generated code nor the protobuf library is needed.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # what goes wrong comes as an exception; nothing writes to our stderr
import grpc

from flowrt.nn import v2
from flowrt.nn.backend import Array, Slot
from flowrt.nn.backends.remote import ANSWER_MAX, Address, Answer
from flowrt.nn.faults import Code, ModelFault

_SERVICE = "/inference.GRPCInferenceService/"
_CODES: dict[str, Code] = {
    "INVALID_ARGUMENT": "invalid-argument",
    "NOT_FOUND": "not-found",
    "DEADLINE_EXCEEDED": "timeout",
    "RESOURCE_EXHAUSTED": "too-large",
}
_OPTIONS = [("grpc.max_receive_message_length", ANSWER_MAX), ("grpc.max_send_message_length", ANSWER_MAX)]


class GrpcTransport:
    """One channel, which opens its connections itself and again."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._metadata = [("authorization", f"Bearer {address.token}")] if address.token else []
        if address.scheme == "grpcs":
            credentials = grpc.ssl_channel_credentials(address.ca)
            self._channel = grpc.secure_channel(address.host, credentials, _OPTIONS)
        else:
            self._channel = grpc.insecure_channel(address.host, _OPTIONS)
        self._infer = self._channel.unary_unary(_SERVICE + "ModelInfer")
        self._about = self._channel.unary_unary(_SERVICE + "ModelMetadata")

    def about(self) -> tuple[tuple[Slot, ...], tuple[Slot, ...]]:
        return v2.decode_about(self._call(self._about, v2.encode_about(self._address.model, self._address.version)))

    def infer(self, slots: Sequence[Slot], arrays: Sequence[Array], outputs: Sequence[Slot]) -> Answer:
        request = v2.encode_infer(self._address.model, self._address.version, slots, arrays, outputs)
        return v2.decode_infer(self._call(self._infer, request))

    def close(self) -> None:
        self._channel.close()

    def _call(self, method: Any, request: bytes) -> bytes:
        try:
            answer: bytes = method(request, timeout=self._address.timeout, metadata=self._metadata)
        except grpc.RpcError as error:
            name = error.code().name
            code = _CODES.get(name, "runtime-error")
            raise ModelFault(code, f"{self._address.host} answers {name}: {error.details()}") from error
        except ValueError as error:  # a channel that was closed meanwhile
            raise ModelFault("runtime-error", f"{self._address.host}: {error}") from error
        return answer
