"""An artifact by name and version: an OCI manifest whose first layer is the content, and who has signed it."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from typing import Any, Literal

from flowrt.parsing import parsed
from flowrt.registry.blobs import Refused, checked_digest, digest_of
from flowrt.values import Struct

Kind = Literal["module", "model", "graph"]
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
MANIFEST_BYTES_MAX = 4 * 2**20
LAYER_TYPES: dict[Kind, str] = {
    "module": "application/wasm",
    "model": "application/octet-stream",
    "graph": "application/yaml",
}
"""What we push a layer as. Whatever it is called, the first layer is what is taken."""
ARTIFACT_TYPES: dict[Kind, str] = {
    "module": "application/vnd.module.wasm.content.layer.v1+wasm",
    "model": "application/vnd.flowrt.model.v1",
    "graph": "application/vnd.microsoft.aio.graph.v1+yaml",
}
EMPTY = b"{}"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(?:/[A-Za-z0-9][A-Za-z0-9._-]*)*")
_VERSION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


class Signature(Struct, frozen=True):
    """A signed statement: see `trust.py`."""

    payload: bytes
    signature: bytes


class Entry(Struct, frozen=True):
    """What the store knows of one artifact."""

    kind: Kind
    name: str
    version: str
    manifest: str
    """Digest of its manifest, which is what is signed."""
    content: str
    """Digest of what it holds."""
    size: int
    """Bytes of that."""
    signatures: tuple[Signature, ...] = ()
    source: str = ""
    """Where it came from."""

    @property
    def reference(self) -> str:
        return f"{self.name}:{self.version}"

    @property
    def digests(self) -> set[str]:
        """What must be in the store for it."""
        return {self.manifest, self.content}

    def as_json(self) -> dict[str, Any]:
        signatures = [
            {"payload": base64.b64encode(one.payload).decode(), "signature": base64.b64encode(one.signature).decode()}
            for one in self.signatures
        ]
        return {
            "kind": self.kind, "name": self.name, "version": self.version, "manifest": self.manifest,
            "content": self.content, "size": self.size, "signatures": signatures, "source": self.source,
        }  # fmt: skip


def entry_from(value: Mapping[str, Any]) -> Entry:
    """From what `as_json` gave, from wherever it came. Raises `Refused`."""
    try:
        signatures = tuple(
            Signature(base64.b64decode(one["payload"]), base64.b64decode(one["signature"]))
            for one in value["signatures"]
        )
        kind = value["kind"]
        name, version = named(f"{value['name']}:{value['version']}")
        manifest, content = checked_digest(str(value["manifest"])), checked_digest(str(value["content"]))
        entry = Entry(kind, name, version, manifest, content, int(value["size"]), signatures, str(value["source"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Refused(f"an entry that is not one: {error!r}") from None
    if kind not in LAYER_TYPES:
        raise Refused(f"an artifact is a module, a model or a graph, not {str(kind)[:40]!r}")
    return entry


def signatures_from(data: bytes) -> tuple[Signature, ...]:
    """What `flowrt store sign --detach` wrote, and stands beside a file as `FILE.sig`. Raises `Refused`."""
    try:
        return tuple(
            Signature(base64.b64decode(one["payload"]), base64.b64decode(one["signature"]))
            for one in (parsed(data) if data else ())
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Refused(f"the signatures beside it cannot be read: {error!r}") from None


def named(reference: str) -> tuple[str, str]:
    """Name and version of `name:version`. Raises `Refused`: both become names of files."""
    name, colon, version = reference.rpartition(":")
    if not colon or not _NAME.fullmatch(name) or len(name) > 255 or not _VERSION.fullmatch(version):
        raise Refused(f"'{reference[:100]}' names no artifact; write name:version, as in acme/pump-features:1.2.0")
    return name, version


def manifest_for(kind: Kind, name: str, version: str, content: str, size: int) -> bytes:
    """The manifest of content that comes without one: the same for the same content and name, everywhere."""
    config = {"mediaType": ARTIFACT_TYPES[kind] if kind == "graph" else "application/vnd.oci.empty.v1+json"}
    value = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "artifactType": ARTIFACT_TYPES[kind],
        "config": {**config, "digest": digest_of(EMPTY), "size": len(EMPTY)},
        "layers": [
            {
                "mediaType": LAYER_TYPES[kind],
                "digest": content,
                "size": size,
                "annotations": {"org.opencontainers.image.title": name.rpartition("/")[2]},
            }
        ],
        "annotations": {"org.opencontainers.image.title": name, "org.opencontainers.image.version": version},
    }
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def first_layer(manifest: bytes) -> tuple[str, int, str]:
    """Digest, size and media type of what a manifest holds. Raises `Refused`."""
    try:
        value = parsed(manifest)
        layer = value["layers"][0]
        return checked_digest(str(layer["digest"])), int(layer["size"]), str(layer.get("mediaType", ""))
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        if b'"manifests"' in manifest:
            raise Refused("it is an index of several platforms; name one of its manifests by digest") from None
        raise Refused("its manifest has no layer") from None


def kind_of(begins: bytes, media_type: str = "", name: str = "") -> Kind:
    """What some content is, by its first bytes first."""
    if begins.startswith(b"\0asm"):
        return "module"
    if "yaml" in media_type or name.endswith((".yaml", ".yml")):
        return "graph"
    return "model"


def order_of(version: str) -> tuple[tuple[int, int, str], ...]:
    """For comparing versions: numbers count as numbers, and 1.0.0-rc1 comes before 1.0.0."""
    release, dash, rest = version.partition("-")
    parts = tuple(_part(part) for part in release.split("."))
    return (*parts, *((-1, 0, "") if dash else (0, 0, ""),), *(_part(part) for part in re.split(r"[.-]", rest) if part))


def _part(text: str) -> tuple[int, int, str]:
    return (2, int(text), "") if text.isdecimal() else (1, 0, text)
