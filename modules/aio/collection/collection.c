/* Gathers what the accumulates before it have made into one document:
 * {"sensor_data":{"temperature":[…],"humidity":[…],"object":[…]}}. Messages with none of the three are left out and counted
 * (`collection_skipped_total`). */
#include "../statistics.h"

enum { KINDS = 3 };
static const char *const kinds[KINDS] = {"temperature", "humidity", "object"};

static bool init(const aio_configuration *configuration) { return (void)configuration, true; }
AIO_INIT("accumulate", init)

/* The text between the brackets of an array. */
static flowrt_text inside(flowrt_text array) { return (flowrt_text){array.data + 1, array.size - 2}; }

static void add(flowrt_writer *list, flowrt_text value) {
  if (!value.size) return;
  if (list->size) flowrt_write(list, ",");
  flowrt_write_text(list, value);
}

/* A temperature as it is, with `overtemp` false where it has none. */
static void add_temperature(flowrt_writer *list, flowrt_text value) {
  static const char *const names[] = {"overtemp"};
  flowrt_text found;
  bool open = flowrt_json_find(value, names, 1, &found) && !found.data && *flowrt_json_space(value.data + 1, value.data + value.size) != '}';
  add(list, open ? (flowrt_text){value.data, value.size - 1} : value);
  if (open) flowrt_write(list, ",\"overtemp\":false}");
}

static void fold(aio_message *staged, aio_model *models, uint32_t count) {
  flowrt_writer lists[KINDS] = {{0}};
  flowrt_text found[KINDS], before = aio_payload(staged);
  if (before.size) {
    if (!object_at(before, "sensor_data", kinds, KINDS, found)) return flowrt_fail("what was folded before is none of its own");
    for (uint32_t kind = 0; kind < KINDS; kind++)
      if (found[kind].data && *found[kind].data == '[') add(&lists[kind], inside(found[kind]));
  }
  for (uint32_t i = 0; i < count; i++) {
    aio_message *message = aio_message_of(&models[i]);
    bool known = message && flowrt_json_find(aio_payload(message), kinds, KINDS, found);
    known = known && (found[0].data || found[1].data || found[2].data);
    if (!known) {
      aio_count("collection_skipped", 1);
      continue;
    }
    for (uint32_t kind = 0; kind < KINDS; kind++)
      if (found[kind].data) (kind ? add : add_temperature)(&lists[kind], found[kind]);
    take_place_of(staged, message);
  }
  flowrt_writer out = {0};
  flowrt_write(&out, "{\"sensor_data\":{");
  for (uint32_t kind = 0; kind < KINDS; kind++) {
    if (lists[kind].full) return flowrt_fail("the operator is out of memory");
    flowrt_write(&out, kind ? "],\"" : "\"");
    flowrt_write(&out, kinds[kind]);
    flowrt_write(&out, "\":[");
    flowrt_write_text(&out, flowrt_written(&lists[kind]));
  }
  flowrt_write(&out, "]}}");
  aio_set_payload(staged, &out);
}
AIO_ACCUMULATE(fold)
