/* pump-verdict: the model's score and its share for each sensor in, a verdict with hysteresis as JSON out.
 *
 * score f32[1], errors f32[8] -> {"score":…,"alert":true|false,"since":…,"sensor":"flow"}; verdict.h says what they mean.
 * Properties: threshold (3.5), clear (0.8 × threshold), hold (3), only (unset, or "changes"), topics (64).
 */
#include "verdict.h"

FLOWRT_DECLARE({"input": [{"name": "score", "type": "f32", "shape": [1]}, {"name": "errors", "type": "f32", "shape": [8]}],
                "output": []});

static void on_message(const flowrt_message *message) {
  const void *score = flowrt_tensor_of(message, "score", FLOWRT_F32, 1);
  const void *errors = flowrt_tensor_of(message, "errors", FLOWRT_F32, SENSORS);
  if (!score) return flowrt_fail("the tensor `score` f32[1] is missing");
  if (!errors) return flowrt_fail("the tensor `errors` f32[8] is missing");
  float values[1 + SENSORS];
  __builtin_memcpy(values, score, sizeof(float));
  __builtin_memcpy(values + 1, errors, SENSORS * sizeof(float));
  verdict_emit(message, values[0], values + 1);
}

static flowrt_span save(void) { return topics_save(&verdicts); }

FLOWRT_INIT(verdicts_init)
FLOWRT_MAP(on_message)
FLOWRT_SAVE(save, verdicts_restore)
