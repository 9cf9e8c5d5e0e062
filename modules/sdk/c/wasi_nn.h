/* The functions of `wasi_ephemeral_nn` that a module with the feature `wasi-nn` needs, and one call that runs a model. */
#ifndef FLOWRT_WASI_NN_H
#define FLOWRT_WASI_NN_H

#include "flowrt.h"

#define WASI_NN_IMPORT(name) __attribute__((import_module("wasi_ephemeral_nn"), import_name(name)))

typedef struct {
  const uint32_t *dims;
  uint32_t rank;
  uint8_t type; /* WASI_NN_F32 … */
  const void *data;
  uint32_t size;
} wasi_nn_tensor;

_Static_assert(sizeof(wasi_nn_tensor) == 20, "the layout of wasi_ephemeral_nn");

typedef struct {
  const void *data;
  uint32_t size;
} wasi_nn_part;

enum { WASI_NN_OPENVINO, WASI_NN_ONNX, WASI_NN_TENSORFLOW, WASI_NN_PYTORCH, WASI_NN_TFLITE };
enum { WASI_NN_F16, WASI_NN_F32, WASI_NN_F64, WASI_NN_U8, WASI_NN_I32, WASI_NN_I64 };

WASI_NN_IMPORT("load")
uint32_t wasi_nn_load(const wasi_nn_part *parts, uint32_t count, uint32_t encoding, uint32_t target, uint32_t *graph);
WASI_NN_IMPORT("load_by_name") uint32_t wasi_nn_load_by_name(const char *name, uint32_t size, uint32_t *graph);
WASI_NN_IMPORT("init_execution_context") uint32_t wasi_nn_init_execution_context(uint32_t graph, uint32_t *context);
WASI_NN_IMPORT("set_input") uint32_t wasi_nn_set_input(uint32_t context, uint32_t index, const wasi_nn_tensor *tensor);
WASI_NN_IMPORT("compute") uint32_t wasi_nn_compute(uint32_t context);
WASI_NN_IMPORT("get_output")
uint32_t wasi_nn_get_output(uint32_t context, uint32_t index, void *out, uint32_t room, uint32_t *written);

/* Opens the model of this name. False, with a line in the log, when there is none. */
static inline bool wasi_nn_open(flowrt_text name, uint32_t *context) {
  uint32_t graph;
  if (wasi_nn_load_by_name(name.data, name.size, &graph) == 0 && wasi_nn_init_execution_context(graph, context) == 0) return true;
  flowrt_writer words = {0};
  flowrt_write(&words, "wasi-nn cannot load the model ");
  flowrt_write_text(&words, name);
  return flowrt_log_text(FLOWRT_ERROR, flowrt_written(&words)), false;
}

/* Opens a model that is part of the module. False, with a line in the log, when it cannot be loaded. */
static inline bool wasi_nn_open_bytes(const void *data, uint32_t size, uint32_t encoding, uint32_t *context) {
  uint32_t graph;
  wasi_nn_part part = {data, size};
  if (wasi_nn_load(&part, 1, encoding, 0, &graph) == 0 && wasi_nn_init_execution_context(graph, context) == 0) return true;
  return flowrt_log(FLOWRT_ERROR, "wasi-nn cannot load the module's own model"), false;
}

/* Copies output `index`, which must be exactly `size` bytes. */
static inline bool wasi_nn_read(uint32_t context, uint32_t index, void *out, uint32_t size) {
  uint32_t written = 0;
  return wasi_nn_get_output(context, index, out, size, &written) == 0 && written == size;
}

#endif
