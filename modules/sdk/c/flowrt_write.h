/* A text that grows in the arena of the present batch. Part of flowrt.h. */
#ifndef FLOWRT_WRITE_H
#define FLOWRT_WRITE_H

/* Begin with {0}. A writer that finds no memory stays empty and says so in `full`; emitting it fails the message. */
typedef struct {
  char *data;
  uint32_t size, room;
  bool full;
} flowrt_writer;

FLOWRT_COLD bool flowrt_more_room(flowrt_writer *writer, uint32_t size) {
  if (writer->full) return false;
  uint64_t room = ((uint64_t)writer->size + size) * 2;
  char *grown = room <= INT32_MAX ? flowrt_alloc(room < 128 ? 128 : (uint32_t)room) : NULL;
  if (!grown) return writer->full = true, writer->size = 0, false;
  __builtin_memcpy(grown, writer->data, writer->size);
  writer->data = grown;
  writer->room = room < 128 ? 128 : (uint32_t)room;
  return true;
}

static inline bool flowrt_make_room(flowrt_writer *writer, uint32_t size) {
  return (size <= writer->room - writer->size && !writer->full) || flowrt_more_room(writer, size);
}

FLOWRT_COLD void flowrt_write_text(flowrt_writer *writer, flowrt_text text) {
  if (!flowrt_make_room(writer, text.size)) return;
  flowrt_copy(writer->data + writer->size, text.data, text.size);
  writer->size += text.size;
}

static inline void flowrt_write(flowrt_writer *writer, const char *text) { flowrt_write_text(writer, flowrt_literal(text)); }

/* A number of 1 to 17 significant digits as C's "%.*g" writes it; `null` for NaN and the infinities. */
FLOWRT_COLD void flowrt_write_number(flowrt_writer *writer, double value, int32_t digits) {
  if (flowrt_make_room(writer, 24)) writer->size += flowrt_format(value, digits, writer->data + writer->size);
}

FLOWRT_COLD void flowrt_write_integer(flowrt_writer *writer, int64_t value) {
  char digits[20];
  uint32_t at = 20;
  uint64_t left = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
  do digits[--at] = (char)('0' + left % 10);
  while (left /= 10);
  if (value < 0) digits[--at] = '-';
  flowrt_write_text(writer, (flowrt_text){digits + at, 20 - at});
}

/* A JSON string, quotes and escapes included. The text must be UTF-8, as topics and property values are. */
FLOWRT_COLD void flowrt_write_json(flowrt_writer *writer, flowrt_text text) {
  flowrt_write(writer, "\"");
  for (uint32_t i = 0; i < text.size; i++) {
    uint8_t byte = (uint8_t)text.data[i];
    char escaped[6] = {'\\', 'u', '0', '0', "0123456789abcdef"[byte >> 4], "0123456789abcdef"[byte & 15]};
    if (byte == '"' || byte == '\\')
      flowrt_write_text(writer, (flowrt_text){(char[2]){'\\', (char)byte}, 2});
    else
      flowrt_write_text(writer, byte < 0x20 ? (flowrt_text){escaped, 6} : (flowrt_text){text.data + i, 1});
  }
  flowrt_write(writer, "\"");
}

static inline flowrt_text flowrt_written(const flowrt_writer *writer) { return (flowrt_text){writer->data, writer->size}; }

static inline void flowrt_emit_writer(const flowrt_writer *writer) {
  if (writer->full) return flowrt_fail("the module is out of memory");
  flowrt_emit_as(writer->data, writer->size, NULL);
}

/* Fails the present message with these words and a name: flowrt_fail_about("no number at ", "flow"). */
FLOWRT_COLD void flowrt_fail_about(const char *words, const char *name) {
  flowrt_writer text = {0};
  flowrt_write(&text, words);
  flowrt_write(&text, name);
  flowrt_fail_text(flowrt_written(&text));
}

#endif
