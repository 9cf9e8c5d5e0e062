"""An operator component made of a core module: what `wit-bindgen` and a linker do elsewhere, for our own small modules.

The core module imports `env.memory`, exports `KIND-init` and `KIND-process` for each operator (in the canonical ABI of
the component model), and imports from `host` what it uses of the functions below. Around it go a second core module,
which owns the memory and an allocator that starts afresh after every call, and the types of `wasm-graph:processor`.
The component is put together as text; the module's bytes then take the place of an empty one.
"""

from __future__ import annotations

from flowrt.errors import StartError
from flowrt.graph.facts import ModuleFacts
from flowrt.graph.worlds import KINDS, interface
from flowrt.guests import nn
from flowrt.values import Struct
from flowrt.wasm.inspect import PAGE, inspect_bytes
from flowrt.wasm.text import to_binary

_CORE_MODULE = 1
"""The kind of a component's section that holds a core module."""
_MAIN = 2
"""The first module is the memory, the second the one given."""

_TYPES = f"""
(import "{interface("hybrid-logical-clock")}" (instance $clocks
  (type $1 (record (field "secs" u64) (field "nanos" u32)))
  (export "timespec" (type $timespec (eq $1)))
  (type $2 (record (field "timestamp" $timespec) (field "counter" u64) (field "node-id" string)))
  (export "hybrid-logical-clock" (type (eq $2)))))
(alias export $clocks "timespec" (type $timespec))
(alias export $clocks "hybrid-logical-clock" (type $clock))
(import "{interface("types")}" (instance $types
  (alias outer 1 $timespec (type $1))
  (export "timespec" (type $timespec (eq $1)))
  (export "buffer" (type $buffer (sub resource)))
  (export "[method]buffer.read" (func (param "self" (borrow $buffer)) (result (list u8))))
  (type $2 (variant (case "buffer" (own $buffer)) (case "bytes" (list u8))))
  (export "buffer-or-bytes" (type $bytes (eq $2)))
  (type $3 (variant (case "buffer" (own $buffer)) (case "string" string)))
  (export "buffer-or-string" (type $string (eq $3)))
  (type $4 (record (field "timestamp" $timespec) (field "counter" u64) (field "node-id" $string)))
  (export "timestamp" (type $timestamp (eq $4)))
  (type $5 (record (field "user-properties" (list (tuple $string $string)))))
  (export "message-properties" (type $properties (eq $5)))
  (type $6 (record (field "name" $string) (field "content" $string)))
  (export "inline-schema" (type $inline (eq $6)))
  (type $7 (variant (case "registry-reference" $string) (case "inline" $inline)))
  (export "message-schema" (type $schema (eq $7)))
  (type $8 (record (field "timestamp" $timestamp) (field "topic" $bytes) (field "content-type" (option $string))
    (field "payload" $bytes) (field "properties" $properties) (field "schema" (option $schema))))
  (export "message" (type $message (eq $8)))
  (type $9 (record (field "timestamp" $timestamp) (field "format" $string) (field "width" u32) (field "height" u32)
    (field "frame" $bytes)))
  (export "snapshot" (type $snapshot (eq $9)))
  (type $10 (variant (case "buffer-or-bytes" $bytes) (case "message" $message) (case "snapshot" $snapshot)))
  (export "data-model" (type (eq $10)))
  (type $11 (record (field "name" string) (field "content-type" string) (field "content" string)))
  (export "module-schema" (type $module (eq $11)))
  (type $12 (record (field "properties" (list (tuple string string))) (field "module-schemas" (list $module))))
  (export "module-configuration" (type (eq $12)))
  (type $13 (record (field "message" string)))
  (export "error" (type (eq $13)))))
(alias export $types "buffer" (type $buffer))
(alias export $types "data-model" (type $model))
(alias export $types "module-configuration" (type $configuration))
(alias export $types "error" (type $error))
"""
_LOGGER = f"""
(import "{interface("logger")}" (instance $logger
  (type $1 (enum "trace" "debug" "info" "warn" "error" "critical"))
  (export "level" (type $level (eq $1)))
  (export "log" (func (param "level" $level) (param "context" string) (param "message" string)))))
"""
_METRICS = f"""
(import "{interface("metrics")}" (instance $metrics
  (type $1 (variant (case "u64" u64)))
  (export "counter-value" (type $counter (eq $1)))
  (type $2 (variant (case "f64" f64) (case "u64" u64)))
  (export "histogram-value" (type $value (eq $2)))
  (type $3 (variant (case "incompatible-type" string) (case "lock-error" string)))
  (export "metrics-error" (type $error (eq $3)))
  (type $4 (record (field "key" string) (field "value" string)))
  (export "label" (type $label (eq $4)))
  (export "add-to-counter" (func (param "name" string) (param "value" $counter)
    (param "labels" (option (list $label))) (result (result (error $error)))))
  (export "record-to-histogram" (func (param "name" string) (param "value" $value)
    (param "labels" (option (list $label))) (result (result (error $error)))))))
"""
_STATE = f"""
(import "{interface("state-store-types")}" (instance $stores
  (alias outer 1 $clock (type $1))
  (export "hybrid-logical-clock" (type $clock (eq $1)))
  (type $2 (record (field "seconds" u64) (field "nanos" u32)))
  (export "duration" (type $duration (eq $2)))
  (type $3 (enum "only-if-does-not-exist" "only-if-equal-or-does-not-exist" "unconditional"))
  (export "set-conditions" (type $conditions (eq $3)))
  (type $4 (record (field "conditions" $conditions) (field "expires" (option $duration))))
  (export "set-options" (type (eq $4)))
  (type $5 (variant (case "request-error" string) (case "timeout") (case "protocol") (case "internal")))
  (export "state-store-error" (type (eq $5)))
  (type $6 (record (field "response" (option (list u8))) (field "version" (option $clock))))
  (export "state-store-get-response" (type (eq $6)))
  (type $7 (record (field "response" s64) (field "version" (option $clock))))
  (export "state-store-del-response" (type (eq $7)))
  (type $8 (record (field "response" bool) (field "version" (option $clock))))
  (export "state-store-set-response" (type (eq $8)))))
(alias export $stores "hybrid-logical-clock" (type $token))
(alias export $stores "duration" (type $duration))
(alias export $stores "set-options" (type $options))
(alias export $stores "state-store-error" (type $refusal))
(alias export $stores "state-store-get-response" (type $got))
(alias export $stores "state-store-del-response" (type $deleted))
(alias export $stores "state-store-set-response" (type $written))
(import "{interface("state-store")}" (instance $states
  (alias outer 1 $token (type $token)) (alias outer 1 $duration (type $wait)) (alias outer 1 $options (type $how))
  (alias outer 1 $refusal (type $no)) (alias outer 1 $got (type $got)) (alias outer 1 $deleted (type $gone))
  (alias outer 1 $written (type $done))
  (export "get" (func (param "key" (list u8)) (param "timeout" (option $wait)) (result (result $got (error $no)))))
  (export "set" (func (param "key" (list u8)) (param "value" (list u8)) (param "timeout" (option $wait))
    (param "fencing-token" (option $token)) (param "options" $how) (result (result $done (error $no)))))
  (export "del" (func (param "key" (list u8)) (param "fencing-token" (option $token))
    (param "timeout" (option $wait)) (result (result $gone (error $no)))))
  (export "vdel" (func (param "key" (list u8)) (param "value" (list u8)) (param "fencing-token" (option $token))
    (param "timeout" (option $wait)) (result (result $gone (error $no)))))))
"""

_MEMORY = """
(core module $Memory
  (memory (export "memory") {pages})
  (global $base (mut i32) (i32.const {base}))
  (global $top (mut i32) (i32.const {base}))
  (func (export "realloc") (param $old i32) (param $was i32) (param $align i32) (param $size i32) (result i32)
    (local $at i32) (local $end i32) (local $room i32)
    (local.set $at (i32.and
      (i32.add (global.get $top) (i32.sub (local.get $align) (i32.const 1)))
      (i32.sub (i32.const 0) (local.get $align))))
    (local.set $end (i32.add (local.get $at) (local.get $size)))
    (if (i32.lt_u (local.get $end) (local.get $at)) (then (unreachable)))
    (local.set $room (i32.shl (memory.size) (i32.const 16)))
    (if (i32.gt_u (local.get $end) (local.get $room)) (then
      (if (i32.eq (i32.const -1) (memory.grow (i32.add (i32.const 1)
          (i32.shr_u (i32.sub (local.get $end) (local.get $room)) (i32.const 16)))))
        (then (unreachable)))))
    (global.set $top (local.get $end))
    (if (local.get $was) (then (memory.copy (local.get $at) (local.get $old) (local.get $was))))
    (local.get $at))
  (func (export "reset") (param i32) (global.set $top (global.get $base)))
  (func (export "keep") (param i32) (global.set $base (global.get $top))))
(core instance $memory (instantiate $Memory))
"""
"""The allocator only moves on. It goes back after each `process`, and to what `init` has allocated, not further."""

_OPTIONS = '(memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))'


class _Host(Struct, frozen=True):
    """A function of the host as a core module names it."""

    instance: str
    name: str
    text: str = ""
    """The import it needs beside the types."""


_HOST = {
    "buffer-read": _Host("types", "[method]buffer.read"),
    "log": _Host("logger", "log", _LOGGER),
    "add-to-counter": _Host("metrics", "add-to-counter", _METRICS),
    "record-to-histogram": _Host("metrics", "record-to-histogram", _METRICS),
    "state-get": _Host("states", "get", _STATE),
    "state-set": _Host("states", "set", _STATE),
    "state-del": _Host("states", "del", _STATE),
    "state-vdel": _Host("states", "vdel", _STATE),
    **{name: _Host(instance, function, nn.TEXT) for name, (instance, function) in nn.FUNCTIONS.items()},
}
_DROPS = {"buffer-drop": "buffer", **nn.DROPS}
_PROCESS = {
    "map": '(param "message" $model) (result (result $model (error $error)))',
    "filter": '(param "message" $model) (result (result bool (error $error)))',
    "branch": '(param "timestamp" $clock) (param "message" $model) (result (result bool (error $error)))',
    "accumulate": '(param "staged" $model) (param "message" (list $model)) (result (result $model (error $error)))',
    "delay": '(param "data" $model) (param "timestamp" $clock) (result (result $clock (error $error)))',
}


def componentize(core: bytes) -> bytes:
    """The component of a core module. Raises StartError when it is none of this kind."""
    facts = inspect_bytes(core)
    if not isinstance(facts, ModuleFacts):
        raise StartError(f"no component can be made of it: {facts.reason}")
    kinds = [kind for kind in KINDS if f"{kind}-process" in facts.exports]
    used = [name for module, name, _ in facts.imports if module == "host"]
    unknown = sorted(set(used) - set(_HOST) - set(_DROPS))
    if not kinds or unknown:
        entries = ", ".join(f"{kind}-process" for kind in KINDS)
        wrong = f"imports {', '.join(unknown)} from host" if unknown else f"exports none of {entries}"
        raise StartError(f"no component can be made of it: it {wrong}")
    return _filled(to_binary(_text(kinds, used, facts.memory_bytes)), core)


def _text(kinds: list[str], used: list[str], static: int) -> str:
    """`static`: bytes of memory that the module lays out itself, its stack among them."""
    memory = _MEMORY.format(pages=static // PAGE + 1, base=static)
    imports = dict.fromkeys(_HOST[name].text for name in used if name in _HOST)
    parts = [_TYPES, *imports, memory, *map(_lowered, used), *_instances(used), *map(_operator, kinds)]
    return "(component" + "".join(parts) + ")"


def _lowered(name: str) -> str:
    if name in _DROPS:
        return f"(core func ${name} (canon resource.drop ${_DROPS[name]}))"
    host = _HOST[name]
    return f'(core func ${name} (canon lower (func ${host.instance} "{host.name}") {_OPTIONS}))\n'


def _instances(used: list[str]) -> list[str]:
    exports = " ".join(f'(export "{name}" (func ${name}))' for name in used)
    return [
        f"(core instance $host {exports})\n(core module $Main)\n",
        '(core instance $main (instantiate $Main (with "env" (instance $memory)) (with "host" (instance $host))))\n',
    ]


def _operator(kind: str) -> str:
    init = '(param "configuration" $configuration) (result bool)'
    return f"""
(func ${kind}-process {_PROCESS[kind]}
  (canon lift (core func $main "{kind}-process") {_OPTIONS} (post-return (core func $memory "reset"))))
(func ${kind}-init {init}
  (canon lift (core func $main "{kind}-init") {_OPTIONS} (post-return (core func $memory "keep"))))
(instance ${kind} (export "process" (func ${kind}-process)) (export "init" (func ${kind}-init)))
(export "{interface(kind)}" (instance ${kind}))
"""


def _filled(component: bytes, core: bytes) -> bytes:
    """The component with `core` in the place of its empty module. Sections: component model, Binary.md."""
    made, at, modules = bytearray(component[:8]), 8, 0
    while at < len(component):
        kind, (size, start) = component[at], _number(component, at + 1)
        content = component[start : start + size]
        modules += kind == _CORE_MODULE
        if kind == _CORE_MODULE and modules == _MAIN:
            content = core
        made += bytes((kind,)) + _leb(len(content)) + content
        at = start + size
    return bytes(made)


def _number(data: bytes, at: int) -> tuple[int, int]:
    """A LEB128 number and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def _leb(value: int) -> bytes:
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*made, value))
