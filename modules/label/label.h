/* A classifier's scores as a label.
 *
 * Properties: `labels`, their names in the model's order, separated by commas; `threshold` (0): a confidence below it is
 * the label "unknown". {"label":"box","confidence":0.973}
 */
#ifndef LABEL_H
#define LABEL_H

#include "flowrt.h"

#define LABELS_MAX 1000

static flowrt_text *label_names;
static uint32_t label_count;
static double label_threshold;

static const struct {
  flowrt_head head;
  char json[sizeof "application/json"];
} __attribute__((aligned(8))) label_head = {
    {.size = sizeof label_head, .content_type = sizeof(flowrt_head), .content_type_size = sizeof "application/json" - 1},
    "application/json"};

static inline bool labels_init(void) {
  flowrt_text given = flowrt_setting("labels");
  if (!flowrt_setting_number("threshold", 0, 1, &label_threshold)) return false;
  char *text = given.size ? flowrt_keep(given.size) : NULL;
  label_names = flowrt_keep(LABELS_MAX * sizeof *label_names);
  if (!text || !label_names) return flowrt_log(FLOWRT_ERROR, "labels: names separated by commas are needed"), false;
  __builtin_memcpy(text, given.data, given.size);
  for (uint32_t start = 0, at = 0; at <= given.size; at++) {
    if (at < given.size && text[at] != ',') continue;
    if (label_count == LABELS_MAX) return flowrt_log(FLOWRT_ERROR, "labels: more than 1000"), false;
    label_names[label_count++] = (flowrt_text){text + start, at - start};
    start = at + 1;
  }
  return true;
}

/* The name with the highest of `count` scores. A score that is no number is never the highest. */
static inline void label_emit(const float *scores, uint32_t count) {
  if (count != label_count) return flowrt_fail("the model gives another number of scores than there are labels");
  uint32_t best = 0;
  for (uint32_t i = 1; i < count; i++)
    if (scores[i] > scores[best] || scores[best] != scores[best]) best = i;
  flowrt_writer out = {0};
  flowrt_write(&out, "{\"label\":");
  flowrt_write_json(&out, scores[best] >= label_threshold ? label_names[best] : flowrt_literal("unknown"));
  flowrt_write(&out, ",\"confidence\":");
  flowrt_write_number(&out, scores[best], 6);
  flowrt_write(&out, "}");
  if (out.full) return flowrt_fail("the module is out of memory");
  flowrt_emit_as(out.data, out.size, &label_head);
}

#endif
