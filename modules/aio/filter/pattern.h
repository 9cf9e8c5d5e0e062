/* Regular expressions as `pattern` has them: ECMA 262, without back references, look-around and \p. Of the schema's text they are
 * compiled to a small program, whose states are followed side by side: a text costs its length times the program's, whatever
 * the pattern. The program of the last pattern is kept. */
#ifndef PATTERN_H
#define PATTERN_H

#include "aio.h"

#define PATTERN_MAX 512  /* characters */
#define PROGRAM_MAX 1024 /* instructions; {n} writes out what it repeats n times */
#define GROUPS_MAX 8     /* within each other */
#define REPEATS_MAX 1000
#define NO_POINT 0xFFFFFFFFu

enum { POINT, CLASS, SPLIT, JUMP, BEGIN, END, BORDER, INSIDE, FOUND };

typedef struct {
  uint16_t kind, x, y; /* x: where to go on, of SPLIT and JUMP, or where a class begins in the pattern; y: the other way */
  uint32_t point;
} pattern_step;

static struct {
  const char *of; /* the pattern that this is the program of */
  uint32_t text[PATTERN_MAX], size;
  pattern_step steps[PROGRAM_MAX];
  uint32_t made;
  uint32_t seen[PROGRAM_MAX], mark; /* states of the present place */
  uint16_t now[PROGRAM_MAX], next[PROGRAM_MAX], due[2 * PROGRAM_MAX + 2];
  bool bad;
} regex;

/* The next character of checked JSON, escapes undone. */
static uint32_t next_point(const char **at, const char *end) {
  char bytes[4] = {0};
  const char *from = *at;
  uint32_t size = 1;
  if (*from == '\\') {
    size = flowrt_json_unescape(at, end, bytes);
    if (!size) return *at += *at == from, 0xFFFD; /* half a surrogate pair */
  } else {
    uint8_t first = (uint8_t)*from;
    size = first < 0xC0 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
    for (uint32_t i = 0; i < size; i++) bytes[i] = *(*at)++;
  }
  uint32_t point = size == 1 ? (uint8_t)bytes[0] : (uint8_t)bytes[0] & (0x7Fu >> size);
  for (uint32_t i = 1; i < size; i++) point = point << 6 | ((uint8_t)bytes[i] & 0x3F);
  return point;
}

/* ---- classes ---- */

static bool is_word(uint32_t point) {
  return (point | 32) - 'a' < 26u || point - '0' < 10u || point == '_';
}

static bool is_space(uint32_t point) {
  return point - 9 < 5u || point == ' ' || point == 0xA0 || point == 0x1680 || point - 0x2000 < 11u || point - 0x2028 < 2u ||
         point == 0x202F || point == 0x205F || point == 0x3000 || point == 0xFEFF;
}

static int32_t hex_at(uint32_t at, uint32_t digits) {
  int32_t value = 0;
  for (uint32_t i = 0; i < digits; i++) {
    uint32_t point = at + i < regex.size ? regex.text[at + i] : 0, low = point | 32;
    int32_t digit = point - '0' < 10u ? (int32_t)(point - '0') : low - 'a' < 6u ? (int32_t)(low - 'a') + 10 : -1;
    if (digit < 0) return -1;
    value = value << 4 | digit;
  }
  return value;
}

/* The character behind a backslash at `at`, and past it; NO_POINT for a class (d, w, s and their opposites). */
static uint32_t escaped(uint32_t *at) {
  static const char names[] = "tnvfr0", means[] = "\t\n\v\f\r\0";
  uint32_t point = regex.text[(*at)++];
  for (uint32_t i = 0; names[i]; i++)
    if (point == (uint8_t)names[i]) return (uint8_t)means[i];
  uint32_t low = point | 32;
  if (low == 'd' || low == 'w' || low == 's') return NO_POINT;
  if (point == 'x' || point == 'u') {
    uint32_t digits = point == 'x' ? 2 : 4;
    int32_t value = hex_at(*at, digits);
    if (value < 0) return regex.bad = true, 0;
    return *at += digits, (uint32_t)value;
  }
  if (low - 'a' < 26u || point - '0' < 10u) regex.bad = true; /* a back reference, \p, or nothing that is known */
  return point;
}

static bool in_named(uint32_t name, uint32_t point) {
  uint32_t low = name | 32;
  bool is = low == 'd' ? point - '0' < 10u : low == 'w' ? is_word(point) : is_space(point);
  return is == (name == low);
}

/* Whether a point is in the class that begins at `at`: a dot, \d and its like, or brackets. */
static bool in_class(uint32_t at, uint32_t point) {
  if (regex.text[at] == '.') return point != '\n' && point != '\r' && point - 0x2028 >= 2u;
  if (regex.text[at] == '\\') return in_named(regex.text[at + 1], point);
  bool negated = regex.text[++at] == '^', found = false;
  at += negated;
  for (bool first = true; first || regex.text[at] != ']'; first = false) {
    if (regex.text[at] == ']') break;
    uint32_t low = regex.text[at++], high;
    if (low == '\\') {
      uint32_t name = regex.text[at];
      if (name == 'b') low = 8, at++;
      else if (name == '-') low = '-', at++;
      else if ((low = escaped(&at)) == NO_POINT) {
        found |= in_named(name, point);
        continue;
      }
    }
    high = low;
    if (regex.text[at] == '-' && regex.text[at + 1] != ']') {
      high = regex.text[++at], at++;
      if (high == '\\' && (high = regex.text[at] == '-' ? (at++, (uint32_t)'-') : escaped(&at)) == NO_POINT) high = low;
    }
    found |= point >= low && point <= high;
  }
  return found != negated;
}

/* Past the brackets that begin at `at`; 0 where they do not end. */
static uint32_t past_class(uint32_t at) {
  for (at++; at < regex.size; at++) {
    if (regex.text[at] == '\\') at++;
    else if (regex.text[at] == ']') return at + 1;
  }
  return 0;
}

/* ---- compiling ---- */

static void emit(uint32_t kind, uint32_t x, uint32_t point) {
  if (regex.made == PROGRAM_MAX) regex.bad = true;
  else regex.steps[regex.made++] = (pattern_step){(uint16_t)kind, (uint16_t)x, 0, point};
}

/* Past what a repetition behind it would repeat. */
static uint32_t past_atom(uint32_t at) {
  if (regex.text[at] == '\\') {
    uint32_t after = at + 1;
    if (after == regex.size) return regex.bad = true, regex.size;
    if (regex.text[after] == 'b' || regex.text[after] == 'B') return after + 1;
    escaped(&after);
    return after;
  }
  uint32_t open = 0;
  do {
    if (regex.text[at] == '\\') at++;
    else if (regex.text[at] == '[') {
      at = past_class(at);
      if (!at--) break;
    } else if (regex.text[at] == '(') open++;
    else if (regex.text[at] == ')') open--;
    at++;
  } while (open && at < regex.size);
  if (open || !at || at > regex.size) return regex.bad = true, regex.size;
  return at;
}

static void compile(uint32_t from, uint32_t to, uint32_t depth);

static void compile_atom(uint32_t from, uint32_t to, uint32_t depth) {
  uint32_t point = regex.text[from], at = from + 1;
  if (point == '(') {
    bool silent = to - from > 3 && regex.text[from + 1] == '?';
    if (silent && regex.text[from + 2] != ':') regex.bad = true; /* look-around, a name */
    compile(from + (silent ? 3 : 1), to - 1, depth + 1);
  } else if (point == '^') emit(BEGIN, 0, 0);
  else if (point == '$') emit(END, 0, 0);
  else if (point == '.' || point == '[') emit(CLASS, from, 0);
  else if (point == '\\' && (regex.text[at] == 'b' || regex.text[at] == 'B')) emit(regex.text[at] == 'b' ? BORDER : INSIDE, 0, 0);
  else if (point != '\\') {
    if (point == '*' || point == '+' || point == '?' || point == ')') regex.bad = true;
    emit(POINT, 0, point);
  } else {
    point = escaped(&at);
    emit(point == NO_POINT ? CLASS : POINT, from, point);
  }
}

static bool digits(uint32_t *at, uint32_t *value) {
  uint32_t from = *at;
  for (*value = 0; *at < regex.size && regex.text[*at] - '0' < 10u; (*at)++)
    if (*value <= REPEATS_MAX) *value = *value * 10 + regex.text[*at] - '0';
  return *at > from;
}

/* How often: past the repetition at `at`, if there is one. `most` 0: without end. */
static uint32_t repetition(uint32_t at, uint32_t *least, uint32_t *most) {
  uint32_t sign = at < regex.size ? regex.text[at] : 0;
  *least = *most = 1;
  if (sign == '*') *least = *most = 0;
  else if (sign == '+') *most = 0;
  else if (sign == '?') *least = 0;
  else if (sign == '{') {
    uint32_t after = at + 1;
    if (!digits(&after, least)) return at; /* a brace that means itself */
    *most = *least;
    if (after < regex.size && regex.text[after] == ',' && (after++, !digits(&after, most))) *most = 0;
    else if (*most < *least || *most > REPEATS_MAX || !*most) regex.bad = true;
    if (after == regex.size || regex.text[after] != '}' || *least > REPEATS_MAX) regex.bad = true;
    at = after;
  } else return at;
  at++;
  return at < regex.size && regex.text[at] == '?' ? at + 1 : at; /* how greedy it is does not matter to whether it fits */
}

static void compile_repeated(uint32_t from, uint32_t to, uint32_t least, uint32_t most, uint32_t depth) {
  for (uint32_t i = 0; i < least && !regex.bad; i++) compile_atom(from, to, depth);
  if (!most) {
    uint32_t loop = regex.made;
    emit(SPLIT, loop + 1, 0);
    compile_atom(from, to, depth);
    emit(JUMP, loop, 0);
    if (!regex.bad) regex.steps[loop].y = (uint16_t)regex.made;
    return;
  }
  uint32_t first = regex.made;
  for (uint32_t i = least; i < most && !regex.bad; i++) {
    emit(SPLIT, regex.made + 1, 0);
    compile_atom(from, to, depth);
  }
  uint32_t apart = most > least ? (regex.made - first) / (most - least) : 1;
  for (uint32_t at = first; !regex.bad && at < regex.made; at += apart) regex.steps[at].y = (uint16_t)regex.made;
}

/* The end of the alternative that begins at `at`. */
static uint32_t alternative_end(uint32_t at, uint32_t to) {
  while (at < to && regex.text[at] != '|' && !regex.bad) at = past_atom(at);
  return at;
}

static void compile(uint32_t from, uint32_t to, uint32_t depth) {
  uint32_t leave = NO_POINT; /* the last jump to the end; each holds the one before in y */
  if (depth > GROUPS_MAX) regex.bad = true;
  for (uint32_t at = from; !regex.bad;) {
    uint32_t end = alternative_end(at, to), split = regex.made, least, most;
    if (end < to) emit(SPLIT, split + 1, 0);
    while (at < end && !regex.bad) {
      uint32_t after = past_atom(at), next = repetition(after, &least, &most);
      compile_repeated(at, after, least, most, depth);
      at = next;
    }
    if (end >= to) break;
    emit(JUMP, 0, leave);
    leave = regex.made - 1, at = end + 1;
    if (!regex.bad) regex.steps[split].y = (uint16_t)regex.made;
  }
  while (leave != NO_POINT && !regex.bad) {
    uint32_t before = regex.steps[leave].point;
    regex.steps[leave].x = (uint16_t)regex.made;
    leave = before;
  }
}

/* Makes the program of a pattern, given with its quotes. False where it cannot be used. */
static bool pattern_of(flowrt_text quoted) {
  if (regex.of == quoted.data) return true;
  const char *at = quoted.data + 1, *end = quoted.data + quoted.size - 1;
  regex.of = NULL, regex.bad = false, regex.size = regex.made = 0;
  while (at < end) {
    if (regex.size == PATTERN_MAX - 2) return false;
    regex.text[regex.size++] = next_point(&at, end);
  }
  regex.text[regex.size] = regex.text[regex.size + 1] = 0;
  compile(0, regex.size, 0);
  emit(FOUND, 0, 0);
  if (!regex.bad) regex.of = quoted.data;
  return !regex.bad;
}

/* ---- looking ---- */

/* Adds a state and all that it leads to without a character. Whether that is the end of the pattern. */
static bool reach(uint32_t state, uint32_t before, uint32_t after, uint32_t *count) {
  uint32_t due = 0;
  regex.due[due++] = (uint16_t)state;
  while (due) {
    state = regex.due[--due];
    if (regex.seen[state] == regex.mark) continue;
    regex.seen[state] = regex.mark;
    const pattern_step *step = &regex.steps[state];
    bool border = (before != NO_POINT && is_word(before)) != (after != NO_POINT && is_word(after));
    if (step->kind == FOUND) return true;
    if (step->kind == POINT || step->kind == CLASS) regex.now[(*count)++] = (uint16_t)state;
    else if (step->kind == SPLIT || step->kind == JUMP) {
      regex.due[due++] = step->x;
      if (step->kind == SPLIT) regex.due[due++] = step->y;
    } else if (step->kind == BEGIN ? before == NO_POINT : step->kind == END ? after == NO_POINT : border == (step->kind == BORDER))
      regex.due[due++] = (uint16_t)(state + 1);
  }
  return false;
}

/* Whether a usable pattern is found anywhere in a string; both with their quotes, of checked JSON. */
static bool pattern_found(flowrt_text pattern, flowrt_text quoted) {
  const char *at = quoted.data + 1, *end = quoted.data + quoted.size - 1;
  uint32_t before = NO_POINT, waiting = 0;
  if (!pattern_of(pattern)) return false;
  for (;;) {
    uint32_t after = at < end ? next_point(&at, end) : NO_POINT, count = 0;
    regex.mark++;
    for (uint32_t i = 0; i < waiting; i++)
      if (reach(regex.next[i], before, after, &count)) return true;
    if (reach(0, before, after, &count)) return true;
    if (after == NO_POINT) return false;
    waiting = 0;
    for (uint32_t i = 0; i < count; i++) {
      const pattern_step *step = &regex.steps[regex.now[i]];
      if (step->kind == POINT ? step->point == after : in_class(step->x, after)) regex.next[waiting++] = (uint16_t)(regex.now[i] + 1);
    }
    before = after;
  }
}

#endif
