"""Signed commands: JSON Web Tokens (RFC 7519), so that whoever commands needs no tool of ours.

The header's `kid` names a key of the trust policy, `alg` is what that key can do (EdDSA, ES256, HS256) and nothing
else. Claims: `aud`, the topic; `iat`, `exp` and `jti`; `v`, 1; `do` and what it needs. A command is carried out once:
see `Seen`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, Literal

from flowrt.errors import FlowrtError, MissingExtra, StartError
from flowrt.registry.trust import Key, Policy, load_private, load_public
from flowrt.values import Struct

VERSION = 1
BYTES_MAX = 16 * 2**10
"""Of one command."""
LIFETIME_MAX = 86400
"""Seconds between `iat` and `exp`: how long a command may wait for a gateway that is away."""
AHEAD_MAX = 300
"""Seconds that the commander's clock may be ahead of ours."""
ID_MAX = 128
"""Characters of `jti`."""
BRING_MAX = 64
REFUSALS = ("size", "malformed", "key", "signature", "audience", "expired", "replayed", "unknown", "topic", "busy")
"""Why commands are not taken."""
_OWN = {"aud", "iat", "exp", "jti", "v", "do", "artifact", "bring", "again"}


class Unlawful(FlowrtError):
    """A command that is not carried out. `kind` is a member of `REFUSALS`."""

    def __init__(self, kind: str, words: str) -> None:
        super().__init__(words)
        self.kind = kind


class Order(Struct, frozen=True):
    """A command whose signature is good."""

    do: Literal["apply", "rollback", "status"]
    key: str
    """Who signed it."""
    id: str
    issued: int
    """Seconds since 1970."""
    expires: int
    artifact: str = ""
    """What to apply: `name:version` or a digest in the store, or `oci://…`."""
    bring: tuple[str, ...] = ()
    """`oci://…` of what that needs, pulled before."""
    again: bool = False


def opened(data: bytes, policy: Policy, topic: str, graph: str, now: float) -> Order:
    """What a command says. Raises `Unlawful`."""
    if len(data) > BYTES_MAX:
        raise Unlawful("size", f"a command has {BYTES_MAX} bytes at most, not {len(data)}")
    claims, key = _verified(data, policy, topic)
    if not any(fnmatchcase(graph, pattern) for pattern in key.commands):
        raise Unlawful("key", f"key '{key.name}' may not command graph '{graph}'")
    order = _order(claims, key.name)
    if now > order.expires:
        raise Unlawful("expired", f"it expired {now - order.expires:.0f} s ago")
    if order.issued > now + AHEAD_MAX:
        raise Unlawful("expired", f"it was issued {order.issued - now:.0f} s from now: is a clock wrong?")
    return order


def signed_order(claims: Mapping[str, Any], key_name: str, key: bytes, *, shared: bool) -> str:
    """A command, for whoever publishes it. `key` is a private key in PEM, or what both sides know. Raises
    `StartError`."""
    jwt = _jwt()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = key if shared else load_private(key)
    algorithm = "HS256" if shared else "EdDSA" if isinstance(private, Ed25519PrivateKey) else "ES256"
    made: str = jwt.encode(dict(claims), private, algorithm, {"kid": key_name})
    return made


def claims_for(topic: str, do: str, identity: str, seconds: int, **more: object) -> dict[str, Any]:
    """What a command says, from now on for so many seconds."""
    now = int(time.time())
    return {"aud": topic, "iat": now, "exp": now + seconds, "jti": identity, "v": VERSION, "do": do, **more}


def _verified(data: bytes, policy: Policy, topic: str) -> tuple[Mapping[str, Any], Key]:
    jwt = _jwt()
    try:
        header = jwt.get_unverified_header(data)
    except jwt.InvalidTokenError as error:
        raise Unlawful("malformed", f"it is no signed command: {error}") from None
    key = next((key for key in policy.keys if key.name == header.get("kid") and key.commands), None)
    if key is None:
        raise Unlawful("key", "no key of that name may command; see [keys.NAME] commands of the trust policy")
    algorithm, material = _algorithm(key)
    options = {"verify_exp": False, "verify_iat": False, "verify_nbf": False, "require": ["aud", "iat", "exp", "jti"]}
    try:
        claims: Mapping[str, Any] = jwt.decode(data, material, [algorithm], options, audience=topic)
    except (jwt.InvalidSignatureError, jwt.InvalidAlgorithmError):
        raise Unlawful("signature", f"the signature is not by key '{key.name}'") from None
    except jwt.InvalidAudienceError:
        raise Unlawful("audience", f"it is not for topic '{topic}'") from None
    except (jwt.InvalidTokenError, RecursionError) as error:
        raise Unlawful("malformed", f"it is no command: {error}") from None
    return claims, key


def _algorithm(key: Key) -> tuple[str, Any]:
    """The only one that a key is used with, whatever a command says of itself."""
    if key.secret:
        return "HS256", key.secret
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    public = load_public(key.pem)
    return ("EdDSA" if isinstance(public, Ed25519PublicKey) else "ES256"), public


def _order(claims: Mapping[str, Any], key: str) -> Order:
    if claims.get("v") != VERSION:
        raise Unlawful("unknown", f"version {str(claims.get('v'))[:20]} of commands is not known here; {VERSION} is")
    if (do := claims.get("do")) not in ("apply", "rollback", "status"):
        raise Unlawful("unknown", f"there is no command '{str(do)[:40]}'; apply, rollback and status are known")
    if set(claims) - _OWN:
        raise Unlawful("malformed", f"a command has no {', '.join(sorted(set(claims) - _OWN))[:100]}")
    issued, expires, identity = claims["iat"], claims["exp"], claims["jti"]
    whole = all(isinstance(at, int) and not isinstance(at, bool) for at in (issued, expires))
    if not whole or not 0 < expires - issued <= LIFETIME_MAX:
        raise Unlawful("malformed", f"exp is later than iat, by {LIFETIME_MAX} s at most; both are whole seconds")
    artifact, bring, again = claims.get("artifact", ""), claims.get("bring", []), claims.get("again", False)
    if not isinstance(identity, str) or not 8 <= len(identity) <= ID_MAX:
        raise Unlawful("malformed", f"jti is a text of 8 to {ID_MAX} characters")
    texts = isinstance(bring, list) and len(bring) <= BRING_MAX and all(isinstance(one, str) for one in bring)
    if not isinstance(artifact, str) or bool(artifact) != (do == "apply") or not texts or not isinstance(again, bool):
        raise Unlawful("malformed", "apply has artifact, a text, and may have bring, a list of texts, and again")
    return Order(do, key, identity, issued, expires, artifact, tuple(bring), again)


def _jwt() -> Any:
    try:
        import jwt
    except ImportError:
        raise MissingExtra("commands", "commands") from None
    return jwt


class Seen(Struct):
    """The commands that were carried out, as long as they could come again. Pure; `updates/commands.py` writes it down
    before a command is carried out."""

    floor: int
    """What was issued then or before is not carried out any more: of commands whose ids are forgotten."""
    ids: dict[str, tuple[int, int]]
    """By id, when it was issued and when it expires."""

    def take(self, order: Order, now: float) -> None:
        """Raises `Unlawful` for a command that was carried out before, or may have been."""
        if order.id in self.ids:
            raise Unlawful("replayed", "a command of this id was carried out before")
        if order.issued <= self.floor:
            raise Unlawful("replayed", "it was issued before others whose ids are forgotten")
        self._forget(now)
        if len(self.ids) >= SEEN_MAX:
            raise Unlawful("busy", f"{SEEN_MAX} commands were carried out that have not expired")
        self.ids[order.id] = (order.issued, order.expires)

    def _forget(self, now: float) -> None:
        """Ids before which nothing can come that has not expired; when there are too many, also others that have."""
        for identity, (issued, expires) in sorted(self.ids.items(), key=lambda one: one[1][1]):
            full = len(self.ids) >= SEEN_MAX
            if expires + (0 if full else LIFETIME_MAX) >= now:
                return
            del self.ids[identity]
            self.floor = max(self.floor, issued)

    def as_json(self) -> dict[str, Any]:
        return {"floor": self.floor, "ids": {identity: list(times) for identity, times in self.ids.items()}}


SEEN_MAX = 4096
"""Ids remembered."""


def seen_from(value: Any) -> Seen:
    """From what `as_json` gave. Raises `StartError` for anything else: what was carried out must not be forgotten."""
    try:
        ids = {str(identity): (int(issued), int(expires)) for identity, (issued, expires) in value["ids"].items()}
        return Seen(int(value["floor"]), ids)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StartError(f"the record of commands cannot be read: {error!r}") from None
