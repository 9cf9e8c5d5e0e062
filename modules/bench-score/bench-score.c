/* bench-score: a payload of f32[16] in, {"score":<sum of squares>,"anomaly":<score above 5>} out. Second half of
 * benchmarks/pipeline.yaml; the tensor may have any name.
 */
#include "flowrt.h"

#define COUNT 16

FLOWRT_DECLARE({"input": [{"name": "y", "type": "f32", "shape": [16]}], "output": []});

static void on_message(const flowrt_message *message) {
  if (message->payload_size != COUNT * sizeof(float)) return flowrt_fail("the payload is no f32[16]");
  float values[COUNT];
  double score = 0;
  __builtin_memcpy(values, message->payload, sizeof values);
  for (uint32_t i = 0; i < COUNT; i++) score += (double)values[i] * values[i];
  flowrt_writer out = {0};
  flowrt_write(&out, "{\"score\":");
  flowrt_write_number(&out, score, 6);
  flowrt_write(&out, score > 5 ? ",\"anomaly\":true}" : ",\"anomaly\":false}");
  flowrt_emit_writer(&out);
}

FLOWRT_MAP(on_message)
