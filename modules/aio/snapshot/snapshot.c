/* Pictures: told apart from readings (branch), named by a model (map), the names of one logical time gathered (accumulate).
 *
 * branch: true for the topic in the parameter `snapshot_topic` (snapshot_simulation), and for pictures.
 * map: a picture of 224 by 224 pixels of rgb24 becomes {"object":{"result":NAME}}. The model is one of the graph's `models`, loaded
 * with the first picture, or one that the module carries (flowrt modules embed): parameters `model` (mobilenet), `input`, the
 * name of its input (data), and `labels`, the names of its classes, one a line, with or without a WordNet number in front;
 * without them the result is the number of the class.
 * accumulate: each name once, joined by "; ". */
#include "../statistics.h"
#include "aio_nn.h"

#define SIDE 224
#define CHANNELS 3

static flowrt_text topic, model, labels;
static char input[64] = "data";
static uint32_t context;
static bool opened;

static flowrt_text parameter(const aio_configuration *configuration, const char *key, const char *unset) {
  flowrt_text found = aio_parameter_of(configuration, key);
  return found.data ? found : flowrt_literal(unset);
}

static bool branch_init(const aio_configuration *configuration) {
  topic = parameter(configuration, "snapshot_topic", "snapshot_simulation");
  return true;
}
AIO_INIT("branch", branch_init)

static bool is_picture(aio_model *data) {
  if (data->form == 2) return true;
  aio_message *message = aio_message_of(data);
  return message && flowrt_same(aio_text(&message->topic), topic);
}
AIO_BRANCH_ANY(is_picture)

static bool map_init(const aio_configuration *configuration) {
  flowrt_text name = parameter(configuration, "input", "data");
  model = parameter(configuration, "model", "mobilenet");
  labels = aio_parameter_of(configuration, "labels");
  if (name.size >= sizeof input) return false;
  __builtin_memcpy(input, name.data, name.size);
  input[name.size] = 0;
  return true;
}
AIO_INIT("map", map_init)

/* Pixels as the model wants them: a plane for each colour, each with the mean 0 and the deviation 1 of ImageNet's pictures. */
static float *planes(const uint8_t *pixels) {
  static const float mean[] = {0.485f, 0.456f, 0.406f}, deviation[] = {0.229f, 0.224f, 0.225f};
  float *made = flowrt_alloc(SIDE * SIDE * CHANNELS * sizeof *made);
  for (uint32_t c = 0; c < CHANNELS; c++)
    for (uint32_t i = 0; i < SIDE * SIDE; i++)
      made[c * SIDE * SIDE + i] = ((float)pixels[i * CHANNELS + c] / 255 - mean[c]) / deviation[c];
  return made;
}

/* A name without the number that lists of ImageNet's classes have in front of it: n02133161. */
static flowrt_text without_number(flowrt_text name) {
  uint32_t at = 1;
  if (name.size < 11 || name.data[0] != 'n') return name;
  while (at < 9 && name.data[at] >= '0' && name.data[at] <= '9') at++;
  return at == 9 && name.data[9] == ' ' ? (flowrt_text){name.data + 10, name.size - 10} : name;
}

static void write_class(flowrt_writer *out, uint32_t number) {
  uint32_t start = 0, line = 0;
  for (uint32_t at = 0; labels.data && at <= labels.size; at++) {
    if (at < labels.size && labels.data[at] != '\n') continue;
    if (line++ == number && at > start) return flowrt_write_json(out, without_number((flowrt_text){labels.data + start, at - start}));
    start = at + 1;
  }
  flowrt_write(out, "\"class ");
  flowrt_write_integer(out, number);
  flowrt_write(out, "\"");
}

static void name_it(aio_model *data) {
  static const uint32_t extents[] = {1, CHANNELS, SIDE, SIDE};
  if (data->form != 2) return flowrt_fail("it takes pictures; put format before it");
  aio_snapshot picture = data->snapshot;
  flowrt_text frame = aio_text(&picture.frame);
  if (frame.size != SIDE * SIDE * CHANNELS) return flowrt_fail("the picture has not 224 by 224 pixels of rgb24");
  if (!opened && !(opened = aio_nn_open(model, &context))) return;
  flowrt_text scores = aio_nn_run(context, input, extents, 4, planes((const uint8_t *)frame.data));
  uint32_t best = 0, count = scores.size / sizeof(float);
  if (!scores.data) return;
  if (!count) return flowrt_fail("the model gave no score");
  const float *score = (const float *)(const void *)scores.data;
  for (uint32_t i = 1; i < count; i++)
    if (score[i] > score[best]) best = i;
  flowrt_writer out = {0};
  flowrt_write(&out, "{\"object\":{\"result\":");
  write_class(&out, best);
  flowrt_write(&out, "}}");
  data->form = 1;
  data->message = (aio_message){.timestamp = picture.timestamp, .topic = {1, "snapshot", 8}, .properties = flowrt_alloc(0)};
  data->message.content_type = (aio_option){1, {1, "application/json", 16}};
  data->message.payload = (aio_value){1, out.data, out.size};
}
AIO_MAP_ANY(name_it)

static bool accumulate_init(const aio_configuration *configuration) { return (void)configuration, true; }
AIO_INIT("accumulate", accumulate_init)

/* Whether one of the names joined in `all` is this one. */
static bool stands_in(flowrt_text all, flowrt_text name) {
  for (uint32_t start = 0, at = 0; at <= all.size; at++) {
    bool gap = at + 1 < all.size && all.data[at] == ';' && all.data[at + 1] == ' ';
    if (at < all.size && !gap) continue;
    if (flowrt_same((flowrt_text){all.data + start, at - start}, name)) return true;
    start = at + 2;
  }
  return false;
}

static void fold(aio_message *staged, aio_model *models, uint32_t count) {
  static const char *const names[] = {"result"};
  flowrt_writer all = {0};
  flowrt_text found, before = aio_payload(staged);
  if (before.size && object_at(before, "object", names, 1, &found)) flowrt_write_text(&all, flowrt_json_as_text(found));
  for (uint32_t i = 0; i < count; i++) {
    aio_message *message = aio_message_of(&models[i]);
    if (!message || !object_at(aio_payload(message), "object", names, 1, &found)) return flowrt_fail("no text at object.result");
    flowrt_text name = flowrt_json_as_text(found);
    if (!name.data) return flowrt_fail("no text at object.result");
    if (!all.size || !stands_in(flowrt_written(&all), name)) {
      if (all.size) flowrt_write(&all, "; ");
      flowrt_write_text(&all, name);
    }
    take_place_of(staged, message);
  }
  flowrt_writer out = {0};
  flowrt_write(&out, "{\"object\":{\"result\":");
  flowrt_write_json(&out, flowrt_written(&all));
  flowrt_write(&out, "}}");
  aio_set_payload(staged, &out);
}
AIO_ACCUMULATE(fold)
