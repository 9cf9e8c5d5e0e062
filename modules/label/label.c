/* label: the scores of a classifier, f32 one behind the other, as JSON with the best label (label.h). */
#include "label.h"

static void on_message(const flowrt_message *message) {
  uint32_t count = message->payload_size / sizeof(float);
  float *scores = flowrt_alloc(message->payload_size);
  if (!scores) return flowrt_fail("the module is out of memory");
  __builtin_memcpy(scores, message->payload, message->payload_size); /* payloads are not aligned */
  if (message->payload_size % sizeof(float)) return flowrt_fail("the payload is no list of f32");
  label_emit(scores, count);
}

FLOWRT_INIT(labels_init)
FLOWRT_MAP(on_message)
