/* bench-parse: {"v":[16 numbers]} in, each × 0.1 as a tensor f32[16] out. First half of benchmarks/pipeline.yaml.
 *
 * What a sender usually writes is read in one pass; anything else (spaces, other keys, other order) in two, which check
 * the document as a whole. Both give the same numbers.
 */
#include "flowrt.h"

#define COUNT 16

FLOWRT_DECLARE({"input": [], "output": [{"name": "x", "type": "f32", "shape": [16]}]});

static bool read_plain(const char *at, const char *end, float out[COUNT]) {
  flowrt_decimal number;
  at = flowrt_json_expect(at, end, "{\"v\":[");
#pragma clang loop unroll_count(4)
  for (uint32_t i = 0; at && i < COUNT; i++) {
    at = flowrt_take_number(at, end, &number);
    if (!at || at == end || *at++ != (i == COUNT - 1 ? ']' : ',')) return false;
    double value = flowrt_decimal_value(&number);
    if (value - value != 0) return false;
    out[i] = (float)(value * 0.1);
  }
  return at && end - at == 1 && *at == '}';
}

static bool read_any(flowrt_text payload, float out[COUNT]) {
  static const char *const key = "v";
  flowrt_text array;
  double values[COUNT];
  if (!flowrt_json_find(payload, &key, 1, &array) || flowrt_json_as_numbers(array, values, COUNT) != COUNT) return false;
  for (uint32_t i = 0; i < COUNT; i++) out[i] = (float)(values[i] * 0.1);
  return true;
}

static void on_message(const flowrt_message *message) {
  flowrt_text payload = flowrt_payload(message);
  float *out = flowrt_alloc(COUNT * sizeof(float));
  if (!out) return flowrt_fail("the module is out of memory");
  if (read_plain(payload.data, payload.data + payload.size, out) || read_any(payload, out))
    flowrt_emit_as(out, COUNT * sizeof(float), NULL);
  else
    flowrt_fail("no {\"v\":[16 numbers]}");
}

FLOWRT_MAP(on_message)
