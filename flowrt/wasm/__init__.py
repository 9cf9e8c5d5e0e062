"""The WebAssembly engine and the guests on it: core modules hosted by docs/abi.md, inspected, compiled, bounded."""
