/* pump-features: readings of eight pump sensors as JSON in, the 24 features of a sliding window as a tensor out.
 *
 * {"accelerometer1": 0.02, …, "flow": 32.1} -> features f32[24]; window.h defines them. While a window fills, nothing
 * comes out. A reading that lacks a sensor, or has no number for one, fails with the sensor's name.
 * Properties: window (16), topics (64).
 */
#include "window.h"

FLOWRT_DECLARE({"input": [], "output": [{"name": "features", "type": "f32", "shape": [24]}]});

static void on_message(const flowrt_message *message) {
  float *features = flowrt_alloc(3 * SENSORS * sizeof(float));
  if (!features) return flowrt_fail("the module is out of memory");
  if (window_take(message, features)) flowrt_emit_as(features, 3 * SENSORS * sizeof(float), NULL);
}

static flowrt_span save(void) { return topics_save(&windows); }

FLOWRT_INIT(windows_init)
FLOWRT_MAP(on_message)
FLOWRT_SAVE(save, windows_restore)
