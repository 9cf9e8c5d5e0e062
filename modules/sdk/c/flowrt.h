/* flowrt.h: write a flowrt module in C. Include it in the one .c file of your module; docs/guests.md is the tutorial,
 * docs/abi.md the page this header implements.
 *
 *     #include "flowrt.h"
 *
 *     static void on_message(const flowrt_message *message) {
 *       double celsius;
 *       if (!flowrt_json_number(flowrt_payload(message), "celsius", &celsius)) return flowrt_fail("no number at celsius");
 *       flowrt_writer out = {0};
 *       flowrt_write(&out, "{\"fahrenheit\":");
 *       flowrt_write_number(&out, celsius * 1.8 + 32, 6);
 *       flowrt_write(&out, "}");
 *       flowrt_emit_writer(&out);
 *     }
 *     FLOWRT_MAP(on_message)
 *
 * There is no libc and no malloc. Memory is one stretch: what was kept with flowrt_keep(), the input buffer, and above
 * them the present batch, which is forgotten as a whole when the next one begins. So nothing leaks, however long it runs.
 * Everything that comes out of flowrt_alloc(), a writer or an emit lives until the end of the batch.
 */
#ifndef FLOWRT_H
#define FLOWRT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FLOWRT_EXPORT(name) __attribute__((export_name(name), used))
#define FLOWRT_IMPORT(name) __attribute__((import_module("flowrt"), import_name(name)))

/* Not inlined: what is off the path of every message stays one small function. */
#define FLOWRT_COLD static __attribute__((noinline, unused))
/* Always inlined: each function that is entered costs a look at whether the call is to be ended. */
#define FLOWRT_HOT static inline __attribute__((always_inline, unused))

/* ---- the structs of docs/abi.md: pointers are 32 bits wide on wasm32 ---- */

typedef struct {
  const char *data;
  uint32_t size;
} flowrt_text; /* bytes, not ended by a zero; data is NULL where there is none */

typedef struct {
  uint32_t size, flags;
  uint32_t topic, topic_size;
  uint32_t content_type, content_type_size;
  uint32_t response_topic, response_topic_size;
  uint32_t correlation, correlation_size;
  uint32_t properties, property_count;
  uint32_t tensors, tensor_count;
  uint32_t reserved[2];
} flowrt_head;

typedef struct {
  uint64_t time; /* milliseconds since the epoch << 20, and a counter: flowrt_milliseconds() */
  const uint8_t *payload;
  uint32_t payload_size;
  const flowrt_head *head;
  uint32_t reserved;
} flowrt_message;

typedef struct {
  uint32_t row;
  const void *payload;
  uint32_t payload_size;
  const void *head;
} flowrt_output;

typedef struct {
  const flowrt_output *outputs;
  uint32_t count;
} flowrt_result;

typedef struct {
  const void *data;
  uint32_t size;
} flowrt_span;

typedef struct {
  flowrt_text key, value;
} flowrt_property; /* in a head `data` is an offset from the head; flowrt_init gets addresses */

typedef struct {
  uint32_t name, name_size, type, rank, dims;
} flowrt_tensor;

_Static_assert(sizeof(flowrt_message) == 24 && sizeof(flowrt_output) == 16 && sizeof(flowrt_head) == 64, "docs/abi.md");
_Static_assert(sizeof(flowrt_tensor) == 20 && sizeof(flowrt_property) == 16, "docs/abi.md");

enum { FLOWRT_F16, FLOWRT_F32, FLOWRT_F64, FLOWRT_BF16, FLOWRT_U8, FLOWRT_I32, FLOWRT_I64 };
enum { FLOWRT_I8 = 7, FLOWRT_BOOL, FLOWRT_U16, FLOWRT_I16, FLOWRT_U32, FLOWRT_U64 };
enum { FLOWRT_TRACE, FLOWRT_DEBUG, FLOWRT_INFO, FLOWRT_WARN, FLOWRT_ERROR };

FLOWRT_IMPORT("log") void flowrt_import_log(uint32_t level, const char *text, uint32_t size);
FLOWRT_IMPORT("fail") void flowrt_import_fail(uint32_t row, const char *text, uint32_t size);

/* ---- texts ---- */

static inline flowrt_text flowrt_literal(const char *text) {
  flowrt_text result = {text, 0};
  if (__builtin_constant_p(__builtin_strlen(text))) return result.size = __builtin_strlen(text), result;
  while (text[result.size]) result.size++;
  return result;
}

static inline bool flowrt_same(flowrt_text a, flowrt_text b) {
  if (a.size != b.size) return false;
  for (uint32_t i = 0; i < a.size; i++)
    if (a.data[i] != b.data[i]) return false;
  return true;
}

static inline void flowrt_log_text(uint32_t level, flowrt_text text) { flowrt_import_log(level, text.data, text.size); }

static inline void flowrt_log(uint32_t level, const char *text) { flowrt_log_text(level, flowrt_literal(text)); }

/* ---- memory ---- */

extern unsigned char __heap_base; /* set by the linker: the end of static data and stack */

static struct {
  uintptr_t kept;             /* first byte that the present batch may use */
  uintptr_t top;              /* first free byte */
  uintptr_t input, input_end; /* the buffer the host fills */
} flowrt_memory;

/* `size` bytes for the rest of this batch, 16-byte aligned, not cleared. NULL when memory is used up. */
static inline void *flowrt_alloc(uint32_t size) {
  if (!flowrt_memory.top) flowrt_memory.top = flowrt_memory.kept = ((uintptr_t)&__heap_base + 15) & ~(uintptr_t)15;
  uint64_t start = flowrt_memory.top, end = start + (((uint64_t)size + 15) & ~(uint64_t)15);
  uint64_t have = (uint64_t)__builtin_wasm_memory_size(0) << 16;
  if (end > UINT32_MAX) return NULL;
  if (end > have && __builtin_wasm_memory_grow(0, (end - have + 65535) >> 16) == (size_t)-1) return NULL;
  flowrt_memory.top = (uintptr_t)end;
  return (void *)(uintptr_t)start;
}

/* `size` cleared bytes for the life of the instance. Call it while initialising. NULL when memory is used up. */
static inline void *flowrt_keep(uint32_t size) {
  void *block = flowrt_alloc(size);
  if (!block) return NULL;
  flowrt_memory.kept = flowrt_memory.top;
  return __builtin_memset(block, 0, size);
}

FLOWRT_EXPORT("flowrt_buffer") uintptr_t flowrt_export_buffer(uint32_t size) {
  flowrt_memory.top = flowrt_memory.kept;
  if (flowrt_memory.input && size <= flowrt_memory.input_end - flowrt_memory.input) return flowrt_memory.input;
  /* The last block grows where it is; one that something was kept behind moves, once. */
  if (flowrt_memory.input && flowrt_memory.input_end == flowrt_memory.kept) flowrt_memory.top = flowrt_memory.input;
  void *block = flowrt_alloc(size);
  if (!block) {
    flowrt_memory.top = flowrt_memory.kept;
    return 0;
  }
  flowrt_memory.input = (uintptr_t)block;
  flowrt_memory.kept = flowrt_memory.input_end = flowrt_memory.top;
  return flowrt_memory.input;
}

FLOWRT_EXPORT("flowrt_abi") uint32_t flowrt_export_abi(void) { return 1; }

/* ---- reading a message ---- */

static inline flowrt_text flowrt_payload(const flowrt_message *message) {
  return (flowrt_text){(const char *)message->payload, message->payload_size};
}

static inline uint64_t flowrt_milliseconds(const flowrt_message *message) { return message->time >> 20; }

static inline flowrt_text flowrt_in_head(const flowrt_head *head, uint32_t offset, uint32_t size) {
  return (flowrt_text){size ? (const char *)head + offset : NULL, size};
}

static inline flowrt_text flowrt_topic(const flowrt_message *message) {
  return flowrt_in_head(message->head, message->head->topic, message->head->topic_size);
}

static inline flowrt_text flowrt_content_type(const flowrt_message *message) {
  return flowrt_in_head(message->head, message->head->content_type, message->head->content_type_size);
}

/* The user property `key` of a message; data is NULL where there is none. An empty value has data, and size 0. */
FLOWRT_COLD flowrt_text flowrt_property_of(const flowrt_message *message, const char *key) {
  const char *base = (const char *)message->head;
  const flowrt_property *properties = (const void *)(base + message->head->properties);
  for (uint32_t i = 0; i < message->head->property_count; i++) {
    flowrt_text found = {base + (uintptr_t)properties[i].key.data, properties[i].key.size};
    if (flowrt_same(found, flowrt_literal(key)))
      return (flowrt_text){base + (uintptr_t)properties[i].value.data, properties[i].value.size};
  }
  return (flowrt_text){0};
}

static inline uint32_t flowrt_type_size(uint32_t type) {
  static const uint8_t sizes[13] = {2, 4, 8, 2, 1, 4, 8, 1, 1, 2, 2, 4, 8};
  return type < 13 ? sizes[type] : 0;
}

/* The first value of tensor `name`, when it has this type and at least `count` values; NULL otherwise. Unaligned. */
FLOWRT_COLD const void *flowrt_tensor_of(const flowrt_message *message, const char *name, uint32_t type, uint32_t count) {
  const char *base = (const char *)message->head;
  const flowrt_tensor *tensors = (const void *)(base + message->head->tensors);
  uint64_t at = 0;
  for (uint32_t i = 0; i < message->head->tensor_count; i++) {
    uint64_t values = 1;
    for (uint32_t d = 0; d < tensors[i].rank; d++) {
      int32_t dim = ((const int32_t *)(base + tensors[i].dims))[d];
      if (dim < 0 || (dim && values > UINT32_MAX / (uint32_t)dim)) return NULL;
      values *= (uint32_t)dim;
    }
    uint64_t end = at + values * flowrt_type_size(tensors[i].type);
    if (end > message->payload_size) return NULL;
    if (flowrt_same((flowrt_text){base + tensors[i].name, tensors[i].name_size}, flowrt_literal(name)))
      return tensors[i].type == type && values >= count ? message->payload + at : NULL;
    at = end;
  }
  return NULL;
}

/* ---- making outputs ---- */

static struct {
  uint32_t row, count, capacity;
  bool failed;
  flowrt_output *outputs;
} flowrt_batch;

static inline void flowrt_begin(uint32_t rows) {
  flowrt_memory.top = flowrt_memory.kept;
  flowrt_batch.count = 0;
  flowrt_batch.outputs = rows < UINT32_MAX / 16 ? flowrt_alloc(rows * 16) : NULL;
  flowrt_batch.capacity = flowrt_batch.outputs ? rows : 0;
}

static inline void flowrt_begin_row(uint32_t row) {
  flowrt_batch.row = row;
  flowrt_batch.failed = false;
}

/* The present message cannot be handled: whatever was emitted for it is taken back. */
FLOWRT_COLD void flowrt_fail_text(flowrt_text words) {
  if (flowrt_batch.failed) return;
  flowrt_batch.failed = true;
  while (flowrt_batch.count && flowrt_batch.outputs[flowrt_batch.count - 1].row == flowrt_batch.row) flowrt_batch.count--;
  flowrt_import_fail(flowrt_batch.row, words.data, words.size);
}

FLOWRT_COLD void flowrt_fail(const char *words) { flowrt_fail_text(flowrt_literal(words)); }

FLOWRT_COLD bool flowrt_more_outputs(void) {
  uint32_t capacity = flowrt_batch.capacity < 8 ? 16 : flowrt_batch.capacity * 2;
  flowrt_output *grown = capacity < UINT32_MAX / 32 ? flowrt_alloc(capacity * 16) : NULL;
  if (!grown) return false;
  __builtin_memcpy(grown, flowrt_batch.outputs, flowrt_batch.count * 16);
  flowrt_batch.outputs = grown;
  flowrt_batch.capacity = capacity;
  return true;
}

/* Emits bytes that live until the end of the batch (the input's, the arena's, static ones) without copying them.
 * `head` NULL keeps the input's, with the tensors that FLOWRT_DECLARE names in place of its own; otherwise it is what
 * flowrt_new_head() made, or a FLOWRT_TENSOR_HEAD. */
static inline void flowrt_emit_as(const void *payload, uint32_t size, const void *head) {
  if (flowrt_batch.failed) return;
  if (flowrt_batch.count == flowrt_batch.capacity && !flowrt_more_outputs())
    return flowrt_fail("the module is out of memory");
  flowrt_batch.outputs[flowrt_batch.count++] = (flowrt_output){flowrt_batch.row, payload, size, head};
}

/* Emits a copy of `size` bytes under the input's head. */
static inline void flowrt_emit(const void *payload, uint32_t size) {
  void *copy = flowrt_alloc(size);
  if (!copy) return flowrt_fail("the module is out of memory");
  flowrt_emit_as(__builtin_memcpy(copy, payload, size), size, NULL);
}

/* A head that never changes, for a payload that is one tensor of one dimension:
 * FLOWRT_TENSOR_HEAD(id, "x", FLOWRT_F32, 16); */
#define FLOWRT_TENSOR_HEAD(id, label, kind, length)                                                                  \
  static const struct {                                                                                              \
    flowrt_head head;                                                                                                \
    flowrt_tensor tensor;                                                                                            \
    int32_t dim;                                                                                                     \
    char name[sizeof label];                                                                                         \
  } __attribute__((aligned(8))) id = {{sizeof id, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 64, 1, {0, 0}},                   \
                                      {88, sizeof label - 1, kind, 1, 84},                                           \
                                      length,                                                                        \
                                      label}

/* A head that says how an output differs from its input: fields left empty keep the input's. */
typedef struct {
  flowrt_text topic, content_type, response_topic, correlation;
  bool replace_properties; /* true: `properties` takes the place of the input's */
  const flowrt_property *properties;
  uint32_t property_count;
} flowrt_changes;

static inline uint32_t flowrt_place(char *head, uint64_t *at, flowrt_text text) {
  uint32_t offset = (uint32_t)*at;
  if (head && text.size) __builtin_memcpy(head + offset, text.data, text.size);
  *at += text.size;
  return offset;
}

FLOWRT_COLD uint64_t flowrt_fill_head(char *base, const flowrt_changes *changes) {
  uint64_t at = sizeof(flowrt_head) + (uint64_t)changes->property_count * sizeof(flowrt_property);
  flowrt_head head = {.flags = changes->replace_properties, .properties = 64, .property_count = changes->property_count};
  head.topic = flowrt_place(base, &at, changes->topic), head.topic_size = changes->topic.size;
  head.content_type = flowrt_place(base, &at, changes->content_type), head.content_type_size = changes->content_type.size;
  head.response_topic = flowrt_place(base, &at, changes->response_topic);
  head.response_topic_size = changes->response_topic.size;
  head.correlation = flowrt_place(base, &at, changes->correlation), head.correlation_size = changes->correlation.size;
  for (uint32_t i = 0; i < changes->property_count; i++) {
    flowrt_text key = changes->properties[i].key, value = changes->properties[i].value;
    flowrt_property placed = {{NULL, key.size}, {NULL, value.size}};
    placed.key.data = (const char *)(uintptr_t)flowrt_place(base, &at, key);
    placed.value.data = (const char *)(uintptr_t)flowrt_place(base, &at, value);
    if (base) ((flowrt_property *)(base + 64))[i] = placed;
  }
  at = (at + 7) & ~(uint64_t)7;
  head.size = (uint32_t)at;
  if (base) *(flowrt_head *)base = head;
  return at;
}

/* Makes the head of an output. NULL (and the message fails) when memory is used up. */
FLOWRT_COLD const flowrt_head *flowrt_new_head(const flowrt_changes *changes) {
  uint64_t size = flowrt_fill_head(NULL, changes); /* once to measure, once to write */
  void *head = size <= INT32_MAX ? flowrt_alloc((uint32_t)size) : NULL;
  if (!head) return flowrt_fail("the module is out of memory"), NULL;
  flowrt_fill_head(head, changes);
  return head;
}

/* ---- the configuration ---- */

static struct {
  const flowrt_property *properties;
  uint32_t count;
} flowrt_settings;

/* A property of the operation, while flowrt_init runs; data is NULL where it is not set. */
FLOWRT_COLD flowrt_text flowrt_setting(const char *key) {
  for (uint32_t i = 0; i < flowrt_settings.count; i++)
    if (flowrt_same(flowrt_settings.properties[i].key, flowrt_literal(key))) return flowrt_settings.properties[i].value;
  return (flowrt_text){0};
}

#include "flowrt_number.h"

#include "flowrt_json.h"

#include "flowrt_write.h"

/* Reads a numeric property. False, with a line in the log, when it is there and is no number from `low` to `high`. */
FLOWRT_COLD bool flowrt_setting_number(const char *key, double low, double high, double *value) {
  flowrt_text text = flowrt_setting(key);
  double found;
  if (!text.data) return true;
  if (flowrt_json_as_number(text, &found) && found >= low && found <= high) return *value = found, true;
  flowrt_writer words = {0};
  flowrt_write(&words, key);
  flowrt_write(&words, ": a number from ");
  flowrt_write_number(&words, low, 6);
  flowrt_write(&words, " to ");
  flowrt_write_number(&words, high, 6);
  flowrt_write(&words, " is needed");
  return flowrt_log_text(FLOWRT_ERROR, flowrt_written(&words)), false;
}

/* ---- what makes a function of yours a module ---- */

/* FLOWRT_MAP(f): void f(const flowrt_message *); emits none, one or several outputs, or fails. */
#define FLOWRT_MAP(function)                                                                        \
  FLOWRT_EXPORT("flowrt_map")                                                                       \
  const flowrt_result *flowrt_export_map(const flowrt_message *messages, uint32_t count) {         \
    static flowrt_result result;                                                                    \
    flowrt_begin(count);                                                                            \
    for (uint32_t row = 0; row < count; row++) flowrt_begin_row(row), function(&messages[row]);     \
    return result = (flowrt_result){flowrt_batch.outputs, flowrt_batch.count}, &result;             \
  }

#define FLOWRT_DECIDE(operation, function)                                                          \
  FLOWRT_EXPORT(operation)                                                                          \
  const uint8_t *flowrt_export_decide(const flowrt_message *messages, uint32_t count) {             \
    flowrt_begin(0);                                                                                \
    uint8_t *verdicts = flowrt_alloc(count);                                                        \
    if (!verdicts) __builtin_trap();                                                                \
    for (uint32_t row = 0; row < count; row++)                                                      \
      flowrt_begin_row(row), verdicts[row] = function(&messages[row]) ? 1 : 0;                      \
    return verdicts;                                                                                \
  }

/* FLOWRT_FILTER(f): bool f(const flowrt_message *); true passes the message on. */
#define FLOWRT_FILTER(function) FLOWRT_DECIDE("flowrt_filter", function)

/* FLOWRT_BRANCH(f): bool f(const flowrt_message *); true takes the arm "True". */
#define FLOWRT_BRANCH(function) FLOWRT_DECIDE("flowrt_branch", function)

/* FLOWRT_INIT(f): bool f(void); reads flowrt_setting(…); false, after a line in the log, refuses to start. */
#define FLOWRT_INIT(function)                                                                       \
  FLOWRT_EXPORT("flowrt_init")                                                                      \
  int32_t flowrt_export_init(const flowrt_property *properties, uint32_t count) {                   \
    flowrt_memory.top = flowrt_memory.kept;                                                         \
    flowrt_settings.properties = properties, flowrt_settings.count = count;                         \
    bool accepted = function();                                                                     \
    flowrt_settings.count = 0;                                                                      \
    return accepted ? 0 : 1;                                                                        \
  }

/* FLOWRT_SAVE(f, g): flowrt_span f(void) gives the whole state; bool g(const void *, uint32_t) takes it back. */
#define FLOWRT_SAVE(save, restore)                                                                  \
  FLOWRT_EXPORT("flowrt_save") const flowrt_span *flowrt_export_save(void) {                        \
    static flowrt_span span;                                                                        \
    flowrt_memory.top = flowrt_memory.kept;                                                         \
    return span = save(), &span;                                                                    \
  }                                                                                                 \
  FLOWRT_EXPORT("flowrt_restore") int32_t flowrt_export_restore(const void *state, uint32_t size) { \
    flowrt_memory.top = flowrt_memory.kept;                                                         \
    return restore(state, size) ? 0 : 1;                                                            \
  }

/* FLOWRT_STATE(variable): that variable, whole, is the state. Begin it with a version of yours. */
#define FLOWRT_STATE(variable)                                                                      \
  static flowrt_span flowrt_save_variable(void) { return (flowrt_span){&variable, sizeof variable}; } \
  static bool flowrt_restore_variable(const void *state, uint32_t size) {                           \
    return size == sizeof variable ? __builtin_memcpy(&variable, state, size), true : false;        \
  }                                                                                                 \
  FLOWRT_SAVE(flowrt_save_variable, flowrt_restore_variable)

/* FLOWRT_DECLARE({"input": […], "output": […]}): the custom section `flowrt`, for modules that deal in tensors. */
#define FLOWRT_DECLARE(...) FLOWRT_DECLARE_QUOTED(#__VA_ARGS__)
#define FLOWRT_DECLARE_QUOTED(json) FLOWRT_DECLARE_ASSEMBLED(json)
#define FLOWRT_DECLARE_ASSEMBLED(json) \
  __asm__(".section .custom_section.flowrt,\"\",@\n.ascii " #json "\n.text\n")

#endif
