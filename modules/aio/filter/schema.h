/* JSON Schema, draft 7, as far as a message is judged by it: read where the schema's text lies, for each message anew.
 * A keyword that it does not know, `format` and `contentEncoding` among them, is for people. */
#ifndef SCHEMA_H
#define SCHEMA_H

#include "pattern.h"

#define DEPTH_MAX 48 /* of schemas within schemas, references followed too: what 16 KiB of stack bear */

enum {
  TYPE, ENUM, CONST, MINIMUM, MAXIMUM, ABOVE, BELOW, MULTIPLE, MIN_LENGTH, MAX_LENGTH, MIN_ITEMS, MAX_ITEMS, UNIQUE, ITEMS,
  MORE_ITEMS, CONTAINS, PROPERTIES, REQUIRED, MORE_PROPERTIES, MIN_PROPERTIES, MAX_PROPERTIES, NAMES, ALL, ANY, ONE, NOT, IF,
  THEN, ELSE, REFERENCE, PATTERN, PATTERNS, DEPENDENCIES, KEYWORDS
};
static const char *const keywords[KEYWORDS] = {
    "type", "enum", "const", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength",
    "maxLength", "minItems", "maxItems", "uniqueItems", "items", "additionalItems", "contains", "properties", "required",
    "additionalProperties", "minProperties", "maxProperties", "propertyNames", "allOf", "anyOf", "oneOf", "not", "if", "then",
    "else", "$ref", "pattern", "patternProperties", "dependencies"};

static flowrt_text whole; /* the schema, for references into it */
static const char *wrong; /* what of the schema cannot be used */

/* ---- members of checked JSON ---- */

typedef struct {
  const char *at, *end;
  flowrt_text key, value; /* the key with its quotes; data is NULL in an array */
} walk;

static walk begin(flowrt_text value) { return (walk){value.data + 1, value.data + value.size, {0}, {0}}; }

/* The next member of an object or array; false behind the last. */
static bool step(walk *w) {
  const char *at = flowrt_json_space(w->at, w->end);
  if (*at == ',') at = flowrt_json_space(at + 1, w->end);
  if (*at == '}' || *at == ']') return false;
  const bool object = w->value.data ? w->key.data != NULL : *(w->at - 1) == '{';
  if (object) {
    const char *after = flowrt_json_string(at, w->end);
    w->key = (flowrt_text){at, (uint32_t)(after - at)};
    at = flowrt_json_space(flowrt_json_space(after, w->end) + 1, w->end);
  }
  w->at = flowrt_json_value(at, w->end, 1);
  w->value = (flowrt_text){at, (uint32_t)(w->at - at)};
  return true;
}

static uint32_t count(flowrt_text value) {
  uint32_t found = 0;
  for (walk w = begin(value); step(&w);) found++;
  return found;
}

static bool is_number(flowrt_text value) { return *value.data == '-' || (*value.data >= '0' && *value.data <= '9'); }

static double number(flowrt_text value) {
  double found = 0;
  flowrt_json_as_number(value, &found);
  return found;
}

static uint32_t piece(const char **at, const char *end, char out[4]) {
  return **at == '\\' ? flowrt_json_unescape(at, end, out) : (out[0] = *(*at)++, 1u);
}

/* Whether two strings, with their quotes, mean the same. */
static bool same_text(flowrt_text a, flowrt_text b) {
  const char *one = a.data + 1, *one_end = a.data + a.size - 1, *two = b.data + 1, *two_end = b.data + b.size - 1;
  char left[4], right[4];
  uint32_t left_size = 0, right_size = 0, i = 0, j = 0;
  while (true) {
    if (i == left_size) i = 0, left_size = one < one_end ? piece(&one, one_end, left) : 0;
    if (j == right_size) j = 0, right_size = two < two_end ? piece(&two, two_end, right) : 0;
    if (!left_size || !right_size) return left_size == right_size && one == one_end && two == two_end;
    if (left[i++] != right[j++]) return false;
  }
}

/* The value at a key, given with its quotes; the last, where it stands twice. */
static flowrt_text member(flowrt_text object, flowrt_text key) {
  flowrt_text found = {0};
  for (walk w = begin(object); step(&w);)
    if (same_text(w.key, key)) found = w.value;
  return found;
}

static bool equal(flowrt_text a, flowrt_text b) {
  if (flowrt_same(a, b)) return true;
  if (is_number(a)) return is_number(b) && number(a) == number(b);
  if (*a.data != *b.data || (*a.data != '{' && *a.data != '[')) return *a.data == '"' && *b.data == '"' && same_text(a, b);
  if (count(a) != count(b)) return false;
  walk other = begin(b);
  for (walk w = begin(a); step(&w);) {
    flowrt_text beside = *a.data == '{' ? member(b, w.key) : (step(&other), other.value);
    if (!beside.data || !equal(w.value, beside)) return false;
  }
  return true;
}

/* ---- one keyword each ---- */

static bool valid(flowrt_text schema, flowrt_text value, uint32_t depth);

static bool of_type(flowrt_text name, flowrt_text value) {
  static const char firsts[] = "{[\"tfn";
  static const char *const names[] = {"object", "array", "string", "boolean", "boolean", "null"};
  for (uint32_t i = 0; firsts[i]; i++)
    if (*value.data == firsts[i]) return flowrt_json_means(name.data + 1, name.data + name.size - 1, names[i]);
  if (flowrt_json_means(name.data + 1, name.data + name.size - 1, "number")) return true;
  return flowrt_json_means(name.data + 1, name.data + name.size - 1, "integer") && __builtin_trunc(number(value)) == number(value);
}

static bool one_of(flowrt_text values, flowrt_text value) {
  for (walk w = begin(values); step(&w);)
    if (equal(w.value, value)) return true;
  return false;
}

static bool typed(flowrt_text type, flowrt_text value) {
  if (*type.data == '"') return of_type(type, value);
  for (walk w = begin(type); step(&w);)
    if (of_type(w.value, value)) return true;
  return false;
}

static bool within(const flowrt_text *of, flowrt_text value) {
  double found = number(value), parts = of[MULTIPLE].data ? found / number(of[MULTIPLE]) : 0;
  double off = parts - __builtin_trunc(parts + (parts < 0 ? -0.5 : 0.5));
  return (!of[MINIMUM].data || found >= number(of[MINIMUM])) && (!of[MAXIMUM].data || found <= number(of[MAXIMUM])) &&
         (!of[ABOVE].data || found > number(of[ABOVE])) && (!of[BELOW].data || found < number(of[BELOW])) && off < 1e-9 &&
         off > -1e-9;
}

static bool sized(flowrt_text least, flowrt_text most, uint32_t size) {
  return (!least.data || size >= number(least)) && (!most.data || size <= number(most));
}

static uint32_t characters(flowrt_text quoted) {
  const char *at = quoted.data + 1, *end = quoted.data + quoted.size - 1;
  uint32_t found = 0;
  for (char out[4]; at < end && piece(&at, end, out);) found += ((uint8_t)out[0] & 0xC0) != 0x80;
  return found;
}

static bool unique(flowrt_text array) {
  for (walk w = begin(array); step(&w);)
    for (walk later = w; step(&later);)
      if (equal(w.value, later.value)) return false;
  return true;
}

static bool items(const flowrt_text *of, flowrt_text value, uint32_t depth) {
  const bool listed = of[ITEMS].data && *of[ITEMS].data == '[';
  walk schemas = listed ? begin(of[ITEMS]) : (walk){0};
  bool more = listed, found = !of[CONTAINS].data;
  for (walk w = begin(value); step(&w);) {
    if (more) more = step(&schemas);
    flowrt_text schema = more ? schemas.value : listed ? of[MORE_ITEMS] : of[ITEMS];
    if (schema.data && !valid(schema, w.value, depth)) return false;
    if (!found) found = valid(of[CONTAINS], w.value, depth);
  }
  return found && sized(of[MIN_ITEMS], of[MAX_ITEMS], count(value)) &&
         (!of[UNIQUE].data || *of[UNIQUE].data != 't' || unique(value));
}

/* Whether a member fits the schemas of all patterns that its name fits; `known` when there is one. */
static bool patterned(flowrt_text patterns, const walk *member_of, uint32_t depth, bool *known) {
  for (walk w = begin(patterns); step(&w);) {
    if (!pattern_found(w.key, member_of->key)) continue;
    *known = true;
    if (!valid(w.value, member_of->value, depth)) return false;
  }
  return true;
}

static bool has_all(flowrt_text names, flowrt_text value) {
  for (walk w = begin(names); step(&w);)
    if (!member(value, w.value).data) return false;
  return true;
}

static bool depended(flowrt_text dependencies, flowrt_text value, uint32_t depth) {
  for (walk w = begin(dependencies); step(&w);) {
    if (!member(value, w.key).data) continue;
    if (*w.value.data == '[' ? !has_all(w.value, value) : !valid(w.value, value, depth)) return false;
  }
  return true;
}

static bool properties(const flowrt_text *of, flowrt_text value, uint32_t depth) {
  for (walk w = begin(value); step(&w);) {
    flowrt_text schema = of[PROPERTIES].data ? member(of[PROPERTIES], w.key) : (flowrt_text){0};
    bool known = schema.data;
    if (of[PATTERNS].data && !patterned(of[PATTERNS], &w, depth, &known)) return false;
    if (!known) schema = of[MORE_PROPERTIES];
    if (schema.data && !valid(schema, w.value, depth)) return false;
    if (of[NAMES].data && !valid(of[NAMES], w.key, depth)) return false;
  }
  if (of[REQUIRED].data && !has_all(of[REQUIRED], value)) return false;
  if (of[DEPENDENCIES].data && !depended(of[DEPENDENCIES], value, depth)) return false;
  return sized(of[MIN_PROPERTIES], of[MAX_PROPERTIES], count(value));
}

/* How many of a list of schemas a value fits; at most `enough`. */
static uint32_t fitting(flowrt_text schemas, flowrt_text value, uint32_t depth, uint32_t enough) {
  uint32_t found = 0;
  for (walk w = begin(schemas); found < enough && step(&w);) found += valid(w.value, value, depth);
  return found;
}

static bool combined(const flowrt_text *of, flowrt_text value, uint32_t depth) {
  if (of[ALL].data && fitting(of[ALL], value, depth, UINT32_MAX) != count(of[ALL])) return false;
  if (of[ANY].data && !fitting(of[ANY], value, depth, 1)) return false;
  if (of[ONE].data && fitting(of[ONE], value, depth, 2) != 1) return false;
  if (of[NOT].data && valid(of[NOT], value, depth)) return false;
  if (!of[IF].data) return true;
  flowrt_text then = of[valid(of[IF], value, depth) ? THEN : ELSE];
  return !then.data || valid(then, value, depth);
}

/* What "#/definitions/x" leads to; data is NULL where it leads nowhere. */
static flowrt_text referred(flowrt_text reference) {
  flowrt_text path = flowrt_json_as_text(reference), found = whole;
  if (!path.size || *path.data != '#') return (flowrt_text){0};
  for (uint32_t at = 1; at < path.size && found.data;) {
    flowrt_writer key = {0};
    flowrt_write(&key, "\"");
    for (at++; at < path.size && path.data[at] != '/'; at++) {
      bool escaped = path.data[at] == '~' && at + 1 < path.size;
      char byte = !escaped ? path.data[at] : path.data[++at] == '1' ? '/' : '~';
      flowrt_write_text(&key, (flowrt_text){&byte, 1});
    }
    flowrt_write(&key, "\"");
    found = *found.data == '{' ? member(found, flowrt_written(&key)) : (flowrt_text){0};
  }
  return found;
}

/* The keywords of a schema. One schema of each depth is in use at a time. */
static flowrt_text *keywords_of(flowrt_text schema, uint32_t depth) {
  static flowrt_text kept[DEPTH_MAX][KEYWORDS];
  flowrt_text *of = kept[depth];
  for (uint32_t i = 0; i < KEYWORDS; i++) of[i] = (flowrt_text){0};
  for (walk w = begin(schema); step(&w);)
    for (uint32_t i = 0; i < KEYWORDS; i++)
      if (flowrt_json_means(w.key.data + 1, w.key.data + w.key.size - 1, keywords[i])) of[i] = w.value;
  return of;
}

/* Whether a value fits a schema; both are checked JSON. One that is nested too deep fits none. */
static bool valid(flowrt_text schema, flowrt_text value, uint32_t depth) {
  if (*schema.data != '{') return *schema.data == 't';
  if (depth >= DEPTH_MAX) return false;
  flowrt_text *of = keywords_of(schema, depth);
  if (of[REFERENCE].data) return valid(referred(of[REFERENCE]), value, depth + 1);
  if (of[TYPE].data && !typed(of[TYPE], value)) return false;
  if (of[CONST].data && !equal(of[CONST], value)) return false;
  if (of[ENUM].data && !one_of(of[ENUM], value)) return false;
  if (is_number(value) && !within(of, value)) return false;
  if (*value.data == '"' && !sized(of[MIN_LENGTH], of[MAX_LENGTH], characters(value))) return false;
  if (*value.data == '"' && of[PATTERN].data && !pattern_found(of[PATTERN], value)) return false;
  if (*value.data == '[' && !items(of, value, depth + 1)) return false;
  if (*value.data == '{' && !properties(of, value, depth + 1)) return false;
  return combined(of, value, depth + 1);
}

/* ---- whether a schema can be used ---- */

static bool usable(flowrt_text schema, uint32_t depth);

static bool all_usable(flowrt_text schemas, uint32_t depth) {
  for (walk w = begin(schemas); step(&w);)
    if (!usable(w.value, depth)) return false;
  return true;
}

static bool refuse(const char *words) { return wrong = words, false; }

static const char *const unusable_pattern =
    "a pattern in it is damaged, too long, or has a back reference, look-around or \\p, which are not supported";

/* Keys that are patterns, or the names that others depend on, each with a schema; a dependency may be a list as well. */
static bool keyed_usable(flowrt_text schemas, bool patterns, uint32_t depth) {
  if (*schemas.data != '{') return refuse("patternProperties or dependencies is no object");
  for (walk w = begin(schemas); step(&w);) {
    if (patterns && !pattern_of(w.key)) return refuse(unusable_pattern);
    if (!patterns && *w.value.data == '[') continue;
    if (!usable(w.value, depth)) return false;
  }
  return true;
}

static bool usable(flowrt_text schema, uint32_t depth) {
  static const uint8_t one[] = {MORE_ITEMS, CONTAINS, MORE_PROPERTIES, NAMES, NOT, IF, THEN, ELSE};
  static const uint8_t several[] = {ALL, ANY, ONE};
  static const uint8_t numbers[] = {MINIMUM, MAXIMUM, ABOVE, BELOW, MULTIPLE, MIN_LENGTH, MAX_LENGTH, MIN_ITEMS, MAX_ITEMS,
                                    MIN_PROPERTIES, MAX_PROPERTIES};
  if (*schema.data == 't' || *schema.data == 'f') return true;
  if (*schema.data != '{') return refuse("a schema in it is neither an object nor true or false");
  if (depth >= DEPTH_MAX) return refuse("its schemas are nested too deep");
  flowrt_text *of = keywords_of(schema, depth);
  if (of[PATTERN].data && (*of[PATTERN].data != '"' || !pattern_of(of[PATTERN]))) return refuse(unusable_pattern);
  if (of[REFERENCE].data && !referred(of[REFERENCE]).data) return refuse("a $ref leads nowhere; it begins with #");
  if (of[TYPE].data && *of[TYPE].data != '"' && *of[TYPE].data != '[') return refuse("type is no text and no list");
  if (of[ENUM].data && *of[ENUM].data != '[') return refuse("enum is no list");
  if (of[REQUIRED].data && *of[REQUIRED].data != '[') return refuse("required is no list");
  if (of[PROPERTIES].data && *of[PROPERTIES].data != '{') return refuse("properties is no object");
  if (of[MULTIPLE].data && !(number(of[MULTIPLE]) > 0)) return refuse("multipleOf is not above 0");
  for (uint32_t i = 0; i < sizeof numbers; i++)
    if (of[numbers[i]].data && !is_number(of[numbers[i]])) return refuse("a bound in it is no number");
  for (uint32_t i = 0; i < sizeof one; i++)
    if (of[one[i]].data && !usable(of[one[i]], depth + 1)) return false;
  for (uint32_t i = 0; i < sizeof several; i++) {
    if (!of[several[i]].data) continue;
    if (*of[several[i]].data != '[') return refuse("allOf, anyOf and oneOf are lists");
    if (!all_usable(of[several[i]], depth + 1)) return false;
  }
  if (of[PATTERNS].data && !keyed_usable(of[PATTERNS], true, depth + 1)) return false;
  if (of[DEPENDENCIES].data && !keyed_usable(of[DEPENDENCIES], false, depth + 1)) return false;
  if (of[ITEMS].data && !(*of[ITEMS].data == '[' ? all_usable(of[ITEMS], depth + 1) : usable(of[ITEMS], depth + 1))) return false;
  return !of[PROPERTIES].data || all_usable(of[PROPERTIES], depth + 1);
}

/* Takes a schema's text, which has to stay. False, and `wrong` says why. */
static bool schema_of(flowrt_text text) {
  const char *end = text.data + text.size, *at = flowrt_json_space(text.data, end), *after = flowrt_json_value(at, end, 0);
  if (!after || flowrt_json_space(after, end) != end) return refuse("it is not JSON");
  whole = (flowrt_text){at, (uint32_t)(after - at)};
  return usable(whole, 0);
}

/* Whether a payload is JSON that fits the schema. */
static bool fits(flowrt_text payload) {
  const char *end = payload.data + payload.size, *at = flowrt_json_space(payload.data, end);
  const char *after = flowrt_json_value(at, end, 0);
  if (!after || flowrt_json_space(after, end) != end) return false;
  return valid(whole, (flowrt_text){at, (uint32_t)(after - at)}, 0);
}

#endif
