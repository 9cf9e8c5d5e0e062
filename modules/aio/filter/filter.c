/* Lets messages pass whose payload is JSON that fits the first module schema (JSON Schema, draft 7). `init` refuses to start
 * without one, and one that it cannot judge by; the log says why. */
#include "schema.h"

static bool init(const aio_configuration *configuration) {
  if (!configuration->schema_count) {
    aio_log(AIO_ERROR, "filter", flowrt_literal("there is no module schema to judge messages by"));
    return false;
  }
  if (schema_of(configuration->schemas[0].content)) return true;
  aio_log(AIO_ERROR, "filter: the module schema cannot be used", flowrt_literal(wrong));
  return false;
}
AIO_INIT("filter", init)

static bool fitting_message(aio_message *message) { return fits(aio_payload(message)); }
AIO_FILTER(fitting_message)
