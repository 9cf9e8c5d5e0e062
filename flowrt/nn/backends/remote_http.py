"""The Open Inference Protocol by HTTP: the only file that imports urllib3."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import urllib3

from flowrt.nn import v2
from flowrt.nn.backend import Array, Slot
from flowrt.nn.backends.remote import ANSWER_MAX, Address, Answer
from flowrt.nn.faults import Code, ModelFault

_OK = 200
_CODES: dict[int, Code] = {400: "invalid-argument", 404: "not-found", 413: "too-large"}
_CONNECTIONS = 8
"""Kept open; more threads than this at once open and close their own."""
_HEAD = "Inference-Header-Content-Length"


class HttpTransport:
    """A pool of connections to one server."""

    def __init__(self, address: Address) -> None:
        self._model = f"/v2/models/{quote(address.model, safe='')}"
        if address.version:
            self._model += f"/versions/{quote(address.version, safe='')}"
        self._headers = {"Authorization": f"Bearer {address.token}"} if address.token else {}
        self._host = address.host
        self._binary: bool | None = None
        self._lock = threading.Lock()
        tls: dict[str, Any] = {}
        if address.scheme == "https":
            tls["ssl_context"] = ssl.create_default_context(cadata=address.ca.decode() if address.ca else None)
        self._pool = urllib3.connection_from_url(
            f"{address.scheme}://{address.host}",
            maxsize=_CONNECTIONS,
            retries=False,
            timeout=urllib3.Timeout(connect=min(address.timeout, 5.0), read=address.timeout),
            headers=self._headers,
            **tls,
        )

    def about(self) -> tuple[tuple[Slot, ...], tuple[Slot, ...]]:
        return v2.decode_metadata(self._ask("GET", self._model)[0])

    def infer(self, slots: Sequence[Slot], arrays: Sequence[Array], outputs: Sequence[Slot]) -> Answer:
        binary = self._has_binary()
        body, head = v2.encode_json(slots, arrays, outputs, binary=binary)
        headers = {"Content-Type": "application/octet-stream", _HEAD: str(head)} if binary else _JSON
        answer, length = self._ask("POST", self._model + "/infer", body, headers)
        return v2.decode_json(answer, length)

    def close(self) -> None:
        self._pool.close()

    def _has_binary(self) -> bool:
        """Whether tensors may travel as bytes; asked once."""
        with self._lock:
            if self._binary is None:
                try:
                    self._binary = "binary_tensor_data" in v2.extensions(self._ask("GET", "/v2")[0])
                except (v2.BadAnswer, ModelFault) as bad:
                    if isinstance(bad, ModelFault) and bad.code in {"timeout", "runtime-error"}:
                        raise
                    self._binary = False
            return self._binary

    def _ask(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[bytes, int | None]:
        """The body of an answer and the length of the JSON at its beginning, where tensors follow."""
        try:
            answer = self._pool.urlopen(
                method, path, body, headers={**self._headers, **(headers or {})}, preload_content=False, redirect=False
            )
            data = answer.read(ANSWER_MAX + 1)
            # Read to its end, the connection goes back to the pool by itself; of a longer answer it is of no more use.
            if len(data) > ANSWER_MAX:
                answer.close()
                raise ModelFault("too-large", f"{self._host} answers with more than {ANSWER_MAX} bytes")
        except urllib3.exceptions.NewConnectionError as error:  # which is a kind of timeout to its makers
            raise ModelFault("runtime-error", f"{self._host} cannot be reached: {error}") from error
        except (urllib3.exceptions.TimeoutError, TimeoutError) as error:
            raise ModelFault("timeout", f"{self._host} does not answer in time") from error
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise ModelFault("runtime-error", f"{self._host} cannot be reached: {error}") from error
        if answer.status != _OK:
            code = _CODES.get(answer.status, "runtime-error")
            raise ModelFault(code, f"{self._host} answers {answer.status}: {v2.error_text(data)}")
        length = answer.headers.get(_HEAD, "")
        return data, int(length) if length.isdecimal() else None


_JSON = {"Content-Type": "application/json"}
