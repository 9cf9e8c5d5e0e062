"""flowrt: data flow graphs of WebAssembly operators and models, on the gateway itself."""

__version__ = "0.1.0"
