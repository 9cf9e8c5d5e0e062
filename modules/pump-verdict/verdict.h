/* From scores to alerts with hysteresis, for every topic.
 *
 * Properties: `threshold` (3.5): a score above it counts towards an alert; `hold` (3): so many in a row raise it;
 * `clear` (0.8 × threshold): a score at or below it ends the alert; `only`: "changes" emits a message only when an alert
 * begins or ends; `topics` (64): how many topics there may be.
 *
 * {"score":4.2,"alert":true,"since":1735689600000,"sensor":"flow"}: `since` is the logical time, in milliseconds since
 * the epoch, of the reading with which the present state (alert or none) began; `sensor` has the largest share in the
 * score. A score that is no finite number counts as above the threshold and is written as null.
 */
#ifndef PUMP_VERDICT_H
#define PUMP_VERDICT_H

#include "../pump-features/window.h"

typedef struct {
  topic_slot topic;
  uint64_t since;
  uint32_t known, alert, above, reserved; /* above: scores in a row above the threshold */
} verdict_slot;

static topic_table verdicts;
static double threshold = 3.5, clear_at, hold = 3;
static bool only_changes;

static inline bool verdicts_init(void) {
  double topics = 64;
  if (!flowrt_setting_number("threshold", 0, 1e30, &threshold)) return false;
  clear_at = 0.8 * threshold;
  if (!flowrt_setting_number("clear", 0, threshold, &clear_at) || !flowrt_setting_number("hold", 1, 1e6, &hold)) return false;
  if (!flowrt_setting_number("topics", 1, 65536, &topics)) return false;
  flowrt_text only = flowrt_setting("only");
  only_changes = flowrt_same(only, flowrt_literal("changes"));
  if (only.size && !only_changes) return flowrt_log(FLOWRT_ERROR, "only: \"changes\" or nothing is needed"), false;
  return topics_init(&verdicts, 1, sizeof(verdict_slot), (uint32_t)topics);
}

/* Whether the state changed. */
static inline bool verdict_step(verdict_slot *slot, double score, uint64_t now) {
  bool first = !slot->known, alert = slot->alert;
  slot->known = 1;
  slot->above = score <= threshold ? 0 : slot->above < hold ? slot->above + 1 : slot->above;
  if (slot->above >= hold) slot->alert = 1;
  if (score <= clear_at) slot->alert = 0;
  if (first || alert != slot->alert) slot->since = now;
  return alert != slot->alert;
}

static inline const char *largest_share(const float errors[SENSORS]) {
  uint32_t best = 0;
  for (uint32_t i = 1; i < SENSORS; i++)
    if (errors[i] > errors[best] || errors[best] != errors[best]) best = i;
  return sensors[best];
}

/* A verdict is JSON, whatever the scores came as. */
static const struct {
  flowrt_head head;
  char json[sizeof "application/json"];
} __attribute__((aligned(8))) verdict_head = {
    {.size = sizeof verdict_head, .content_type = sizeof(flowrt_head), .content_type_size = sizeof "application/json" - 1},
    "application/json"};

static inline void verdict_emit(const flowrt_message *message, float score, const float errors[SENSORS]) {
  verdict_slot *slot = (verdict_slot *)topics_find(&verdicts, message);
  if (!slot) return;
  bool changed = verdict_step(slot, score, flowrt_milliseconds(message));
  if (only_changes && !changed) return;
  flowrt_writer out = {0};
  flowrt_write(&out, "{\"score\":");
  flowrt_write_number(&out, score, 9); /* nine digits are enough to read every f32 back */
  flowrt_write(&out, slot->alert ? ",\"alert\":true,\"since\":" : ",\"alert\":false,\"since\":");
  flowrt_write_integer(&out, (int64_t)slot->since);
  flowrt_write(&out, ",\"sensor\":\"");
  flowrt_write(&out, largest_share(errors));
  flowrt_write(&out, "\"}");
  if (out.full) return flowrt_fail("the module is out of memory");
  flowrt_emit_as(out.data, out.size, &verdict_head);
}

static inline bool verdicts_restore(const void *bytes, uint32_t size) {
  const topic_state *saved = bytes;
  if (!topics_saved(&verdicts, saved, size) || saved->slot_size != sizeof(verdict_slot)) return false;
  if (saved->used > verdicts.room) return false;
  for (uint32_t i = 0; i < saved->used; i++)
    if (((const verdict_slot *)(saved->slots + i * sizeof(verdict_slot)))->topic.size > TOPIC_ROOM) return false;
  __builtin_memcpy(verdicts.state, saved, size);
  return true;
}

#endif
