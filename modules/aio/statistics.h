/* What the accumulates of readings have in common: how many there were, and the largest, smallest, average and last. */
#ifndef STATISTICS_H
#define STATISTICS_H

#include "aio.h"

enum { COUNT, MAX, MIN, AVERAGE, LAST, FIGURES };
static const char *const figure_names[FIGURES] = {"count", "max", "min", "average", "last"};

/* The members of the object at `key` of a payload. False when there is none. */
FLOWRT_COLD bool object_at(flowrt_text payload, const char *key, const char *const names[], uint32_t count, flowrt_text values[]) {
  flowrt_text inner;
  return flowrt_json_find(payload, &key, 1, &inner) && inner.data && flowrt_json_find(inner, names, count, values);
}

/* The figures of what has been folded so far: none of an empty payload. False for what these accumulates did not make. */
FLOWRT_COLD bool figures_of(flowrt_text staged, const char *key, double figures[FIGURES]) {
  for (uint32_t i = 0; i < FIGURES; i++) figures[i] = 0;
  if (!staged.size) return true;
  flowrt_text found[FIGURES];
  if (!object_at(staged, key, figure_names, FIGURES, found)) return false;
  for (uint32_t i = 0; i < FIGURES; i++)
    if (!flowrt_json_as_number(found[i], &figures[i])) return false;
  return true;
}

FLOWRT_COLD void add_figure(double figures[FIGURES], double value) {
  const double count = figures[COUNT];
  if (!count || value > figures[MAX]) figures[MAX] = value;
  if (!count || value < figures[MIN]) figures[MIN] = value;
  figures[AVERAGE] = (figures[AVERAGE] * count + value) / (count + 1);
  figures[COUNT] = count + 1;
  figures[LAST] = value;
}

/* {"KEY":{"count":…,…,"last":… — without the closing braces, for what a reading has beside. */
FLOWRT_COLD void write_figures(flowrt_writer *out, const char *key, const double figures[FIGURES]) {
  flowrt_write(out, "{\"");
  flowrt_write(out, key);
  for (uint32_t i = 0; i < FIGURES; i++) {
    flowrt_write(out, i ? ",\"" : "\":{\"");
    flowrt_write(out, figure_names[i]);
    flowrt_write(out, "\":");
    aio_write_number(out, figures[i]);
  }
}

/* The result has the topic, the time and the content type of the last message. */
FLOWRT_COLD void take_place_of(aio_message *staged, aio_message *last) {
  aio_set(&staged->topic, aio_text(&last->topic));
  staged->timestamp = last->timestamp;
  staged->content_type = last->content_type;
}

#endif
