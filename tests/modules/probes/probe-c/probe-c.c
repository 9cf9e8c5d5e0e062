/* Asks the SDK: the first byte of a payload says what, the rest is the question. */
#include "flowrt.h"

FLOWRT_TENSOR_HEAD(number_head, "number", FLOWRT_F64, 1);

static void emit_number(bool is_number, double value) {
  double *out = flowrt_alloc(8);
  if (!is_number || !out) return flowrt_fail("no number");
  *out = value;
  flowrt_emit_as(out, 8, &number_head);
}

static void find(flowrt_text document) {
  static const char *const key = "k";
  flowrt_text value;
  if (!flowrt_json_find(document, &key, 1, &value)) return flowrt_fail("malformed");
  flowrt_emit(value.data, value.size);
}

static void format(flowrt_text question) {
  double value;
  flowrt_writer out = {0};
  __builtin_memcpy(&value, question.data + 1, 8);
  flowrt_write_number(&out, value, question.data[0]);
  flowrt_emit_writer(&out);
}

static void numbers(flowrt_text array) {
  double *values = flowrt_alloc(8 * 8);
  int32_t count = flowrt_json_as_numbers(array, values, 8);
  if (count < 0) return flowrt_fail("no array");
  flowrt_emit(values, (uint32_t)count * 8);
}

static void text_of(flowrt_text value) {
  flowrt_text text = flowrt_json_as_text(value);
  if (!text.data) return flowrt_fail("no text");
  flowrt_writer out = {0};
  flowrt_write_json(&out, text);
  flowrt_emit_writer(&out);
}

static void many(const flowrt_message *message, uint32_t count) {
  flowrt_property properties[] = {{flowrt_literal("part"), flowrt_literal("x")}, {flowrt_literal(""), flowrt_literal("")}};
  for (uint32_t i = 0; i < count; i++) {
    flowrt_writer topic = {0};
    flowrt_write_text(&topic, flowrt_topic(message));
    flowrt_write(&topic, "/");
    flowrt_write_integer(&topic, (int64_t)i - 1);
    flowrt_changes changes = {.topic = flowrt_written(&topic), .content_type = flowrt_literal("text/plain")};
    if (i % 2) changes.replace_properties = true, changes.properties = properties, changes.property_count = 2;
    flowrt_emit_as(message->payload, message->payload_size, flowrt_new_head(&changes));
  }
}

static void on_message(const flowrt_message *message) {
  flowrt_text question = {(const char *)message->payload + 1, message->payload_size - 1};
  double value = 0;
  switch (message->payload[0]) {
    case 'J': return find(question);
    case 'N': return emit_number(flowrt_json_as_number(question, &value), value);
    case 'F': return format(question);
    case 'A': return numbers(question);
    case 'T': return text_of(question);
    case 'M': return many(message, (uint8_t)question.data[0]);
    case 'X': return many(message, 3), flowrt_fail("after three outputs"), many(message, 3);
    case 'P': return flowrt_emit(flowrt_property_of(message, "p").data, flowrt_property_of(message, "p").size);
    case 'E': return (void)flowrt_new_head(&(flowrt_changes){.topic = {question.data, 0x7FFFFFFF}});
  }
}

FLOWRT_MAP(on_message)
