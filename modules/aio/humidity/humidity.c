/* Figures of the readings {"humidity":{"value":n}} of one logical time: count, max, min, average, last. */
#include "../statistics.h"

static bool init(const aio_configuration *configuration) { return (void)configuration, true; }
AIO_INIT("accumulate", init)

static void fold(aio_message *staged, aio_model *models, uint32_t count) {
  double figures[FIGURES];
  if (!figures_of(aio_payload(staged), "humidity", figures)) return flowrt_fail("what was folded before is none of its own");
  for (uint32_t i = 0; i < count; i++) {
    aio_message *message = aio_message_of(&models[i]);
    static const char *const names[] = {"value"};
    flowrt_text found;
    double value;
    if (!message || !object_at(aio_payload(message), "humidity", names, 1, &found) || !flowrt_json_as_number(found, &value))
      return flowrt_fail("no number at humidity.value");
    add_figure(figures, value);
    take_place_of(staged, message);
  }
  flowrt_writer out = {0};
  write_figures(&out, "humidity", figures);
  flowrt_write(&out, "}}");
  aio_set_payload(staged, &out);
}
AIO_ACCUMULATE(fold)
