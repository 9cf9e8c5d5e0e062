/* aio_nn.h: models from an operator component, through wasi:nn. Beside aio.h; names of models are those of the graph's `models`. */
#ifndef AIO_NN_H
#define AIO_NN_H

#include "aio.h"

AIO_IMPORT("nn-load-by-name") void aio_nn_import_load(const char *name, uint32_t size, uint32_t *into);
AIO_IMPORT("nn-start") void aio_nn_import_start(uint32_t graph, uint32_t *into);
AIO_IMPORT("nn-tensor-new") uint32_t aio_nn_import_tensor(const uint32_t *extents, uint32_t rank, uint32_t type, const void *data,
                                                          uint32_t size);
AIO_IMPORT("nn-compute") void aio_nn_import_compute(uint32_t context, const void *inputs, uint32_t count, uint32_t *into);
AIO_IMPORT("nn-tensor-data") void aio_nn_import_data(uint32_t tensor, flowrt_text *into);
AIO_IMPORT("nn-error-data") void aio_nn_import_words(uint32_t error, flowrt_text *into);
AIO_IMPORT("nn-tensor-drop") void aio_nn_import_drop_tensor(uint32_t tensor);
AIO_IMPORT("nn-error-drop") void aio_nn_import_drop_error(uint32_t error);

#define AIO_NN_F32 1

/* Fails the present call with the words of an error. */
FLOWRT_COLD void aio_nn_fail(uint32_t error) {
  flowrt_text words;
  aio_nn_import_words(error, &words);
  aio_nn_import_drop_error(error);
  flowrt_fail_text(words);
}

/* The context of a model, ready to run; it stays for later calls. False, and failed, when there is none. */
FLOWRT_COLD bool aio_nn_open(flowrt_text model, uint32_t *context) {
  uint32_t answer[2];
  aio_nn_import_load(model.data, model.size, answer);
  if (!(uint8_t)answer[0]) aio_nn_import_start(answer[1], answer);
  if ((uint8_t)answer[0]) return aio_nn_fail(answer[1]), false;
  return *context = answer[1], true;
}

/* Runs a model on one tensor of 32-bit floats; the bytes of its first output, or NULL, and failed. */
FLOWRT_COLD flowrt_text aio_nn_run(uint32_t context, const char *input, const uint32_t *extents, uint32_t rank, const float *data) {
  uint32_t answer[3], size = sizeof *data;
  for (uint32_t i = 0; i < rank; i++) size *= extents[i];
  struct {
    flowrt_text name;
    uint32_t tensor;
  } given = {flowrt_literal(input), aio_nn_import_tensor(extents, rank, AIO_NN_F32, data, size)}, *made;
  aio_nn_import_compute(context, &given, 1, answer);
  if ((uint8_t)answer[0]) return aio_nn_fail(answer[1]), (flowrt_text){0};
  made = (void *)(uintptr_t)answer[1];
  flowrt_text output = {0};
  for (uint32_t i = 0; i < answer[2]; i++) {
    if (!i) aio_nn_import_data(made[i].tensor, &output);
    aio_nn_import_drop_tensor(made[i].tensor);
  }
  if (!output.data) flowrt_fail("the model gave no output");
  return output;
}

#endif
