/* threshold: a filter that passes messages whose number at one JSON key lies between two bounds.
 *
 * Properties: `key` ("value"), `min` and `max` (unset: no bound on that side). A message without a number there fails.
 */
#include "flowrt.h"

static char key[256] = "value";
static double low = -__builtin_inf(), high = __builtin_inf();

static bool on_init(void) {
  flowrt_text name = flowrt_setting("key");
  if (name.size >= sizeof key) return flowrt_log(FLOWRT_ERROR, "key: longer than 255 bytes"), false;
  if (name.size) __builtin_memcpy(key, name.data, name.size), key[name.size] = 0;
  return flowrt_setting_number("min", low, high, &low) && flowrt_setting_number("max", low, high, &high);
}

static bool on_message(const flowrt_message *message) {
  double value;
  if (!flowrt_json_number(flowrt_payload(message), key, &value)) return flowrt_fail_about("no number at ", key), false;
  return value >= low && value <= high;
}

FLOWRT_INIT(on_init)
FLOWRT_FILTER(on_message)
