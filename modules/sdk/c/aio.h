/* aio.h: write an operator component for Azure IoT Operations' interfaces (wasm-graph:processor 1.1.0) in C. Include it in
 * the one .c file of your module; docs/operators.md is the tutorial.
 *
 *     #include "aio.h"
 *
 *     static bool warm(aio_message *message) {
 *       double celsius;
 *       return flowrt_json_number(aio_payload(message), "celsius", &celsius) && celsius > 20;
 *     }
 *     AIO_FILTER(warm)
 *
 * `flowrt modules build` makes the component of it (module.toml: component = true). There is no libc and no malloc: what
 * flowrt_alloc() gives during a call is forgotten when the call has returned; what it gives during init stays.
 */
#ifndef AIO_H
#define AIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FLOWRT_COLD static __attribute__((noinline, unused))
/* Always inlined: each function that is entered costs a look at whether the call is to be ended. */
#define FLOWRT_HOT static inline __attribute__((always_inline, unused))
#define AIO_EXPORT(name) __attribute__((export_name(name), used))
#define AIO_IMPORT(name) __attribute__((import_module("host"), import_name(name)))

typedef struct {
  const char *data;
  uint32_t size;
} flowrt_text; /* bytes, not ended by a zero; data is NULL where there is none */

/* ---- what the interfaces pass, as the canonical ABI lays it out ---- */

typedef struct {
  uint8_t form; /* 0: a buffer of the host, whose number stands in data; 1: bytes */
  const char *data;
  uint32_t size;
} aio_value;

typedef struct {
  uint8_t some;
  aio_value value;
} aio_option;

typedef struct {
  uint64_t seconds;
  uint32_t nanos;
  uint64_t counter;
  aio_value node;
} aio_timestamp;

typedef struct {
  aio_value key, value;
} aio_property;

typedef struct {
  aio_timestamp timestamp;
  aio_value topic;
  aio_option content_type;
  aio_value payload;
  aio_property *properties;
  uint32_t property_count;
  struct {
    uint8_t some, form __attribute__((aligned(4)));
    aio_value first, second;
  } schema;
} aio_message;

typedef struct {
  aio_timestamp timestamp;
  aio_value format;
  uint32_t width, height;
  aio_value frame;
} aio_snapshot; /* a picture */

typedef struct {
  uint8_t form; /* 0: bytes alone, 1: a message, 2: a snapshot */
  union {
    aio_message message;
    aio_snapshot snapshot;
  };
} aio_model;

typedef struct {
  uint64_t seconds;
  uint32_t nanos;
  uint64_t counter;
  flowrt_text node;
} aio_clock;

typedef struct {
  flowrt_text key, value;
} aio_parameter;

typedef struct {
  flowrt_text name, content_type, content;
} aio_schema;

typedef struct {
  const aio_parameter *parameters;
  uint32_t parameter_count;
  const aio_schema *schemas;
  uint32_t schema_count;
} aio_configuration;

_Static_assert(sizeof(aio_message) == 120 && offsetof(aio_message, schema) == 88, "the record message");
_Static_assert(sizeof(aio_model) == 128 && offsetof(aio_model, message) == 8, "the variant data-model");
_Static_assert(sizeof(aio_snapshot) == 72 && offsetof(aio_snapshot, frame) == 60, "the record snapshot");
_Static_assert(sizeof(aio_clock) == 32 && sizeof(aio_option) == 16 && sizeof(aio_property) == 24, "the others");

__attribute__((import_module("env"), import_name("realloc"))) void *aio_realloc(void *old, uint32_t was, uint32_t align,
                                                                               uint32_t size);
AIO_IMPORT("buffer-read") void aio_buffer_read(const char *number, flowrt_text *into);
AIO_IMPORT("buffer-drop") void aio_buffer_drop(const char *number);
AIO_IMPORT("log") void aio_import_log(uint32_t level, const char *context, uint32_t context_size, const char *text, uint32_t size);

/* ---- texts, memory, failing: what flowrt_json.h and flowrt_write.h build on ---- */

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

static inline void *flowrt_alloc(uint32_t size) { return aio_realloc(0, 0, 8, size); }

/* The same for what a message asks for: NULL where there is no such room, and flowrt_alloc() would trap. */
FLOWRT_COLD void *aio_alloc_or_null(uint64_t size) {
  uint64_t end = (uintptr_t)aio_realloc(0, 0, 8, 0) + size, have = (uint64_t)__builtin_wasm_memory_size(0) << 16;
  if (end > UINT32_MAX) return NULL;
  if (end > have && __builtin_wasm_memory_grow(0, (end - have + 65535) >> 16) == (size_t)-1) return NULL;
  return flowrt_alloc((uint32_t)size);
}

static flowrt_text aio_failure; /* of the present call; data is NULL while it goes well */
static flowrt_text aio_output;

static inline void flowrt_fail_text(flowrt_text words) { aio_failure = words; }
static inline void flowrt_fail(const char *words) { flowrt_fail_text(flowrt_literal(words)); }
static inline void flowrt_emit_as(const void *data, uint32_t size, const void *head) {
  (void)head;
  aio_output = (flowrt_text){data, size};
}

#include "flowrt_number.h"
#include "flowrt_json.h"
#include "flowrt_write.h"

enum { AIO_TRACE, AIO_DEBUG, AIO_INFO, AIO_WARN, AIO_ERROR, AIO_CRITICAL };

static inline void aio_log(uint32_t level, const char *context, flowrt_text text) {
  flowrt_text where = flowrt_literal(context);
  aio_import_log(level, where.data, where.size, text.data, text.size);
}

/* A value's bytes. A buffer is read the first time, and given back. */
FLOWRT_COLD flowrt_text aio_text(aio_value *value) {
  if (value->form == 0) {
    flowrt_text read;
    aio_buffer_read(value->data, &read);
    aio_buffer_drop(value->data);
    *value = (aio_value){1, read.data, read.size};
  }
  return (flowrt_text){value->data, value->size};
}

static inline flowrt_text aio_payload(aio_message *message) { return aio_text(&message->payload); }

static inline void aio_set(aio_value *value, flowrt_text text) {
  if (value->form == 0) aio_buffer_drop(value->data);
  *value = (aio_value){1, text.data ? text.data : "", text.size};
}

/* Makes what has been written the payload. */
static inline void aio_set_payload(aio_message *message, const flowrt_writer *writer) {
  if (writer->full) return flowrt_fail("the operator is out of memory");
  aio_set(&message->payload, flowrt_written(writer));
}

/* A parameter of the configuration; data is NULL when it is not set. */
FLOWRT_COLD flowrt_text aio_parameter_of(const aio_configuration *configuration, const char *key) {
  for (uint32_t i = 0; i < configuration->parameter_count; i++)
    if (flowrt_same(configuration->parameters[i].key, flowrt_literal(key))) return configuration->parameters[i].value;
  return (flowrt_text){0};
}

/* Sets a user property: in the place of the first of that key, or behind the others. */
FLOWRT_COLD void aio_set_property(aio_message *message, flowrt_text key, flowrt_text value) {
  for (uint32_t i = 0; i < message->property_count; i++)
    if (flowrt_same(aio_text(&message->properties[i].key), key)) return aio_set(&message->properties[i].value, value);
  aio_property *grown = flowrt_alloc((message->property_count + 1) * sizeof *grown);
  for (uint32_t i = 0; i < message->property_count; i++) grown[i] = message->properties[i];
  grown[message->property_count].key = (aio_value){1, key.data, key.size};
  grown[message->property_count++].value = (aio_value){1, value.data, value.size};
  message->properties = grown;
}

/* A number with the fewest digits that read back as the same double. */
FLOWRT_COLD void aio_write_number(flowrt_writer *writer, double value) {
  for (int32_t digits = 15; digits < 17; digits++) {
    char text[24];
    double back;
    uint32_t size = flowrt_format(value, digits, text);
    if (flowrt_json_as_number((flowrt_text){text, size}, &back) && back == value)
      return flowrt_write_text(writer, (flowrt_text){text, size});
  }
  flowrt_write_number(writer, value, 17);
}

/* ---- the state store ---- */

AIO_IMPORT("state-get") void aio_import_get(const char *key, uint32_t size, uint32_t timed, uint64_t seconds, uint32_t nanos,
                                            uint8_t *into);

/* The value of a key, or NULL where there is none or the store fails. */
static inline flowrt_text aio_state_get(flowrt_text key) {
  uint8_t *answer = flowrt_alloc(96);
  aio_import_get(key.data, key.size, 0, 0, 0, answer);
  return answer[0] || !answer[8] ? (flowrt_text){0} : *(flowrt_text *)(answer + 12);
}

AIO_IMPORT("state-set") void aio_import_set(const void *arguments, uint8_t *into);
AIO_IMPORT("state-vdel") void aio_import_vdel(const char *key, uint32_t key_size, const char *value, uint32_t value_size,
                                              uint32_t fenced, uint64_t seconds, uint32_t nanos, uint64_t counter,
                                              const char *node, uint32_t node_size, uint32_t timed, uint64_t wait,
                                              uint32_t wait_nanos, uint8_t *into);

enum { AIO_IF_NEW, AIO_IF_NEW_OR_EQUAL, AIO_ALWAYS }; /* when a key is set */

/* Sets a key. `seconds`: after which it is gone; 0: never. `fence`: a version that no later writer may be older than, or
 * NULL. `version`, where it is not NULL, becomes the value's. False when the condition does not hold or the store fails. */
FLOWRT_COLD bool aio_state_set(flowrt_text key, flowrt_text value, uint32_t when, uint64_t seconds, const aio_clock *fence,
                               aio_clock *version) {
  struct {
    flowrt_text key, value;
    struct {
      uint8_t some;
      uint64_t seconds;
      uint32_t nanos;
    } wait;
    struct {
      uint8_t some;
      aio_clock clock;
    } fence;
    uint8_t when;
    struct {
      uint8_t some;
      uint64_t seconds;
      uint32_t nanos;
    } expires;
  } arguments = {.key = key, .value = value, .when = (uint8_t)when};
  _Static_assert(sizeof arguments == 112, "the parameters of set");
  if (fence) arguments.fence.some = 1, arguments.fence.clock = *fence;
  if (seconds) arguments.expires.some = 1, arguments.expires.seconds = seconds;
  uint8_t *answer = flowrt_alloc(56);
  aio_import_set(&arguments, answer);
  if (answer[0] || !answer[8]) return false;
  if (version && answer[16]) *version = *(aio_clock *)(answer + 24);
  return true;
}

/* Deletes a key that has this value; whether it did. */
FLOWRT_COLD bool aio_state_delete(flowrt_text key, flowrt_text value) {
  uint8_t *answer = flowrt_alloc(56);
  aio_import_vdel(key.data, key.size, value.data, value.size, 0, 0, 0, 0, "", 0, 0, 0, 0, answer);
  return !answer[0] && *(int64_t *)(answer + 8) > 0;
}

/* ---- metrics ---- */

AIO_IMPORT("add-to-counter") void aio_import_count(const char *name, uint32_t size, uint32_t kind, uint64_t value,
                                                   uint32_t labelled, const void *labels, uint32_t count, uint8_t *into);

/* Adds to a counter, which appears at /metrics as NAME_total. */
static inline void aio_count(const char *name, uint64_t value) {
  flowrt_text text = flowrt_literal(name);
  aio_import_count(text.data, text.size, 0, value, 0, NULL, 0, flowrt_alloc(16));
}

/* ---- exports ---- */

typedef struct {
  uint8_t failed;
  union {
    aio_model model;
    flowrt_text words;
  } is __attribute__((aligned(8)));
} aio_map_result;

typedef struct {
  uint8_t failed;
  union {
    uint8_t yes;
    flowrt_text words;
  } is;
} aio_verdict;

static inline aio_message *aio_begin(aio_model *model) {
  aio_failure = (flowrt_text){0};
  if (model->form == 1) return &model->message;
  flowrt_fail("it takes messages only");
  return NULL;
}

static inline void *aio_mapped(aio_model *model, void (*map)(aio_message *)) {
  aio_map_result *result = flowrt_alloc(sizeof *result);
  aio_message *message = aio_begin(model);
  if (message) map(message);
  result->failed = aio_failure.data != NULL;
  if (result->failed)
    result->is.words = aio_failure;
  else
    result->is.model = *model;
  return result;
}

/* The message that a model is, or NULL for one that is none. */
static inline aio_message *aio_message_of(aio_model *model) { return model->form == 1 ? &model->message : NULL; }

static inline void *aio_mapped_any(aio_model *model, void (*map)(aio_model *)) {
  aio_map_result *result = flowrt_alloc(sizeof *result);
  aio_failure = (flowrt_text){0};
  map(model);
  result->failed = aio_failure.data != NULL;
  if (result->failed)
    result->is.words = aio_failure;
  else
    result->is.model = *model;
  return result;
}

typedef struct {
  aio_model staged;
  aio_model *messages;
  uint32_t count;
} aio_fold;

typedef struct {
  uint8_t failed;
  union {
    aio_clock clock;
    flowrt_text words;
  } is __attribute__((aligned(8)));
} aio_delay_result;

static inline void *aio_folded(aio_fold *fold, void (*add)(aio_message *, aio_model *, uint32_t)) {
  aio_map_result *result = flowrt_alloc(sizeof *result);
  aio_message *staged = aio_begin(&fold->staged);
  if (staged) add(staged, fold->messages, fold->count);
  result->failed = aio_failure.data != NULL;
  if (result->failed)
    result->is.words = aio_failure;
  else
    result->is.model = fold->staged;
  return result;
}

static inline void *aio_delayed(aio_model *model, void (*delay)(aio_model *, aio_clock *)) {
  aio_delay_result *result = flowrt_alloc(sizeof *result);
  aio_clock *clock = (aio_clock *)(model + 1);
  aio_failure = (flowrt_text){0};
  delay(model, clock);
  result->failed = aio_failure.data != NULL;
  if (result->failed)
    result->is.words = aio_failure;
  else
    result->is.clock = *clock;
  return result;
}

static inline void *aio_judged(aio_model *model, bool (*judge)(aio_message *)) {
  aio_verdict *result = flowrt_alloc(sizeof *result);
  aio_message *message = aio_begin(model);
  bool yes = message && judge(message);
  result->failed = aio_failure.data != NULL;
  if (result->failed)
    result->is.words = aio_failure;
  else
    result->is.yes = yes;
  return result;
}

#define AIO_INIT(kind, function)                                                                                    \
  AIO_EXPORT(kind "-init") bool aio_init_##function(const aio_parameter *a, uint32_t b, const aio_schema *c, uint32_t d) { \
    return function(&(aio_configuration){a, b, c, d});                                                              \
  }
#define AIO_MAP(function) \
  AIO_EXPORT("map-process") void *aio_map_##function(aio_model *aio_given) { return aio_mapped(aio_given, function); }
/* A map that takes bytes alone and pictures too: it is given the model, and may make another of it. */
#define AIO_MAP_ANY(function) \
  AIO_EXPORT("map-process") void *aio_map_##function(aio_model *aio_given) { return aio_mapped_any(aio_given, function); }
/* Adds messages to what has been folded so far, which begins as a message without payload. */
#define AIO_ACCUMULATE(function) \
  AIO_EXPORT("accumulate-process") void *aio_fold_##function(aio_fold *aio_given) { return aio_folded(aio_given, function); }
/* Advances a message's logical time. */
#define AIO_DELAY(function) \
  AIO_EXPORT("delay-process") void *aio_delay_##function(aio_model *aio_given) { return aio_delayed(aio_given, function); }
#define AIO_FILTER(function) \
  AIO_EXPORT("filter-process") void *aio_filter_##function(aio_model *aio_given) { return aio_judged(aio_given, function); }
/* A branch that takes bytes alone and pictures too. */
#define AIO_BRANCH_ANY(function)                                                                            \
  AIO_EXPORT("branch-process") void *aio_branch_##function(aio_clock *aio_given) {                              \
    aio_verdict *aio_made = flowrt_alloc(sizeof *aio_made);                                                 \
    *aio_made = (aio_verdict){0, {.yes = function((aio_model *)(aio_given + 1))}};                                \
    return aio_made;                                                                                        \
  }
#define AIO_BRANCH(function)                                                    \
  AIO_EXPORT("branch-process") void *aio_branch_##function(aio_clock *aio_given) {  \
    return aio_judged((aio_model *)(aio_given + 1), function);                      \
  }

#endif
