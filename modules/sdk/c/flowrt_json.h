/* Reading JSON where it lies: nothing is copied, nothing allocated. Part of flowrt.h.
 *
 * A document is checked as a whole against RFC 8259 (grammar, escapes, UTF-8) before a value of it is used. Nesting ends
 * at 64. Of a key that appears twice the last counts, as in Python and JavaScript.
 */
#ifndef FLOWRT_JSON_H
#define FLOWRT_JSON_H

#define FLOWRT_JSON_DEPTH 64

static inline const char *flowrt_json_space(const char *at, const char *end) {
  while (at < end && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t')) at++;
  return at;
}

FLOWRT_COLD const char *flowrt_json_expect(const char *at, const char *end, const char *word) {
  for (; *word; word++, at++)
    if (at >= end || *at != *word) return NULL;
  return at;
}

/* One character of more than one byte. Past it, or NULL where it is not UTF-8: overlong, a surrogate, above U+10FFFF. */
FLOWRT_COLD const char *flowrt_utf8(const char *at, const char *end) {
  uint8_t first = (uint8_t)*at;
  int32_t more = first >= 0xF0 ? 3 : first >= 0xE0 ? 2 : 1;
  if (first < 0xC2 || first > 0xF4 || end - at <= more) return NULL;
  uint8_t low = 0x80, high = 0xBF, second = (uint8_t)at[1];
  if (first == 0xE0) low = 0xA0;
  if (first == 0xED) high = 0x9F;
  if (first == 0xF0) low = 0x90;
  if (first == 0xF4) high = 0x8F;
  if (second < low || second > high) return NULL;
  for (int32_t i = 2; i <= more; i++)
    if ((at[i] & 0xC0) != 0x80) return NULL;
  return at + more + 1;
}

static inline int32_t flowrt_hex(const char *at, const char *end) {
  int32_t value = 0;
  if (end - at < 4) return -1;
  for (int32_t i = 0; i < 4; i++) {
    uint8_t digit = (uint8_t)(at[i] - '0'), letter = (uint8_t)((at[i] | 32) - 'a');
    if (digit > 9 && letter > 5) return -1;
    value = value * 16 + (digit > 9 ? letter + 10 : digit);
  }
  return value;
}

FLOWRT_COLD const char *flowrt_json_escape(const char *at, const char *end) {
  if (end - at < 2) return NULL;
  if (at[1] == 'u') return flowrt_hex(at + 2, end) < 0 ? NULL : at + 6;
  for (const char *known = "\"\\/bfnrt"; *known; known++)
    if (at[1] == *known) return at + 2;
  return NULL;
}

/* Past the closing quote of the string that begins at `at`, or NULL. */
FLOWRT_COLD const char *flowrt_json_string(const char *at, const char *end) {
  if (at >= end || *at != '"') return NULL;
  for (at++; at && at < end && *at != '"';) {
    if (*at == '\\')
      at = flowrt_json_escape(at, end);
    else if ((uint8_t)*at >= 0x80)
      at = flowrt_utf8(at, end);
    else if ((uint8_t)*at < 0x20)
      return NULL;
    else
      at++;
  }
  return at && at < end ? at + 1 : NULL;
}

static const char *flowrt_json_value(const char *at, const char *end, uint32_t depth);

FLOWRT_COLD const char *flowrt_json_members(const char *at, const char *end, uint32_t depth, bool object) {
  const char close = object ? '}' : ']';
  at = flowrt_json_space(at + 1, end);
  if (at < end && *at == close) return at + 1;
  while (true) {
    if (object) {
      at = flowrt_json_string(flowrt_json_space(at, end), end);
      at = at ? flowrt_json_expect(flowrt_json_space(at, end), end, ":") : NULL;
    }
    at = at ? flowrt_json_value(flowrt_json_space(at, end), end, depth + 1) : NULL;
    if (!at) return NULL;
    at = flowrt_json_space(at, end);
    if (at < end && *at == close) return at + 1;
    if (at >= end || *at++ != ',') return NULL;
  }
}

/* Past the value that begins at `at`, or NULL where it is malformed or nested too deep. */
FLOWRT_COLD const char *flowrt_json_value(const char *at, const char *end, uint32_t depth) {
  if (at >= end || depth >= FLOWRT_JSON_DEPTH) return NULL;
  switch (*at) {
    case '{': return flowrt_json_members(at, end, depth, true);
    case '[': return flowrt_json_members(at, end, depth, false);
    case '"': return flowrt_json_string(at, end);
    case 't': return flowrt_json_expect(at, end, "true");
    case 'f': return flowrt_json_expect(at, end, "false");
    case 'n': return flowrt_json_expect(at, end, "null");
  }
  flowrt_decimal number;
  return flowrt_take_one(at, end, &number);
}

static inline int32_t flowrt_json_surrogate(const char *at, const char *end) {
  return end - at >= 6 && at[0] == '\\' && at[1] == 'u' ? flowrt_hex(at + 2, end) : -1;
}

/* The next byte or escape of a checked string as UTF-8 in `out`. How many bytes; 0 for half a surrogate pair. */
FLOWRT_COLD uint32_t flowrt_json_unescape(const char **at, const char *end, char out[4]) {
  const char *from = *at;
  *at = from + (*from != '\\' ? 1 : from[1] == 'u' ? 6 : 2);
  if (*from != '\\') return *out = *from, 1;
  static const char names[] = "bfnrt", values[] = "\b\f\n\r\t";
  for (uint32_t i = 0; names[i]; i++)
    if (from[1] == names[i]) return *out = values[i], 1;
  if (from[1] != 'u') return *out = from[1], 1;
  uint32_t point = (uint32_t)flowrt_hex(from + 2, end);
  if (point >= 0xD800 && point < 0xE000) {
    int32_t low = point < 0xDC00 ? flowrt_json_surrogate(*at, end) : -1;
    if (low < 0xDC00 || low > 0xDFFF) return 0;
    point = 0x10000 + ((point - 0xD800) << 10) + ((uint32_t)low - 0xDC00);
    *at += 6;
  }
  if (point < 0x80) return *out = (char)point, 1;
  uint32_t size = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
  static const uint8_t marks[] = {0, 0, 0xC0, 0xE0, 0xF0};
  for (uint32_t i = size; i-- > 1; point >>= 6) out[i] = (char)(0x80 | (point & 0x3F));
  out[0] = (char)(marks[size] | point);
  return size;
}

/* Whether a checked string (between its quotes) means this text. */
FLOWRT_COLD bool flowrt_json_means(const char *at, const char *end, const char *text) {
  while (at < end) {
    char piece[4];
    uint32_t size = *at == '\\' ? flowrt_json_unescape(&at, end, piece) : (piece[0] = *at++, 1u);
    if (!size) return false;
    for (uint32_t i = 0; i < size; i++)
      if (*text == 0 || *text++ != piece[i]) return false;
  }
  return *text == 0;
}

/* Checks a whole document that must be an object, and finds the values of some of its keys; data stays NULL where a key
 * is missing. False when the document is malformed. */
FLOWRT_COLD bool flowrt_json_find(flowrt_text document, const char *const keys[], uint32_t count, flowrt_text values[]) {
  const char *end = document.data + document.size, *at = flowrt_json_expect(flowrt_json_space(document.data, end), end, "{");
  for (uint32_t i = 0; i < count; i++) values[i] = (flowrt_text){0};
  if (!at) return false;
  at = flowrt_json_space(at, end);
  if (at < end && *at == '}') return flowrt_json_space(at + 1, end) == end;
  while (true) {
    const char *key = flowrt_json_space(at, end), *after = flowrt_json_string(key, end);
    at = after ? flowrt_json_expect(flowrt_json_space(after, end), end, ":") : NULL;
    const char *value = at ? flowrt_json_space(at, end) : NULL;
    at = value ? flowrt_json_value(value, end, 1) : NULL;
    if (!at) return false;
    for (uint32_t i = 0; i < count; i++)
      if (flowrt_json_means(key + 1, after - 1, keys[i])) values[i] = (flowrt_text){value, (uint32_t)(at - value)};
    at = flowrt_json_space(at, end);
    if (at < end && *at == '}') return flowrt_json_space(at + 1, end) == end;
    if (at >= end || *at++ != ',') return false;
  }
}

/* A value as a finite double, correctly rounded. False for what is no number, or too large for one. */
FLOWRT_COLD bool flowrt_json_as_number(flowrt_text value, double *number) {
  flowrt_decimal decimal;
  if (!value.data || flowrt_take_one(value.data, value.data + value.size, &decimal) != value.data + value.size) return false;
  *number = flowrt_decimal_value(&decimal);
  return *number - *number == 0;
}

/* The number at a key of a document that is an object. False when the document is malformed or there is none. */
static inline bool flowrt_json_number(flowrt_text document, const char *key, double *number) {
  flowrt_text value;
  return flowrt_json_find(document, &key, 1, &value) && flowrt_json_as_number(value, number);
}

/* The numbers of an array, at most `room`. How many, or -1 when it is no array of numbers or holds more. */
FLOWRT_COLD int32_t flowrt_json_as_numbers(flowrt_text value, double *numbers, uint32_t room) {
  if (!value.data) return -1;
  const char *end = value.data + value.size, *at = flowrt_json_expect(flowrt_json_space(value.data, end), end, "[");
  if (!at) return -1;
  at = flowrt_json_space(at, end);
  if (at < end && *at == ']') return at + 1 == end ? 0 : -1;
  for (uint32_t count = 0; count < room;) {
    flowrt_decimal decimal;
    at = flowrt_take_number(flowrt_json_space(at, end), end, &decimal);
    if (!at) return -1;
    numbers[count] = flowrt_decimal_value(&decimal);
    if (numbers[count] - numbers[count] != 0) return -1;
    count++;
    at = flowrt_json_space(at, end);
    if (at < end && *at == ']') return at + 1 == end ? (int32_t)count : -1;
    if (at >= end || *at++ != ',') return -1;
  }
  return -1;
}

/* A string value without its quotes and escapes, in the arena. data is NULL for what is no string or not Unicode. */
FLOWRT_COLD flowrt_text flowrt_json_as_text(flowrt_text value) {
  if (!value.data || flowrt_json_string(value.data, value.data + value.size) != value.data + value.size) return (flowrt_text){0};
  char *text = flowrt_alloc(value.size); /* an escape is never shorter than what it stands for */
  const char *at = value.data + 1, *end = value.data + value.size - 1;
  uint32_t size = 0;
  while (text && at < end) {
    char piece[4];
    uint32_t more = flowrt_json_unescape(&at, end, piece);
    if (!more) return (flowrt_text){0};
    for (uint32_t i = 0; i < more; i++) text[size++] = piece[i];
  }
  return (flowrt_text){text, size};
}

#endif
