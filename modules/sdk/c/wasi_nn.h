/* The functions of `wasi_ephemeral_nn` that a module with the feature `wasi-nn` needs, and one call that runs a model. */
#ifndef FLOWRT_WASI_NN_H
#define FLOWRT_WASI_NN_H

#include "flowrt.h"

#define WASI_NN_IMPORT(name) __attribute__((import_module("wasi_ephemeral_nn"), import_name(name)))

typedef struct {
  const uint32_t *dims;
  uint32_t rank;
  uint8_t type; /* witx: f16 0, f32 1, f64 2, u8 3, i32 4, i64 5 */
  const void *data;
  uint32_t size;
} wasi_nn_tensor;

_Static_assert(sizeof(wasi_nn_tensor) == 20, "the layout of wasi_ephemeral_nn");

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

/* Copies output `index`, which must be exactly `size` bytes. */
static inline bool wasi_nn_read(uint32_t context, uint32_t index, void *out, uint32_t size) {
  uint32_t written = 0;
  return wasi_nn_get_output(context, index, out, size, &written) == 0 && written == size;
}

#endif
