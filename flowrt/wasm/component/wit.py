"""The interfaces of `wasm-graph:processor@1.1.0`: what the operator worlds export, and what this host offers them.

Types are written as `signature.py` prints them. A component whose functions have other types is refused by name before
it runs, which is also what makes reading its values by address safe.
"""

from __future__ import annotations

from flowrt.graph.worlds import direct_interface, interface


def _record(**fields: str) -> str:
    return f"record {{{', '.join(f'{_kebab(name)}: {kind}' for name, kind in fields.items())}}}"


def _variant(**cases: str) -> str:
    named = (f"{_kebab(name)}({kind})" if kind else _kebab(name) for name, kind in cases.items())
    return f"variant {{{', '.join(named)}}}"


def _kebab(name: str) -> str:
    return name.replace("_", "-")


_BYTES = _variant(buffer="own", bytes="list<u8>")
_TEXT = _variant(buffer="own", string="string")
_SECONDS = _record(secs="u64", nanos="u32")
CLOCK = _record(timestamp=_SECONDS, counter="u64", node_id="string")
_TIMESTAMP = _record(timestamp=_SECONDS, counter="u64", node_id=_TEXT)
_SCHEMA = _variant(registry_reference=_TEXT, inline=_record(name=_TEXT, content=_TEXT))
_MESSAGE = _record(
    timestamp=_TIMESTAMP,
    topic=_BYTES,
    content_type=f"option<{_TEXT}>",
    payload=_BYTES,
    properties=_record(user_properties=f"list<tuple<{_TEXT}, {_TEXT}>>"),
    schema=f"option<{_SCHEMA}>",
)
_SNAPSHOT = _record(timestamp=_TIMESTAMP, format=_TEXT, width="u32", height="u32", frame=_BYTES)
MODEL = _variant(buffer_or_bytes=_BYTES, message=_MESSAGE, snapshot=_SNAPSHOT)
_ERROR = _record(message="string")
_MODULE_SCHEMA = _record(name="string", content_type="string", content="string")
_CONFIGURATION = _record(properties="list<tuple<string, string>>", module_schemas=f"list<{_MODULE_SCHEMA}>")

INIT = f"({_CONFIGURATION}) -> bool"
PROCESS = {
    "map": f"({MODEL}) -> result<{MODEL}, {_ERROR}>",
    "filter": f"({MODEL}) -> result<bool, {_ERROR}>",
    "branch": f"({CLOCK}, {MODEL}) -> result<bool, {_ERROR}>",
    "accumulate": f"({MODEL}, list<{MODEL}>) -> result<{MODEL}, {_ERROR}>",
    "delay": f"({MODEL}, {CLOCK}) -> result<{CLOCK}, {_ERROR}>",
}
"""`process` by operation type."""
BARE = {
    kind: signature.replace("-> result<", "-> ").removesuffix(f", {_ERROR}>") for kind, signature in PROCESS.items()
}
"""The same in the preview: without an error."""

_LABELS = f"option<list<{_record(key='string', value='string')}>>"
_METRICS_ERROR = _variant(incompatible_type="string", lock_error="string")
_DURATION = _record(seconds="u64", nanos="u32")
_CONDITIONS = "enum {only-if-does-not-exist, only-if-equal-or-does-not-exist, unconditional}"
_OPTIONS = _record(conditions=_CONDITIONS, expires=f"option<{_DURATION}>")
_STORE_ERROR = _variant(request_error="string", timeout="", protocol="", internal="")
_TOKEN, _WAIT = f"option<{CLOCK}>", f"option<{_DURATION}>"


def _answer(response: str) -> str:
    return f"result<{_record(response=response, version=_TOKEN)}, {_STORE_ERROR}>"


OFFERED = {
    interface("hybrid-logical-clock"): {},
    interface("state-store-types"): {},
    interface("types"): {"[method]buffer.read": "(borrow) -> list<u8>"},
    interface("logger"): {"log": "(enum {trace, debug, info, warn, error, critical}, string, string)"},
    interface("metrics"): {
        "add-to-counter": f"(string, {_variant(u64='u64')}, {_LABELS}) -> result<_, {_METRICS_ERROR}>",
        "record-to-histogram": f"(string, {_variant(f64='f64', u64='u64')}, {_LABELS}) -> result<_, {_METRICS_ERROR}>",
    },
    interface("state-store"): {
        "get": f"(list<u8>, {_WAIT}) -> {_answer('option<list<u8>>')}",
        "set": f"(list<u8>, list<u8>, {_WAIT}, {_TOKEN}, {_OPTIONS}) -> {_answer('bool')}",
        "del": f"(list<u8>, {_TOKEN}, {_WAIT}) -> {_answer('s64')}",
        "vdel": f"(list<u8>, list<u8>, {_TOKEN}, {_WAIT}) -> {_answer('s64')}",
    },
}
"""Functions and their signatures by interface."""
OFFERED |= {direct_interface(interface("types")): {"[method]buffer.read": "(borrow, u32, u32) -> u32"}}
"""As a component imports it that was changed so that payloads cross in place (`lists.py`)."""
