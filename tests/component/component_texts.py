"""Components with more or other imports and types than `flowrt modules build` makes: by changing their text."""

from component_guests import core

from flowrt.guests import component as guests


def wrong(code, old, new):
    """The component's text with another type in it."""
    text = guests._text(["map"], ["buffer-read", "buffer-drop", "log"], 131072)
    assert old in text
    return guests._filled(guests.to_binary(text.replace(old, new)), code)


NETWORK = """
(import "wasi:sockets/network@0.2.0" (instance $net
  (export "network" (type (sub resource)))
  (type $1 (enum "unknown" "access-denied" "not-supported" "invalid-argument" "out-of-memory" "timeout"
    "concurrency-conflict" "not-in-progress" "would-block" "invalid-state" "new-socket-limit"
    "address-not-bindable" "address-in-use" "remote-unreachable" "connection-refused" "connection-reset"
    "connection-aborted" "datagram-too-large" "name-unresolvable" "temporary-resolver-failure"
    "permanent-resolver-failure"))
  (export "error-code" (type (eq $1)))))
(alias export $net "network" (type $network))
(alias export $net "error-code" (type $code))
(import "wasi:sockets/instance-network@0.2.0" (instance $here
  (alias outer 1 $network (type $n)) (export "network" (type $network (eq $n)))
  (export "instance-network" (func (result (own $network))))))
(import "wasi:sockets/ip-name-lookup@0.2.0" (instance $lookup
  (alias outer 1 $network (type $n)) (alias outer 1 $code (type $c))
  (export "network" (type $network (eq $n))) (export "error-code" (type $code (eq $c)))
  (export "resolve-address-stream" (type $stream (sub resource)))
  (export "resolve-addresses" (func (param "network" (borrow $network)) (param "name" string)
    (result (result (own $stream) (error $code)))))))
(import "wasi:sockets/tcp@0.2.0" (instance $tcp (export "tcp-socket" (type (sub resource)))))
(alias export $tcp "tcp-socket" (type $socket))
(import "wasi:sockets/tcp-create-socket@0.2.0" (instance $creating
  (alias outer 1 $socket (type $s)) (alias outer 1 $code (type $c))
  (export "tcp-socket" (type $socket (eq $s))) (export "error-code" (type $code (eq $c)))
  (type $1 (enum "ipv4" "ipv6")) (export "ip-address-family" (type $family (eq $1)))
  (export "create-tcp-socket" (func (param "address-family" $family)
    (result (result (own $socket) (error $code)))))))
"""


def with_wasi(code, imports, lowered, names):
    """A component that imports more than the tool knows of: its text, with `imports` before its first module."""
    text = guests._text(["map"], ["buffer-read", "buffer-drop", "log"], 131072)
    text = text.replace("(core module $Memory", f"{imports}(core module $Memory")
    exports = "".join(f'(export "{name}" (func ${name}))' for name in names)
    text = text.replace("(core instance $host ", f"{lowered}(core instance $host {exports} ")
    return guests._filled(guests.to_binary(text), code)


CONNECTING = with_wasi(
    core(
        {
            "map": """(local.set $at (call $alloc (i32.const 16)))
              (call $open (i32.const 0) (local.get $at))
              (call $find (call $net) (i32.const 1024) (i32.const 11) (i32.add (local.get $at) (i32.const 8)))
              (if (i32.and (i32.load8_u (local.get $at)) (i32.load8_u offset=8 (local.get $at)))
                (then (return (call $fail (i32.const 1024) (i32.const 11)))))
              (call $ok (local.get $model))"""
        },
        extra='(data (i32.const 1024) "example.com")',
        imports="""(import "host" "net" (func $net (result i32)))
          (import "host" "find" (func $find (param i32 i32 i32 i32)))
          (import "host" "open" (func $open (param i32 i32)))""",
    ),
    NETWORK,
    f"""
      (core func $net (canon lower (func $here "instance-network")))
      (core func $find (canon lower (func $lookup "resolve-addresses") {guests._OPTIONS}))
      (core func $open (canon lower (func $creating "create-tcp-socket") {guests._OPTIONS}))""",
    ["net", "find", "open"],
)
"""A map that makes a socket and looks a name up; where both fail, it refuses the message with that name."""

_SLEEP = """
(import "wasi:io/poll@0.2.0" (instance $poll
  (export "pollable" (type $p (sub resource)))
  (export "[method]pollable.block" (func (param "self" (borrow $p))))))
(alias export $poll "pollable" (type $pollable))
(import "wasi:clocks/monotonic-clock@0.2.0" (instance $monotonic
  (alias outer 1 $pollable (type $outer)) (export "pollable" (type $p (eq $outer)))
  (export "subscribe-duration" (func (param "when" u64) (result (own $p))))))
"""


def sleeping(milliseconds):
    """A map that sleeps with the engine and gives its message on."""
    return with_wasi(
        core(
            {
                "map": f"""(call $block (call $after (i64.const {milliseconds * 1_000_000})))
                  (call $ok (local.get $model))"""
            },
            imports="""(import "host" "after" (func $after (param i64) (result i32)))
              (import "host" "block" (func $block (param i32)))""",
        ),
        _SLEEP,
        """(core func $after (canon lower (func $monotonic "subscribe-duration")))
          (core func $block (canon lower (func $poll "[method]pollable.block")))""",
        ["after", "block"],
    )
