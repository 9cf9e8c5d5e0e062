/* pump-detector: pump-features, the model and pump-verdict in one guest, which drives the model itself through wasi-nn.
 *
 * Readings as JSON in, verdicts as JSON out. The model takes features f32[1, 24] and gives score f32[1] and errors
 * f32[1, 8], in this order. Properties: model ("default"), and those of pump-features and pump-verdict.
 */
#include "../pump-verdict/verdict.h"
#include "wasi_nn.h"

FLOWRT_DECLARE({"input": [], "output": []});

static uint32_t model;

static bool on_init(void) {
  flowrt_text name = flowrt_setting("model");
  return windows_init() && verdicts_init() && wasi_nn_open(name.size ? name : flowrt_literal("default"), &model);
}

static void on_message(const flowrt_message *message) {
  static const uint32_t dims[2] = {1, 3 * SENSORS};
  float features[3 * SENSORS], score, errors[SENSORS];
  if (!window_take(message, features)) return;
  wasi_nn_tensor input = {dims, 2, FLOWRT_F32, features, sizeof features};
  if (wasi_nn_set_input(model, 0, &input)) return flowrt_fail("the model does not take features f32[1, 24]");
  if (wasi_nn_compute(model)) return flowrt_fail("the model failed");
  if (!wasi_nn_read(model, 0, &score, sizeof score) || !wasi_nn_read(model, 1, errors, sizeof errors))
    return flowrt_fail("the model does not give score f32[1] and errors f32[1, 8]");
  verdict_emit(message, score, errors);
}

/* The state is the windows' and, behind it, the verdicts'; the first word says how long the first part is. */
static flowrt_span save(void) {
  flowrt_span parts[2] = {topics_save(&windows), topics_save(&verdicts)};
  uint8_t *state = flowrt_alloc(8 + parts[0].size + parts[1].size);
  if (!state) __builtin_trap();
  *(uint64_t *)state = parts[0].size;
  __builtin_memcpy(state + 8, parts[0].data, parts[0].size);
  __builtin_memcpy(state + 8 + parts[0].size, parts[1].data, parts[1].size);
  return (flowrt_span){state, 8 + parts[0].size + parts[1].size};
}

static bool restore(const void *bytes, uint32_t size) {
  if (size < 8) return false;
  uint64_t first = *(const uint64_t *)bytes;
  const uint8_t *parts = (const uint8_t *)bytes + 8;
  return first <= size - 8 && windows_restore(parts, (uint32_t)first) && verdicts_restore(parts + first, size - 8 - (uint32_t)first);
}

FLOWRT_INIT(on_init)
FLOWRT_MAP(on_message)
FLOWRT_SAVE(save, restore)
