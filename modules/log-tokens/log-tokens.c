/* log-tokens: a line of a log as the numbers of its words, tokens i32[48] (tokens.h). */
#include "tokens.h"

FLOWRT_DECLARE({"input": [], "output": [{"name": "tokens", "type": "i32", "shape": [48]}]});

static void on_message(const flowrt_message *message) {
  int32_t *tokens = flowrt_alloc(TOKENS * sizeof *tokens);
  if (!tokens) return flowrt_fail("the module is out of memory");
  if (tokens_take(message, tokens)) flowrt_emit_as(tokens, TOKENS * sizeof *tokens, NULL);
}

FLOWRT_MAP(on_message)
