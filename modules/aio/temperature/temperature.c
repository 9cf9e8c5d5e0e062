/* Readings as {"temperature":{"value":72.5,"unit":"F"}}: to Celsius (map), within bounds (filter), told apart from others
 * (branch), and the figures of those of one logical time (accumulate), whose fields the map's output has already. */
#include "../statistics.h"

enum { UNIT = FIGURES, OVERTEMP, VALUE, FIELDS }; /* behind the figures */
static const char *const names[FIELDS] = {"count", "max", "min", "average", "last", "unit", "overtemp", "value"};

/* The fields of a reading. False, and failed, when there is none or it has no value or unit. */
static bool reading(aio_message *message, flowrt_text fields[FIELDS]) {
  static const char *const key[] = {"temperature"};
  flowrt_text inner;
  double value;
  if (!flowrt_json_find(aio_payload(message), key, 1, &inner)) return flowrt_fail("the payload is no JSON object"), false;
  if (!inner.data || !flowrt_json_find(inner, names, FIELDS, fields))
    return flowrt_fail("the payload has no object at temperature"), false;
  if (!flowrt_json_as_number(fields[VALUE], &value)) return flowrt_fail("no number at temperature.value"), false;
  if (!flowrt_json_as_text(fields[UNIT]).data) return flowrt_fail("no text at temperature.unit"), false;
  return true;
}

static bool is(flowrt_text field, const char *text) { return flowrt_same(flowrt_json_as_text(field), flowrt_literal(text)); }

static void to_celsius(aio_message *message) {
  flowrt_text fields[FIELDS];
  double value;
  if (!reading(message, fields)) return;
  flowrt_json_as_number(fields[VALUE], &value);
  if (is(fields[UNIT], "F"))
    value = (value - 32) * 5 / 9;
  else if (!is(fields[UNIT], "C"))
    return flowrt_fail("temperature.unit is neither F nor C");
  flowrt_writer out = {0};
  flowrt_write(&out, "{\"temperature\":{\"value\":");
  aio_write_number(&out, value);
  for (uint32_t i = COUNT; i <= LAST; i++) {
    double number = 0;
    flowrt_json_as_number(fields[i], &number);
    flowrt_write(&out, ",\"");
    flowrt_write(&out, names[i]);
    flowrt_write(&out, "\":");
    aio_write_number(&out, number);
    if (i != COUNT && number == 0) flowrt_write(&out, ".0");
  }
  bool overtemp = fields[OVERTEMP].data && fields[OVERTEMP].data[0] == 't';
  flowrt_write(&out, ",\"unit\":\"C\",\"overtemp\":");
  flowrt_write(&out, overtemp ? "true}}" : "false}}");
  aio_set_payload(message, &out);
  for (uint32_t i = 0; i < message->property_count; i++)
    if (flowrt_same(aio_text(&message->properties[i].key), flowrt_literal("test_property_key")))
      aio_set(&message->properties[i].value, flowrt_literal("new_value"));
}
AIO_MAP(to_celsius)

static bool map_init(const aio_configuration *configuration) { return (void)configuration, true; }
AIO_INIT("map", map_init)

static double lower = -40, upper = 3422;

static bool bound(const aio_configuration *configuration, const char *key, double *value) {
  flowrt_text text = aio_parameter_of(configuration, key);
  return !text.size || flowrt_json_as_number(text, value);
}

static bool filter_init(const aio_configuration *configuration) {
  return bound(configuration, "temperature_lower_bound", &lower) && bound(configuration, "temperature_upper_bound", &upper);
}
AIO_INIT("filter", filter_init)

static bool plausible(aio_message *message) {
  flowrt_text fields[FIELDS];
  double value;
  if (!reading(message, fields)) return false;
  flowrt_json_as_number(fields[VALUE], &value);
  return is(fields[UNIT], "C") && lower < value && value < upper;
}
AIO_FILTER(plausible)

static bool branch_init(const aio_configuration *configuration) { return (void)configuration, true; }
AIO_INIT("branch", branch_init)

static bool has_temperature(aio_message *message) {
  static const char *const key[] = {"temperature"};
  flowrt_text inner;
  return flowrt_json_find(aio_payload(message), key, 1, &inner) && inner.data;
}
AIO_BRANCH(has_temperature)

static bool accumulate_init(const aio_configuration *configuration) { return (void)configuration, true; }
AIO_INIT("accumulate", accumulate_init)

static void fold(aio_message *staged, aio_model *models, uint32_t count) {
  double figures[FIGURES];
  if (!figures_of(aio_payload(staged), "temperature", figures)) return flowrt_fail("what was folded before is none of its own");
  for (uint32_t i = 0; i < count; i++) {
    aio_message *message = aio_message_of(&models[i]);
    flowrt_text fields[FIELDS];
    double value;
    if (!message) return flowrt_fail("it takes messages only");
    if (!reading(message, fields)) return;
    flowrt_json_as_number(fields[VALUE], &value);
    add_figure(figures, value);
    take_place_of(staged, message);
  }
  flowrt_writer out = {0};
  write_figures(&out, "temperature", figures);
  flowrt_write(&out, ",\"unit\":\"C\"}}");
  aio_set_payload(staged, &out);
}
AIO_ACCUMULATE(fold)
