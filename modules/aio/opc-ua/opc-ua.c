/* Flattens OPC UA values: {"Speed":{"Value":3,"SourceTimestamp":"…"}} becomes [{"tag":"Speed","timestamp":"…","value":3}],
 * rows sorted by tag; what lacks a value or a timestamp is left out.
 *
 * Parameters: `headers` (user properties to copy into each row, "property=column;…"), `copy_all` (true: plain values beside
 * the OPC UA ones go into each row under their names), `dataschema` (becomes the user property of that name). */
#include "aio.h"

#define MEMBERS_MAX 10000

typedef struct {
  flowrt_text tag, value, timestamp; /* the tag without its quotes; timestamp is NULL where the value is a plain one */
} member;

static flowrt_text headers, dataschema;
static bool copy_all;

static bool init(const aio_configuration *configuration) {
  headers = aio_parameter_of(configuration, "headers");
  dataschema = aio_parameter_of(configuration, "dataschema");
  copy_all = flowrt_same(aio_parameter_of(configuration, "copy_all"), flowrt_literal("true"));
  return true;
}
AIO_INIT("map", init)

/* The members of a checked object, at most `room`. */
static uint32_t members(flowrt_text object, member *into, uint32_t room) {
  static const char *const names[] = {"Value", "SourceTimestamp"};
  const char *end = object.data + object.size, *at = flowrt_json_space(object.data, end) + 1;
  uint32_t count = 0;
  while (count < room) {
    const char *key = flowrt_json_space(at, end);
    if (*key != '"') break;
    const char *after = flowrt_json_string(key, end);
    const char *value = flowrt_json_space(flowrt_json_space(after, end) + 1, end);
    at = flowrt_json_value(value, end, 1);
    flowrt_text inner = {value, (uint32_t)(at - value)}, found[2];
    member *made = &into[count];
    *made = (member){{key + 1, (uint32_t)(after - key) - 2}, inner, {0}};
    if (*value == '{') {
      flowrt_json_find(inner, names, 2, found);
      made->value = found[0];
      made->timestamp = found[1];
    }
    if (made->timestamp.data ? made->value.data != NULL : *value != '{' && *value != '[') count++;
    at = flowrt_json_space(at, end);
    if (*at != ',') break;
    at++;
  }
  return count;
}

static bool before(const member *a, const member *b) {
  for (uint32_t i = 0; i < a->tag.size && i < b->tag.size; i++)
    if (a->tag.data[i] != b->tag.data[i]) return (uint8_t)a->tag.data[i] < (uint8_t)b->tag.data[i];
  return a->tag.size < b->tag.size;
}

static void sort(member *rows, uint32_t count) {
  for (uint32_t gap = count / 2; gap; gap /= 2)
    for (uint32_t i = gap; i < count; i++) {
      member moved = rows[i];
      uint32_t at = i;
      for (; at >= gap && before(&moved, &rows[at - gap]); at -= gap) rows[at] = rows[at - gap];
      rows[at] = moved;
    }
}

static void write_headers(flowrt_writer *out, aio_message *message) {
  for (uint32_t start = 0, at = 0; at <= headers.size && headers.data; at++) {
    if (at < headers.size && headers.data[at] != ';') continue;
    uint32_t middle = start;
    while (middle < at && headers.data[middle] != '=') middle++;
    flowrt_text key = {headers.data + start, middle - start};
    flowrt_text column = middle < at ? (flowrt_text){headers.data + middle + 1, at - middle - 1} : key;
    for (uint32_t i = 0; key.size && i < message->property_count; i++)
      if (flowrt_same(aio_text(&message->properties[i].key), key)) {
        flowrt_write(out, ",");
        flowrt_write_json(out, column);
        flowrt_write(out, ":");
        flowrt_write_json(out, aio_text(&message->properties[i].value));
        break;
      }
    start = at + 1;
  }
}

static void write_row(flowrt_writer *out, const member *row, aio_message *message, const member *all, uint32_t count) {
  flowrt_write(out, "{\"tag\":\"");
  flowrt_write_text(out, row->tag);
  flowrt_write(out, "\",\"timestamp\":");
  flowrt_write_text(out, row->timestamp);
  flowrt_write(out, ",\"value\":");
  flowrt_write_text(out, row->value);
  write_headers(out, message);
  for (uint32_t i = 0; copy_all && i < count; i++) {
    if (all[i].timestamp.data) continue;
    flowrt_write(out, ",\"");
    flowrt_write_text(out, all[i].tag);
    flowrt_write(out, "\":");
    flowrt_write_text(out, all[i].value);
  }
  flowrt_write(out, "}");
}

static void flatten(aio_message *message) {
  flowrt_text document = aio_payload(message);
  if (!flowrt_json_find(document, NULL, 0, NULL)) return flowrt_fail("the payload is no JSON object");
  uint32_t room = 1;
  for (uint32_t i = 0; i < document.size; i++) room += document.data[i] == ':';
  if (room > MEMBERS_MAX) return flowrt_fail("the payload has more than 10000 members");
  member *all = flowrt_alloc(room * sizeof *all);
  uint32_t count = members(document, all, room);
  sort(all, count);
  flowrt_writer out = {0};
  flowrt_write(&out, "[");
  for (uint32_t i = 0, rows = 0; i < count; i++) {
    if (!all[i].timestamp.data) continue;
    if (rows++) flowrt_write(&out, ",");
    write_row(&out, &all[i], message, all, count);
  }
  flowrt_write(&out, "]");
  aio_set_payload(message, &out);
  if (dataschema.size) aio_set_property(message, flowrt_literal("dataschema"), dataschema);
}
AIO_MAP(flatten)
