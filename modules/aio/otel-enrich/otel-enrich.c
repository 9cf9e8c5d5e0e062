/* Adds what the state store knows: for each key of the parameter `enrichKeys` (a,b,c) that has a value, the user property
 * `otel/KEY`. The message goes on under the topic `sensors`. */
#include "aio.h"

static flowrt_text keys[64];
static uint32_t key_count;

static bool init(const aio_configuration *configuration) {
  flowrt_text list = aio_parameter_of(configuration, "enrichKeys");
  for (uint32_t start = 0, at = 0; at <= list.size && list.data; at++) {
    if (at < list.size && list.data[at] != ',') continue;
    uint32_t end = at;
    while (start < end && list.data[start] == ' ') start++;
    while (end > start && list.data[end - 1] == ' ') end--;
    if (end > start) {
      if (key_count == sizeof keys / sizeof *keys) return false;
      keys[key_count++] = (flowrt_text){list.data + start, end - start};
    }
    start = at + 1;
  }
  return true;
}
AIO_INIT("map", init)

static void enrich(aio_message *message) {
  for (uint32_t i = 0; i < key_count; i++) {
    flowrt_text value = aio_state_get(keys[i]);
    if (!value.data) continue;
    flowrt_writer name = {0};
    flowrt_write(&name, "otel/");
    flowrt_write_text(&name, keys[i]);
    aio_set_property(message, flowrt_written(&name), value);
  }
  aio_set(&message->topic, flowrt_literal("sensors"));
}
AIO_MAP(enrich)
