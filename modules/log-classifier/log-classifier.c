/* log-classifier: log-tokens, the model and label in one guest. The model's file is part of the module, and the guest
 * drives it itself through wasi-nn, so that one file is all there is to install. Properties: those of label.
 */
#include "../label/label.h"
#include "../log-tokens/tokens.h"
#include "wasi_nn.h"

FLOWRT_DECLARE({"input": [], "output": []});

#pragma clang diagnostic ignored "-Wc23-extensions" /* #embed, which this clang has in every C */
static const uint8_t model[] = {
#embed "log-class.onnx"
};
static uint32_t context;

static bool on_init(void) { return labels_init() && wasi_nn_open_bytes(model, sizeof model, WASI_NN_ONNX, &context); }

static void on_message(const flowrt_message *message) {
  static const uint32_t dims[2] = {1, TOKENS};
  int32_t tokens[TOKENS];
  float *scores = flowrt_alloc(label_count * sizeof *scores);
  if (!scores) return flowrt_fail("the module is out of memory");
  if (!tokens_take(message, tokens)) return;
  wasi_nn_tensor input = {dims, 2, WASI_NN_I32, tokens, sizeof tokens};
  if (wasi_nn_set_input(context, 0, &input)) return flowrt_fail("the model does not take tokens i32[1, 48]");
  if (wasi_nn_compute(context)) return flowrt_fail("the model failed");
  if (!wasi_nn_read(context, 0, scores, label_count * sizeof *scores))
    return flowrt_fail("the model does not give one score f32 a label");
  label_emit(scores, label_count);
}

FLOWRT_INIT(on_init)
FLOWRT_MAP(on_message)
