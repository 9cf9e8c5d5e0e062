"""The interfaces `wasi:nn` as component text: what an operator component of ours imports when it drives models."""

from __future__ import annotations

from flowrt.graph.worlds import NN_NEWER, nn_interface
from flowrt.nn.doors.wit import CODES, TARGETS, TYPES
from flowrt.nn.encodings import ENCODINGS

RESOURCES = {"tensor": "nn-tensor", "graph": "nn-graph", "graph-execution-context": "nn-context", "error": "nn-error"}
"""Types by name, as the text below names them."""

_NEWER = """
  (export "[method]graph-execution-context.compute" (func (param "self" (borrow $context))
    (param "inputs" (list $named)) (result (result (list $named) (error (own $error))))))"""
_OLDER = """
  (export "[method]graph-execution-context.set-input" (func (param "self" (borrow $context)) (param "name" string)
    (param "tensor" (own $tensor)) (result (result (error (own $error))))))
  (export "[method]graph-execution-context.compute" (func (param "self" (borrow $context))
    (result (result (error (own $error))))))
  (export "[method]graph-execution-context.get-output" (func (param "self" (borrow $context)) (param "name" string)
    (result (result (own $tensor) (error (own $error))))))"""


def _enum(*names: str) -> str:
    return "(enum " + " ".join(f'"{name}"' for name in names) + ")"


def imports(revision: str = NN_NEWER) -> str:
    """All four interfaces as instances `$nn-tensors`, `$nn-errors`, `$nn-inference` and `$nn-graphs`."""
    tensor, errors, inference, graph = (
        nn_interface(name, revision) for name in ("tensor", "errors", "inference", "graph")
    )
    return f"""
(import "{tensor}" (instance $nn-tensors
  (export "tensor" (type $tensor (sub resource)))
  (type $1 {_enum(*TYPES)})
  (export "tensor-type" (type $type (eq $1)))
  (export "[constructor]tensor" (func (param "dimensions" (list u32)) (param "ty" $type) (param "data" (list u8))
    (result (own $tensor))))
  (export "[method]tensor.dimensions" (func (param "self" (borrow $tensor)) (result (list u32))))
  (export "[method]tensor.ty" (func (param "self" (borrow $tensor)) (result $type)))
  (export "[method]tensor.data" (func (param "self" (borrow $tensor)) (result (list u8))))))
(alias export $nn-tensors "tensor" (type $nn-tensor))
(import "{errors}" (instance $nn-errors
  (export "error" (type $error (sub resource)))
  (type $1 {_enum(*CODES)})
  (export "error-code" (type $code (eq $1)))
  (export "[method]error.code" (func (param "self" (borrow $error)) (result $code)))
  (export "[method]error.data" (func (param "self" (borrow $error)) (result string)))))
(alias export $nn-errors "error" (type $nn-error))
(import "{inference}" (instance $nn-inference
  (alias outer 1 $nn-tensor (type $1)) (alias outer 1 $nn-error (type $2))
  (export "tensor" (type $tensor (eq $1)))
  (export "error" (type $error (eq $2)))
  (export "graph-execution-context" (type $context (sub resource)))
  (type $3 (tuple string (own $tensor)))
  (export "named-tensor" (type $named (eq $3))){_NEWER if revision == NN_NEWER else _OLDER}))
(alias export $nn-inference "graph-execution-context" (type $nn-context))
(import "{graph}" (instance $nn-graphs
  (alias outer 1 $nn-error (type $1)) (alias outer 1 $nn-context (type $2))
  (export "error" (type $error (eq $1)))
  (export "graph-execution-context" (type $context (eq $2)))
  (export "graph" (type $graph (sub resource)))
  (type $3 {_enum(*ENCODINGS)})
  (export "graph-encoding" (type $encoding (eq $3)))
  (type $4 {_enum(*TARGETS)})
  (export "execution-target" (type $target (eq $4)))
  (export "[method]graph.init-execution-context" (func (param "self" (borrow $graph))
    (result (result (own $context) (error (own $error))))))
  (export "load" (func (param "builder" (list (list u8))) (param "encoding" $encoding) (param "target" $target)
    (result (result (own $graph) (error (own $error))))))
  (export "load-by-name" (func (param "name" string) (result (result (own $graph) (error (own $error))))))))
(alias export $nn-graphs "graph" (type $nn-graph))
"""


TEXT = imports()
FUNCTIONS = {
    "nn-tensor-new": ("nn-tensors", "[constructor]tensor"),
    "nn-tensor-dimensions": ("nn-tensors", "[method]tensor.dimensions"),
    "nn-tensor-type": ("nn-tensors", "[method]tensor.ty"),
    "nn-tensor-data": ("nn-tensors", "[method]tensor.data"),
    "nn-load": ("nn-graphs", "load"),
    "nn-load-by-name": ("nn-graphs", "load-by-name"),
    "nn-start": ("nn-graphs", "[method]graph.init-execution-context"),
    "nn-compute": ("nn-inference", "[method]graph-execution-context.compute"),
    "nn-error-code": ("nn-errors", "[method]error.code"),
    "nn-error-data": ("nn-errors", "[method]error.data"),
}
"""What a core module may import from `host`: the instance above, and the function in it."""
DROPS = {f"{label}-drop": label for label in RESOURCES.values()}
"""Each gives a resource back."""
