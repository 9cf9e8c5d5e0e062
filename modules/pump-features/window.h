/* Readings of eight sensors, kept in a sliding window for every topic, and the features of a window.
 *
 * Properties: `window`, readings in a window (16; 2 to 4096), and `topics`, how many topics there may be (64).
 * features = mean, then population standard deviation, then last - mean, each for the eight sensors in the order of
 * `sensors`, computed in double over the last `window` readings of the topic, the present one included.
 */
#ifndef PUMP_WINDOW_H
#define PUMP_WINDOW_H

#include "topics.h"

#define SENSORS 8
#define LARGEST 1e30 /* larger readings are refused: their squares and the f32 of the features would not be finite */

static const char *const sensors[SENSORS] = {"accelerometer1", "accelerometer2", "current", "pressure",
                                             "temperature",    "thermocouple",   "voltage", "flow"};

typedef struct {
  topic_slot topic;
  uint32_t filled, next; /* readings[next] is overwritten next, the oldest once the window is full */
  double readings[][SENSORS];
} window_slot;

static topic_table windows;
static uint32_t window_length;

static inline bool windows_init(void) {
  double length = 16, topics = 64;
  if (!flowrt_setting_number("window", 2, 4096, &length) || !flowrt_setting_number("topics", 1, 65536, &topics)) return false;
  window_length = (uint32_t)length;
  return topics_init(&windows, 1, sizeof(window_slot) + window_length * SENSORS * 8, (uint32_t)topics);
}

static inline bool read_sensors(flowrt_text payload, double reading[SENSORS]) {
  flowrt_text values[SENSORS];
  if (!flowrt_json_find(payload, sensors, SENSORS, values)) return flowrt_fail("the payload is no JSON object"), false;
  for (uint32_t i = 0; i < SENSORS; i++) {
    if (!values[i].data) return flowrt_fail_about("the reading lacks ", sensors[i]), false;
    if (!flowrt_json_as_number(values[i], &reading[i])) return flowrt_fail_about("no number at ", sensors[i]), false;
    if (!(reading[i] <= LARGEST && reading[i] >= -LARGEST)) return flowrt_fail_about("out of range: ", sensors[i]), false;
  }
  return true;
}

static inline void window_push(window_slot *slot, const double reading[SENSORS]) {
  __builtin_memcpy(slot->readings[slot->next], reading, sizeof slot->readings[0]);
  slot->next = (slot->next + 1) % window_length;
  if (slot->filled < window_length) slot->filled++;
}

/* Of a full window. Sums run from the oldest reading to the newest, so that whoever repeats this gets the same bits. */
static inline void window_features(const window_slot *slot, const double last[SENSORS], float features[3 * SENSORS]) {
  double sum[SENSORS] = {0}, squares[SENSORS] = {0};
  for (uint32_t i = 0, at = slot->next; i < window_length; i++, at = at + 1 == window_length ? 0 : at + 1)
    for (uint32_t s = 0; s < SENSORS; s++) sum[s] += slot->readings[at][s];
  for (uint32_t s = 0; s < SENSORS; s++) sum[s] /= window_length; /* the mean from here on */
  for (uint32_t i = 0, at = slot->next; i < window_length; i++, at = at + 1 == window_length ? 0 : at + 1)
    for (uint32_t s = 0; s < SENSORS; s++) squares[s] += (slot->readings[at][s] - sum[s]) * (slot->readings[at][s] - sum[s]);
  for (uint32_t s = 0; s < SENSORS; s++) {
    features[s] = (float)sum[s];
    features[SENSORS + s] = (float)__builtin_sqrt(squares[s] / window_length);
    features[2 * SENSORS + s] = (float)(last[s] - sum[s]);
  }
}

/* Takes one reading. False while the window fills, and when the message failed. */
static inline bool window_take(const flowrt_message *message, float features[3 * SENSORS]) {
  double reading[SENSORS];
  if (!read_sensors(flowrt_payload(message), reading)) return false;
  window_slot *slot = (window_slot *)topics_find(&windows, message);
  if (!slot) return false;
  window_push(slot, reading);
  if (slot->filled < window_length) return false;
  window_features(slot, reading, features);
  return true;
}

static inline void window_restore_slot(window_slot *slot, const window_slot *saved, uint32_t saved_length) {
  if (saved_length == window_length) {
    __builtin_memcpy(slot, saved, windows.state->slot_size);
    return;
  }
  slot->topic = saved->topic;
  uint32_t count = saved->filled < saved_length ? saved->filled : saved_length;
  for (uint32_t i = count > window_length ? count - window_length : 0; i < count; i++) {
    uint32_t from = saved->filled < saved_length ? i : (saved->next + i) % saved_length;
    window_push(slot, saved->readings[from]);
  }
}

/* A window of another length is taken over as far as it goes, so that a new configuration keeps what was learnt. */
static inline bool windows_restore(const void *bytes, uint32_t size) {
  const topic_state *saved = bytes;
  if (!topics_saved(&windows, saved, size) || saved->slot_size < sizeof(window_slot)) return false;
  uint32_t length = (saved->slot_size - sizeof(window_slot)) / (SENSORS * 8);
  if (!length || saved->used > windows.room) return false;
  windows.state->used = saved->used;
  __builtin_memset(windows.state->slots, 0, saved->used * windows.state->slot_size);
  for (uint32_t i = 0; i < saved->used; i++) {
    const window_slot *slot = (const void *)(saved->slots + i * saved->slot_size);
    if (slot->topic.size > TOPIC_ROOM || slot->filled > length || slot->next >= length) return false;
    window_restore_slot((window_slot *)topics_at(&windows, i), slot, length);
  }
  return true;
}

#endif
