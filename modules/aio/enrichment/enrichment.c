/* Looks over what `collection` has gathered, and passes on the inner document, {"temperature":[…],"humidity":[…],"object":[…]},
 * under the topic `sensors`.
 *
 * A temperature loses `value` and gets `overtemp`: true where `max` is above 100, false where `min` is below 0, and in between
 * what it was, or true while the state store holds `overtemp` = true. The store then holds `overtemp` = true or false, and
 * `overtemp_count` one higher for every true, counted under the lock `lock` with its version as fencing token. A humidity whose
 * `max` is above 80 sets `wet_flag` to it; one whose `min` is below 80 deletes it. */
#include "aio.h"

#define LOCK_SECONDS 10
#define TRIES 3
#define HOT 100
#define FREEZING 0
#define WET 80

static bool init(const aio_configuration *configuration) { return (void)configuration, true; }
AIO_INIT("map", init)

static void warn(const char *words) { aio_log(AIO_WARN, "enrichment", flowrt_literal(words)); }

/* Adds one to the count, unless another operator is at it: the message is not worth waiting for. */
static void count_one(void) {
  flowrt_text lock = flowrt_literal("lock"), owner = flowrt_literal("enrichment"), key = flowrt_literal("overtemp_count");
  aio_clock fence;
  uint32_t tries = TRIES;
  while (tries && !aio_state_set(lock, owner, AIO_IF_NEW_OR_EQUAL, LOCK_SECONDS, NULL, &fence)) tries--;
  if (!tries) return warn("overtemp_count is locked by another operator and was not raised");
  double before = 0;
  flowrt_json_as_number(aio_state_get(key), &before);
  flowrt_writer number = {0};
  flowrt_write_integer(&number, (int64_t)before + 1);
  if (!aio_state_set(key, flowrt_written(&number), AIO_ALWAYS, 0, &fence, NULL))
    warn("overtemp_count was not raised: the lock is another's by now");
  aio_state_delete(lock, owner);
}

static bool mark(const char *words) {
  bool hot = words[0] == 't';
  if (!aio_state_set(flowrt_literal("overtemp"), flowrt_literal(words), AIO_ALWAYS, 0, NULL, NULL))
    warn("overtemp could not be set");
  if (hot) count_one();
  return hot;
}

static double number_in(flowrt_text object, const char *name, double unset) {
  flowrt_text found;
  double number;
  return flowrt_json_find(object, &name, 1, &found) && flowrt_json_as_number(found, &number) ? number : unset;
}

static bool is_true(flowrt_text value) { return flowrt_same(value, flowrt_literal("true")); }

/* Whether a temperature counts as too hot, which the state store is told. */
static bool too_hot(flowrt_text temperature) {
  static const char *const names[] = {"overtemp"};
  flowrt_text before = {0};
  if (number_in(temperature, "max", 0) > HOT) return mark("true");
  if (number_in(temperature, "min", 0) < FREEZING) return mark("false");
  flowrt_json_find(temperature, names, 1, &before);
  return is_true(before) || is_true(aio_state_get(flowrt_literal("overtemp")));
}

/* The member that begins at `at`, without the comma before it; NULL behind the last one. */
static const char *member(const char *at, const char *end, flowrt_text *name, flowrt_text *value) {
  at = flowrt_json_space(at, end);
  if (*at == ',') at = flowrt_json_space(at + 1, end);
  if (*at == '}') return NULL;
  const char *after = flowrt_json_string(at, end);
  *name = (flowrt_text){at + 1, (uint32_t)(after - at) - 2};
  at = flowrt_json_space(flowrt_json_space(after, end) + 1, end);
  after = flowrt_json_value(at, end, 1);
  *value = (flowrt_text){at, (uint32_t)(after - at)};
  return after;
}

static void write_temperature(flowrt_writer *out, flowrt_text temperature) {
  const char *end = temperature.data + temperature.size;
  flowrt_text name, value;
  flowrt_write(out, "{");
  for (const char *at = temperature.data + 1; (at = member(at, end, &name, &value));) {
    const char *last = name.data + name.size;
    if (flowrt_json_means(name.data, last, "value") || flowrt_json_means(name.data, last, "overtemp")) continue;
    flowrt_write_text(out, (flowrt_text){name.data - 1, (uint32_t)(value.data + value.size - name.data) + 1});
    flowrt_write(out, ",");
  }
  flowrt_write(out, "\"overtemp\":");
  flowrt_write(out, too_hot(temperature) ? "true}" : "false}");
}

static void look_at_humidity(flowrt_text humidity) {
  flowrt_text key = flowrt_literal("wet_flag");
  double most = number_in(humidity, "max", WET);
  if (most > WET) {
    flowrt_writer number = {0};
    aio_write_number(&number, most);
    aio_state_set(key, flowrt_written(&number), AIO_ALWAYS, 0, NULL, NULL);
  } else if (number_in(humidity, "min", WET) < WET) {
    flowrt_text before = aio_state_get(key);
    if (before.data) aio_state_delete(key, before);
  }
}

/* The next object of an array, NULL behind the last one or where something else stands. */
static const char *element(const char *at, const char *end, flowrt_text *object) {
  at = flowrt_json_space(at, end);
  if (*at == ',') at = flowrt_json_space(at + 1, end);
  if (*at != '{') return NULL;
  const char *after = flowrt_json_value(at, end, 1);
  *object = (flowrt_text){at, (uint32_t)(after - at)};
  return after;
}

static void enrich(aio_message *message) {
  static const char *const outer[] = {"sensor_data"}, *const inner[] = {"temperature", "humidity"};
  flowrt_text payload = aio_payload(message), data, lists[2], object;
  if (!flowrt_json_find(payload, outer, 1, &data) || !data.data || !flowrt_json_find(data, inner, 2, lists))
    return flowrt_fail("no object at sensor_data");
  flowrt_writer out = {0};
  const char *rest = data.data, *end = data.data + data.size;
  if (lists[0].data && *lists[0].data == '[') {
    flowrt_write_text(&out, (flowrt_text){rest, (uint32_t)(lists[0].data + 1 - rest)});
    bool first = true;
    for (const char *at = lists[0].data + 1; (at = element(at, end, &object)); first = false) {
      if (!first) flowrt_write(&out, ",");
      write_temperature(&out, object);
    }
    rest = lists[0].data + lists[0].size - 1;
  }
  flowrt_write_text(&out, (flowrt_text){rest, (uint32_t)(end - rest)});
  if (lists[1].data && *lists[1].data == '[')
    for (const char *at = lists[1].data + 1; (at = element(at, end, &object));) look_at_humidity(object);
  aio_set_payload(message, &out);
  aio_set(&message->topic, flowrt_literal("sensors"));
}
AIO_MAP(enrich)
