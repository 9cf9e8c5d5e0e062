/* router: a branch that takes the arm "True" for messages with a user property of a given value, "False" for others.
 *
 * Properties: `property` ("kind"), its name, and `equals` ("alert"), its value.
 */
#include "flowrt.h"

static char name[256] = "kind", wanted[256] = "alert";

static bool take(const char *key, char text[256]) {
  flowrt_text found = flowrt_setting(key);
  if (!found.data) return true;
  if (found.size > 255) return flowrt_log(FLOWRT_ERROR, "property, equals: longer than 255 bytes"), false;
  __builtin_memcpy(text, found.data, found.size);
  return text[found.size] = 0, true;
}

static bool on_init(void) { return take("property", name) && take("equals", wanted); }

static bool on_message(const flowrt_message *message) {
  flowrt_text value = flowrt_property_of(message, name);
  return value.data && flowrt_same(value, flowrt_literal(wanted));
}

FLOWRT_INIT(on_init)
FLOWRT_BRANCH(on_message)
