"""Who may import whom, and where each library lives."""

import subprocess
import sys

import pytest
from source import imports, modules

LAYERS = (
    ("values", "parsing"),
    ("__version__", "problem", "options", "events", "counters"),
    ("errors",),
    ("message",),
    ("quota",),
    ("logicaltime",),
    ("delivery", "state", "registry"),
    ("transforms",),
    ("formats",),
    ("operators",),
    ("endpoints",),
    ("graph",),
    ("manifests",),
    ("wasm",),
    ("nn",),
    ("isolation",),
    ("runtime",),
    ("families",),
    ("updates",),
    ("logs", "metrics", "service", "guests", "testing"),
    ("workers", "graphtest"),
    ("web", "reference"),
    ("demo",),
    ("cli",),
)
"""A module may import from its own layer's package and from layers above it in this list. docs/architecture.md."""

HOMES = {
    "oras": ("flowrt.registry.oci",),
    "cryptography": ("flowrt.registry.trust", "flowrt.registry.orders"),
    "jwt": ("flowrt.registry.orders",),
    "wasmtime": ("flowrt.wasm",),
    "onnxruntime": ("flowrt.nn.backends.onnx", "flowrt.nn.backends.onnx_quantize", "flowrt.demo.offline"),
    "openvino": ("flowrt.nn.backends.openvino",),
    "ai_edge_litert": ("flowrt.nn.backends.litert",),
    "torch": ("flowrt.nn.backends.pytorch",),
    "llama_cpp": ("flowrt.nn.backends.ggml",),
    "grpc": ("flowrt.nn.backends.remote_grpc",),
    "urllib3": ("flowrt.nn.backends.remote_http",),
    "paho": ("flowrt.endpoints.mqtt", "flowrt.demo"),
    "mqtt5": ("flowrt.endpoints.mqtt",),
    "confluent_kafka": ("flowrt.endpoints.kafka",),
    "socks": ("flowrt.endpoints.mqtt",),
    "prometheus_client": ("flowrt.metrics",),
    "yaml": ("flowrt.graph.document", "flowrt.manifests.writing"),
    "numpy": ("flowrt.nn", "flowrt.demo"),
    "onnx": ("flowrt.demo",),
    "amqtt": ("flowrt.demo.broker",),
    "lark": ("flowrt.transforms.grammar",),
    "msgspec": ("flowrt.values", "flowrt.transforms.documents"),
    "re2": ("flowrt.transforms.patterns",),
    "pydantic": (
        "flowrt.options",
        "flowrt.wasm.embedded",
        "flowrt.transforms.json_text",
        "flowrt.graph",
        "flowrt.manifests",
        "flowrt.guests",
        "flowrt.graphtest",
        "flowrt.reference",
    ),
    "pydantic_core": ("flowrt.graph", "flowrt.reference"),
    "annotated_types": ("flowrt.reference",),
}
"""Library to the only places that import it. The demo is a program of its own beside the runtime."""


def layer(name):
    return next((place for place, names in enumerate(LAYERS) if name.split(".")[1] in names), None)


def test_modules_import_only_from_layers_below():
    assert [
        f"{name} imports {imported}"
        for name, tree in modules().items()
        for imported in imports(tree, for_types=False)
        if imported.startswith("flowrt.")
        and imported.split(".")[1] != name.split(".")[1]
        and layer(imported) >= layer(name)
    ] == []


def test_a_library_is_imported_only_where_it_lives():
    for name, tree in modules().items():
        for library in {imported.split(".")[0] for imported in imports(tree)} - {"flowrt", *sys.stdlib_module_names}:
            homes = HOMES.get(library, ())
            assert any(name == home or name.startswith(home + ".") for home in homes), f"{name} imports {library}"


def test_wasi_nn_meets_the_guests_engine_in_its_doors_only():
    for name, tree in modules().items():
        if name.startswith("flowrt.nn.") and not name.startswith("flowrt.nn.doors"):
            assert not [imported for imported in imports(tree) if imported.startswith("flowrt.wasm")], name


@pytest.mark.parametrize(
    ("module", "loaded"),
    [
        ("flowrt.cli.main", set()),
        ("flowrt.graph.load", {"msgspec", "pydantic", "yaml"}),
        ("flowrt.cli.check", {"msgspec"}),
        ("flowrt.runtime.runtime", {"msgspec"}),
        ("flowrt.cli.serve", {"msgspec"}),
        ("flowrt.web.server", {"msgspec"}),
    ],
)
def test_nothing_heavy_is_loaded_before_it_is_needed(module, loaded):
    heavy = {"wasmtime", "onnxruntime", "numpy", "paho", "mqtt5", "prometheus_client", "pydantic", "yaml", "asyncio"}
    heavy |= {"lark", "msgspec", "re2"}
    program = f"import sys, {module}; print(*({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= loaded
