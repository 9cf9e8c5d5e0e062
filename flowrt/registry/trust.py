"""Who may sign what: keys and policy in one file, and the statements that are signed.

A statement is what `cosign` signs with a key, so that either tool verifies what the other has signed: the digest of a
manifest under a name, with version and kind beside it. Keys are Ed25519 or ECDSA on P-256, as PEM.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from flowrt.errors import MissingExtra, StartError, in_words
from flowrt.parsing import parsed
from flowrt.registry.artifact import Entry, Signature
from flowrt.registry.blobs import Refused
from flowrt.values import Struct, field

_TYPE = "cosign container image signature"
_REQUIRES = ("nothing", "signed")
SECRET_BYTES_MIN = 32
"""Of a secret that commands are signed with: what its hash has."""


class Key(Struct, frozen=True):
    """One key that is trusted."""

    name: str
    pem: bytes
    """A public key; empty where it is a secret."""
    names: tuple[str, ...] = ("*",)
    """Patterns of the artifacts that it may sign."""
    commands: tuple[str, ...] = ()
    """Patterns of the graphs that it may command."""
    secret: bytes = b""
    """For commands only: what both sides know."""


class Policy(Struct, frozen=True):
    """What must be signed, and by whom."""

    require: str = "nothing"
    """`signed`: what has no valid signature is neither taken nor run."""
    keys: tuple[Key, ...] = field(default=())

    @property
    def strict(self) -> bool:
        return self.require == "signed"


def policy_path(state: Path) -> Path:
    """`FLOWRT_TRUST`, else `/etc/flowrt/trust.toml` where there is one, else `trust.toml` in the state folder."""
    if given := os.environ.get("FLOWRT_TRUST"):
        return Path(given)
    system = Path("/etc/flowrt/trust.toml")
    return system if system.exists() else state / "trust.toml"


def read_policy(path: Path) -> Policy:
    """Nothing is required where there is no file. Raises `StartError` for one that cannot be understood: a policy that
    is not known must not be taken for a lax one."""
    try:
        text = path.read_text(encoding="utf-8")
        import tomllib  # few machines have a policy

        value = tomllib.loads(text)
    except FileNotFoundError:
        return Policy()
    except (OSError, ValueError) as error:
        raise StartError(f"the trust policy {path} cannot be read: {in_words(error, str(path))}") from error
    policy, mistakes = _policy(value)
    if mistakes:
        raise StartError(f"the trust policy {path}: {'; '.join(mistakes)}")
    return policy


def _policy(value: Mapping[str, Any]) -> tuple[Policy, list[str]]:
    """What a file says, and everything that is wrong with it."""
    unknown = sorted(value.keys() - {"require", "keys"})
    mistakes = [f"'{name}' is unknown; there are require and [keys.NAME]" for name in unknown]
    require, named = value.get("require", "signed"), value.get("keys", {})
    if require not in _REQUIRES:
        mistakes.append(f"require is one of {', '.join(_REQUIRES)}, not {require!r}")
    if not isinstance(named, Mapping):
        return Policy(), [*mistakes, "keys are tables, [keys.NAME]"]
    keys = []
    for name, given in named.items():
        try:
            keys.append(_key(name, given))
        except (TypeError, ValueError, AttributeError, OSError) as error:
            mistakes.append(f"key '{name}': {in_words(error)}")
    return Policy(require, tuple(keys)), mistakes


def statement(entry: Entry) -> bytes:
    """What is signed for an artifact."""
    critical = {
        "identity": {"docker-reference": entry.name},
        "image": {"docker-manifest-digest": entry.manifest},
        "type": _TYPE,
    }
    optional = {"version": entry.version, "kind": entry.kind}
    return json.dumps({"critical": critical, "optional": optional}, sort_keys=True, separators=(",", ":")).encode()


def signed(entry: Entry, key: bytes) -> Signature:
    """A signature with a private key in PEM. Raises `StartError`."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    payload = statement(entry)
    private = load_private(key)
    if isinstance(private, Ed25519PrivateKey):
        return Signature(payload, private.sign(payload))
    hashes, ec = _ecdsa()
    return Signature(payload, private.sign(payload, ec.ECDSA(hashes.SHA256())))


def verify(entry: Entry, policy: Policy) -> str:
    """The name of the key that signed an artifact. Raises `Refused` saying why none did."""
    reasons = []
    for signature in entry.signatures:
        try:
            _check_statement(entry, signature.payload)
        except Refused as refused:
            reasons.append(str(refused))
            continue
        for key in policy.keys:
            if not key.pem or not any(fnmatchcase(entry.name, pattern) for pattern in key.names):
                reasons.append(f"key '{key.name}' may not sign {entry.name}")
            elif _valid(key.pem, signature):
                return key.name
            else:
                reasons.append(f"the signature is not by key '{key.name}'")
    why = "; ".join(dict.fromkeys(reasons)) or "it has no signature"
    raise Refused(f"{entry.reference} is not signed by a trusted key: {why}")


def make_key() -> tuple[bytes, bytes]:
    """A new pair, private and public, as PEM."""
    serialization, ed25519 = _modules()
    private = ed25519.Ed25519PrivateKey.generate()
    secret: bytes = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public: bytes = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return secret, public


def _check_statement(entry: Entry, payload: bytes) -> None:
    """Whether a statement is about this artifact. Raises `Refused`."""
    try:
        value = parsed(payload)
        critical, optional = value["critical"], value.get("optional") or {}
        name = str(critical["identity"]["docker-reference"])
        digest, kind = str(critical["image"]["docker-manifest-digest"]), critical["type"]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Refused("a signature over something that is no statement") from None
    if kind != _TYPE or digest != entry.manifest:
        raise Refused(f"swapped: the signature is for {digest[:26]}, not for {entry.manifest[:26]}")
    if name and name != entry.name and not name.endswith("/" + entry.name):
        raise Refused(f"swapped: the signature is for '{name}', not for '{entry.name}'")
    if (version := optional.get("version")) not in (None, entry.version):
        raise Refused(f"swapped: the signature is for version {version}, not {entry.version}")


def _key(name: str, value: object) -> Key:
    """Raises ValueError and OSError with the mistake."""
    if not isinstance(value, Mapping):
        raise ValueError("it is a table, [keys.NAME]")  # noqa: TRY004 - a mistake like the others
    shared = "secret_file" in value
    lists: dict[str, Sequence[Any]] = {
        "names": value.get("names", [] if shared else ["*"]), "commands": value.get("commands", []),
    }  # fmt: skip
    for patterns in lists.values():
        if not isinstance(patterns, list) or not all(isinstance(one, str) for one in patterns):
            raise ValueError("names and commands are lists of patterns")
    ways = {"key", "file", "secret_file"} & set(value)
    if set(value) - {*ways, *lists} or len(ways) != 1 or (shared and lists["names"]):
        raise ValueError("it has key (PEM) or file, names and commands; or secret_file and commands")
    names, commands = (tuple(patterns) for patterns in lists.values())
    if shared:
        secret = Path(value["secret_file"]).read_bytes().strip()
        if len(secret) < SECRET_BYTES_MIN:
            raise ValueError(f"a secret has {SECRET_BYTES_MIN} bytes at least, not {len(secret)}")
        return Key(name, b"", names, commands, secret)
    pem = value["key"].encode() if "key" in value else Path(value["file"]).read_bytes()
    try:
        load_public(pem)
    except ValueError:
        raise ValueError("it holds no public key in PEM, Ed25519 or ECDSA P-256") from None
    return Key(name, pem, names, commands)


def _valid(pem: bytes, signature: Signature) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    public = load_public(pem)
    try:
        if isinstance(public, Ed25519PublicKey):
            public.verify(signature.signature, signature.payload)
        else:
            hashes, ec = _ecdsa()
            public.verify(signature.signature, signature.payload, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def load_public(pem: bytes) -> Any:
    """A public key. Raises ValueError."""
    serialization, ed25519 = _modules()
    _, ec = _ecdsa()
    key = serialization.load_pem_public_key(pem)
    if not isinstance(key, ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey):
        raise ValueError("a key is Ed25519 or ECDSA")  # noqa: TRY004 - as for a key that cannot be read
    return key


def load_private(pem: bytes) -> Any:
    """A private key. Raises `StartError`."""
    serialization, ed25519 = _modules()
    _, ec = _ecdsa()
    try:
        key = serialization.load_pem_private_key(pem, None)
    except (ValueError, TypeError) as error:
        raise StartError(f"that is no private key in PEM without a password: {error}") from error
    if not isinstance(key, ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey):
        raise StartError("a key is Ed25519 or ECDSA")
    return key


def _modules() -> tuple[Any, Any]:
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError:
        raise MissingExtra("signatures", "oci") from None
    return serialization, ed25519


def _ecdsa() -> tuple[Any, Any]:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    return hashes, ec
