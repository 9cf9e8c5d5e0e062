"""Operator components: AIO's worlds `map`, `filter` and `branch` of `wasm-graph:processor@1.1.0`, hosted.

`values` builds and reads the engine's value trees, `messages` turns messages into them and back, `host` is what a
component may import, `store` is one instance, `guest` is what operators see (docs/decisions/030-components.md).
"""
