/* vibration-window: samples of an accelerometer as the spectra of overlapping windows, spectrum f32[128].
 *
 * The payload holds samples, i16 little-endian, however many; each topic has a window of its own. Whenever 128 new ones
 * have come and the last 256 are there, one spectrum comes out: the magnitudes of the first 128 frequencies (the mean is
 * taken off, a Hann window laid over), in parts of full scale. Properties: topics (64).
 */
#include "../pump-features/topics.h"

#define LENGTH 256
#define HOP 128
#define LEVELS 8

FLOWRT_DECLARE({"input": [], "output": [{"name": "spectrum", "type": "f32", "shape": [128]}]});

typedef struct {
  topic_slot topic;
  uint32_t filled, fresh, next, reserved;
  int16_t samples[LENGTH];
} vibration_slot;

static topic_table slots;
static float hann[LENGTH], turns[LENGTH / 2][2]; /* cosine and sine of -2 pi i / 256 */

/* One turn in 256 steps, by halving angles from the quarter turn: exact enough for f32, and no library is needed. */
static void make_tables(void) {
  double cosine[LEVELS - 1], sine[LEVELS - 1], c = 0, s = 1;
  for (uint32_t level = LEVELS - 2;; level--) { /* bit `level` of a step turns by 2 pi 2^level / 256 */
    cosine[level] = c, sine[level] = s;
    if (!level) break;
    double half = __builtin_sqrt((1 + c) / 2);
    s = s / (2 * half), c = half;
  }
  for (uint32_t i = 0; i < LENGTH; i++) {
    double x = 1, y = 0;
    for (uint32_t level = 0; level < LEVELS - 1; level++)
      if (i >> level & 1) {
        double turned = x * cosine[level] - y * sine[level];
        y = x * sine[level] + y * cosine[level], x = turned;
      }
    if (i >= LENGTH / 2) x = -x, y = -y;
    hann[i] = (float)(0.5 - 0.5 * x);
    if (i < LENGTH / 2) turns[i][0] = (float)x, turns[i][1] = (float)-y;
  }
}

static bool on_init(void) {
  double topics = 64;
  make_tables();
  return flowrt_setting_number("topics", 1, 65536, &topics) && topics_init(&slots, 1, sizeof(vibration_slot), (uint32_t)topics);
}

static uint32_t reversed(uint32_t index) {
  uint32_t result = 0;
  for (uint32_t bit = 0; bit < LEVELS; bit++) result |= (index >> bit & 1) << (LEVELS - 1 - bit);
  return result;
}

/* Cooley and Tukey's transform in place, of values in bit-reversed order. */
static void transform(float re[LENGTH], float im[LENGTH]) {
  for (uint32_t span = 1; span < LENGTH; span *= 2)
    for (uint32_t start = 0; start < LENGTH; start += 2 * span)
      for (uint32_t i = 0; i < span; i++) {
        const float *turn = turns[i * (LENGTH / 2 / span)];
        uint32_t a = start + i, b = a + span;
        float x = re[b] * turn[0] - im[b] * turn[1], y = re[b] * turn[1] + im[b] * turn[0];
        re[b] = re[a] - x, im[b] = im[a] - y;
        re[a] += x, im[a] += y;
      }
}

static void emit_spectrum(const vibration_slot *slot) {
  float re[LENGTH], im[LENGTH] = {0}, mean = 0, *spectrum = flowrt_alloc(LENGTH / 2 * sizeof *spectrum);
  if (!spectrum) return flowrt_fail("the module is out of memory");
  for (uint32_t i = 0; i < LENGTH; i++) mean += slot->samples[i];
  mean /= LENGTH;
  for (uint32_t i = 0; i < LENGTH; i++)
    re[reversed(i)] = ((float)slot->samples[(slot->next + i) % LENGTH] - mean) * hann[i] * (1 / 32768.0f);
  transform(re, im);
  for (uint32_t i = 0; i < LENGTH / 2; i++) spectrum[i] = __builtin_sqrtf(re[i] * re[i] + im[i] * im[i]) * (2.0f / LENGTH);
  flowrt_emit_as(spectrum, LENGTH / 2 * sizeof *spectrum, NULL);
}

static void on_message(const flowrt_message *message) {
  if (message->payload_size % 2) return flowrt_fail("the payload is no list of i16");
  vibration_slot *slot = (vibration_slot *)topics_find(&slots, message);
  if (!slot) return;
  for (uint32_t at = 0; at < message->payload_size; at += 2) {
    slot->samples[slot->next] = (int16_t)(message->payload[at] | message->payload[at + 1] << 8);
    slot->next = (slot->next + 1) % LENGTH;
    if (slot->filled < LENGTH) slot->filled++;
    if (++slot->fresh >= HOP && slot->filled == LENGTH) slot->fresh = 0, emit_spectrum(slot);
  }
}

static flowrt_span save(void) { return topics_save(&slots); }

static bool restore(const void *bytes, uint32_t size) {
  const topic_state *saved = bytes;
  if (!topics_saved(&slots, saved, size) || saved->slot_size != sizeof(vibration_slot) || saved->used > slots.room) return false;
  for (uint32_t i = 0; i < saved->used; i++) {
    const vibration_slot *slot = (const void *)(saved->slots + i * sizeof(vibration_slot));
    if (slot->topic.size > TOPIC_ROOM || slot->next >= LENGTH || slot->filled > LENGTH || slot->fresh >= LENGTH) return false;
  }
  __builtin_memcpy(slots.state, saved, size);
  return true;
}

FLOWRT_INIT(on_init)
FLOWRT_MAP(on_message)
FLOWRT_SAVE(save, restore)
