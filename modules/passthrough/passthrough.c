/* passthrough: every message comes out as it went in. What a hop through a module costs, and nothing else. */
#include "flowrt.h"

/* The input's own head is named only where there are tensors, which an output without a head would lose. */
static void on_message(const flowrt_message *message) {
  flowrt_emit_as(message->payload, message->payload_size, message->head->tensor_count ? message->head : NULL);
}

FLOWRT_MAP(on_message)
