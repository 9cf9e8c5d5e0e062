/* Looks over what `collection` has gathered. Temperatures whose `max` is above 100 get `overtemp` true; the state store then
 * holds `overtemp` = true, and `overtemp_count` one higher, counted under the lock `overtemp_lock` with its version as
 * fencing token. A `wet_flag` in the state store becomes a user property. The message goes on under the topic `sensors`. */
#include "aio.h"

#define LOCK_SECONDS 10

static bool init(const aio_configuration *configuration) { return (void)configuration, true; }
AIO_INIT("map", init)

/* Adds one to the count, unless another operator is at it: the message is not worth waiting for. */
static void count_one(void) {
  flowrt_text lock = flowrt_literal("overtemp_lock"), owner = flowrt_literal("enrichment"), key = flowrt_literal("overtemp_count");
  aio_clock fence;
  if (!aio_state_set(lock, owner, AIO_IF_NEW_OR_EQUAL, LOCK_SECONDS, NULL, &fence)) {
    aio_log(AIO_WARN, "enrichment", flowrt_literal("overtemp_count is locked by another operator and was not raised"));
    return;
  }
  double before = 0;
  flowrt_json_as_number(aio_state_get(key), &before);
  flowrt_writer number = {0};
  flowrt_write_integer(&number, (int64_t)before + 1);
  if (!aio_state_set(key, flowrt_written(&number), AIO_ALWAYS, 0, &fence, NULL))
    aio_log(AIO_WARN, "enrichment", flowrt_literal("overtemp_count was not raised: the lock is another's by now"));
  aio_state_delete(lock, owner);
}

/* Copies an object with `overtemp` true in it, in its place or at the end. */
static void write_hot(flowrt_writer *out, flowrt_text object) {
  static const char *const names[] = {"overtemp"};
  flowrt_text found;
  flowrt_json_find(object, names, 1, &found);
  const char *end = object.data + object.size;
  const char *at = found.data ? found.data : end - 1, *rest = found.data ? found.data + found.size : end - 1;
  flowrt_write_text(out, (flowrt_text){object.data, (uint32_t)(at - object.data)});
  flowrt_write(out, found.data ? "true" : ",\"overtemp\":true");
  flowrt_write_text(out, (flowrt_text){rest, (uint32_t)(end - rest)});
}

/* Copies the list of temperatures; whether one of them was too hot. */
static bool write_temperatures(flowrt_writer *out, flowrt_text list) {
  static const char *const names[] = {"max"};
  const char *end = list.data + list.size, *at = list.data + 1;
  bool hot = false;
  flowrt_write(out, "[");
  for (bool first = true;; first = false) {
    at = flowrt_json_space(at, end);
    if (*at == ',') at = flowrt_json_space(at + 1, end);
    if (*at == ']') break;
    const char *after = flowrt_json_value(at, end, 1);
    flowrt_text object = {at, (uint32_t)(after - at)}, found;
    double most;
    if (!first) flowrt_write(out, ",");
    bool over = flowrt_json_find(object, names, 1, &found) && flowrt_json_as_number(found, &most) && most > 100;
    if (over) write_hot(out, object);
    else flowrt_write_text(out, object);
    hot |= over;
    at = after;
  }
  flowrt_write(out, "]");
  return hot;
}

static void enrich(aio_message *message) {
  static const char *const outer[] = {"sensor_data"}, *const inner[] = {"temperature"};
  flowrt_text payload = aio_payload(message), data, list;
  if (!flowrt_json_find(payload, outer, 1, &data)) return flowrt_fail("the payload is no JSON object");
  if (data.data && flowrt_json_find(data, inner, 1, &list) && list.data && *list.data == '[') {
    flowrt_writer out = {0};
    const char *after = list.data + list.size;
    flowrt_write_text(&out, (flowrt_text){payload.data, (uint32_t)(list.data - payload.data)});
    if (write_temperatures(&out, list)) {
      aio_state_set(flowrt_literal("overtemp"), flowrt_literal("true"), AIO_ALWAYS, 0, NULL, NULL);
      count_one();
    }
    flowrt_write_text(&out, (flowrt_text){after, (uint32_t)(payload.data + payload.size - after)});
    aio_set_payload(message, &out);
  }
  flowrt_text wet = aio_state_get(flowrt_literal("wet_flag"));
  if (wet.data) aio_set_property(message, flowrt_literal("wet_flag"), wet);
  aio_set(&message->topic, flowrt_literal("sensors"));
}
AIO_MAP(enrich)
