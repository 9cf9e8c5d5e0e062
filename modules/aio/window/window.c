/* Windows of time: everything of one window gets the logical time of its end, so that an accumulate behind it folds it into
 * one. A window begins at a multiple of its length. Parameter: `window_ms` (10000). */
#include "aio.h"

static uint64_t window_ms = 10000;

static bool init(const aio_configuration *configuration) {
  flowrt_text text = aio_parameter_of(configuration, "window_ms");
  double given = 10000;
  if (text.data && (!flowrt_json_as_number(text, &given) || given < 1 || given > 1e12 || __builtin_trunc(given) != given))
    return false;
  window_ms = (uint64_t)given;
  return true;
}
AIO_INIT("delay", init)

/* The next multiple of the window, in milliseconds. */
static uint64_t end_of(uint64_t seconds, uint32_t nanos) {
  return ((seconds * 1000 + nanos / 1000000) / window_ms + 1) * window_ms;
}

static void to_end(aio_model *model, aio_clock *clock) {
  uint64_t end = end_of(clock->seconds, clock->nanos);
  aio_message *message = aio_message_of(model);
  if (message) {
    /* A message's own time says where it belongs, unless that would turn its logical time back. */
    uint64_t own = end_of(message->timestamp.seconds, message->timestamp.nanos);
    if (own > clock->seconds * 1000 + clock->nanos / 1000000) end = own;
  }
  clock->seconds = end / 1000;
  clock->nanos = (uint32_t)(end % 1000) * 1000000;
  clock->counter = 0;
}
AIO_DELAY(to_end)
