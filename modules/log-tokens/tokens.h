/* A log line as numbers: its first words, each hashed to one of 1023 numbers; 0 fills up.
 *
 * A word is a run of letters (and of bytes above 127), in lower case; a run of digits counts as the word "#". All else
 * divides words. The payload is the line itself, or JSON with the line at `message`.
 */
#ifndef LOG_TOKENS_H
#define LOG_TOKENS_H

#include "flowrt.h"

#define TOKENS 48
#define BUCKETS 1023

static inline uint32_t token_step(uint32_t hash, uint8_t byte) { return (hash ^ byte) * 16777619u; } /* FNV-1a */

enum { TOKEN_SPACE, TOKEN_LETTER, TOKEN_DIGIT };

static inline uint32_t token_kind(uint8_t byte) {
  if (byte >= '0' && byte <= '9') return TOKEN_DIGIT;
  return ((byte | 32) >= 'a' && (byte | 32) <= 'z') || byte > 127 ? TOKEN_LETTER : TOKEN_SPACE;
}

static inline void tokens_of(flowrt_text line, int32_t tokens[TOKENS]) {
  uint32_t count = 0, at = 0;
  while (at < line.size && count < TOKENS) {
    uint32_t kind = token_kind((uint8_t)line.data[at]), hash = 2166136261u;
    uint32_t start = at;
    while (at < line.size && token_kind((uint8_t)line.data[at]) == kind) at++;
    if (kind == TOKEN_SPACE) continue;
    if (kind == TOKEN_DIGIT)
      hash = token_step(hash, '#');
    else
      for (uint32_t i = start; i < at; i++) {
        uint8_t byte = (uint8_t)line.data[i];
        hash = token_step(hash, byte < 128 ? byte | 32 : byte);
      }
    tokens[count++] = (int32_t)(1 + hash % BUCKETS);
  }
  while (count < TOKENS) tokens[count++] = 0;
}

/* False when the message failed. */
static inline bool tokens_take(const flowrt_message *message, int32_t tokens[TOKENS]) {
  flowrt_text line = flowrt_payload(message);
  if (line.size && line.data[0] == '{') {
    const char *key = "message";
    flowrt_text value;
    if (!flowrt_json_find(line, &key, 1, &value)) return flowrt_fail("the payload is no JSON object"), false;
    line = value.data ? flowrt_json_as_text(value) : value;
    if (!line.data) return flowrt_fail("no text at message"), false;
  }
  if (!line.size) return flowrt_fail("the line is empty"), false;
  return tokens_of(line, tokens), true;
}

#endif
