"""Models on an inference server that speaks the Open Inference Protocol v2, by HTTP or gRPC."""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from flowrt.nn.backend import Array, AtOnce, Session, Slot, Source
from flowrt.nn.faults import ModelFault
from flowrt.nn.fits import check
from flowrt.nn.v2 import BadAnswer
from flowrt.values import Struct

_ADDRESS = re.compile(
    r"(https?|grpcs?)://([^/\s?#@]+)/(?:v2/models/)?([^?#\s]+?)(?:/versions/([^/?#\s]+))?(?:/infer)?/?"
)
ANSWER_MAX = 256 * 2**20
"""Bytes of one answer."""
_DETAIL_MAX = 400


class Address(Struct, frozen=True):
    """A server's model."""

    scheme: str
    host: str
    """With the port, where one is named."""
    model: str
    version: str
    timeout: float
    """Seconds."""
    ca: bytes | None
    """Certificates that the server's must come from; None: those the system trusts."""
    token: str
    """Sent as a bearer token; empty: none."""


Answer = dict[str, tuple[str, Array]]
"""Outputs by name, each with its tensor type."""


class Transport(Protocol):
    """One way to a server. Any number of threads may use it."""

    def about(self) -> tuple[tuple[Slot, ...], tuple[Slot, ...]]:
        """The model's inputs and outputs. Raises `ModelFault` or `BadAnswer`."""

    def infer(self, slots: Sequence[Slot], arrays: Sequence[Array], outputs: Sequence[Slot]) -> Answer: ...

    def close(self) -> None: ...


class RemoteBackend:
    """Reaches models on servers."""

    engine = "Open Inference Protocol v2"

    def targets(self) -> Mapping[str, str]:
        """What the server has is its own affair."""
        return {"cpu": "as the server decides"}

    def load(self, source: Source, target: str, threads: int) -> Session:  # noqa: ARG002 the server's affair
        address = _address(source)
        transport = _transport(address)
        try:
            inputs, outputs = source.inputs, source.outputs
            if not (inputs and outputs):
                inputs, outputs = transport.about()
        except BadAnswer as bad:
            transport.close()
            raise ModelFault("runtime-error", f"model '{source.label}': its server answers amiss: {bad}") from bad
        except BaseException:
            transport.close()
            raise
        return RemoteSession(source.label, address, transport, inputs, outputs)


class RemoteSession(AtOnce):
    """One model on a server. Nothing is asked of the server before the first run where the tensors are declared."""

    trial = False

    def __init__(
        self, label: str, address: Address, transport: Transport, inputs: tuple[Slot, ...], outputs: tuple[Slot, ...]
    ) -> None:
        self.label, self.inputs, self.outputs = label, inputs, outputs
        self.device = f"the server {address.host}"
        self._transport: Transport | None = transport

    def run(self, arrays: Sequence[Array | None]) -> Sequence[Array]:
        transport = self._transport
        if transport is None:
            raise ModelFault("runtime-error", f"model '{self.label}' was released")
        check(self.label, self.inputs, arrays)
        try:
            answer = transport.infer(self.inputs, [np.asarray(array, order="C") for array in arrays], self.outputs)
            return [self._output(slot, answer) for slot in self.outputs]
        except BadAnswer as bad:
            raise ModelFault("runtime-error", f"model '{self.label}': its server answers amiss: {bad}") from bad
        except ModelFault as fault:
            raise ModelFault(fault.code, f"model '{self.label}': {fault.detail}"[:_DETAIL_MAX]) from fault

    def memory_bytes(self) -> int:
        """Nothing: it is the server's."""
        return 0

    def close(self) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()

    @staticmethod
    def _output(slot: Slot, answer: Answer) -> Array:
        if slot.name not in answer:
            raise BadAnswer(f"no output '{slot.name}', but {', '.join(answer)[:200]}")
        kind, array = answer[slot.name]
        if kind != slot.type or not slot.takes(array.shape):
            raise BadAnswer(f"output {slot} came as {kind}{list(array.shape)}")
        return array


def _address(source: Source) -> Address:
    text = source.parts[0].decode("utf-8", "replace")
    match = _ADDRESS.fullmatch(text)
    if match is None:
        raise ModelFault(
            "invalid-argument",
            f"'{text[:200]}' is no server's model; write http://HOST:PORT/MODEL or grpc://HOST:PORT/MODEL",
        )
    options = source.options
    return Address(
        match[1],
        match[2],
        match[3],
        match[4] or "",
        float(options.get("timeout", 5.0)),
        _authority(options.get("ca")),
        (_file(options.get("tokenFile")) or b"").decode("utf-8", "replace").strip(),
    )


def _authority(path: object) -> bytes | None:
    found = _file(path)
    if found is not None:
        try:
            ssl.create_default_context(cadata=found.decode())
        except (OSError, ValueError) as error:
            raise ModelFault("invalid-argument", f"{path} is no certificate: {error}") from error
    return found


def _file(path: object) -> bytes | None:
    if path is None:
        return None
    try:
        return Path(str(path)).read_bytes()
    except (OSError, ValueError) as error:
        raise ModelFault("runtime-error", f"{path} cannot be read: {getattr(error, 'strerror', error)}") from error


def _transport(address: Address) -> Transport:
    if address.scheme.startswith("http"):
        from flowrt.nn.backends.remote_http import HttpTransport

        return HttpTransport(address)
    try:
        from flowrt.nn.backends.remote_grpc import GrpcTransport
    except ImportError as error:
        raise ModelFault("invalid-encoding", f"gRPC is not here ({error}): pip install 'flowrt[remote]'") from error
    return GrpcTransport(address)
