/* camera-frame: a camera's frame as the input of an image model, f32[3, size, size], planes of red, green and blue, each
 * value from -1 to 1.
 *
 * The payload is a baseline JPEG, or raw RGB, three bytes a pixel, whose width and height stand in the message's user
 * properties `width` and `height` (or are `size`). Another size than the model's is scaled to it, bilinearly.
 * Properties: size (64), pixels each way.
 */
#include "flowrt.h"
#include "jpeg.h"

static double side = 64;

static bool on_init(void) { return flowrt_setting_number("size", 8, 2048, &side); }

static inline float scaled(float byte) { return byte * (1 / 127.5f) - 1; }

static inline void store_16(float *out, v128_t bytes) {
  v128_t factor = wasm_f32x4_const_splat(1 / 127.5f), one = wasm_f32x4_const_splat(1);
  v128_t words[2] = {wasm_u16x8_extend_low_u8x16(bytes), wasm_u16x8_extend_high_u8x16(bytes)};
  for (uint32_t half = 0; half < 2; half++) {
    v128_t low = wasm_f32x4_convert_u32x4(wasm_u32x4_extend_low_u16x8(words[half]));
    v128_t high = wasm_f32x4_convert_u32x4(wasm_u32x4_extend_high_u16x8(words[half]));
    wasm_v128_store(out + 8 * half, wasm_f32x4_sub(wasm_f32x4_mul(low, factor), one));
    wasm_v128_store(out + 8 * half + 4, wasm_f32x4_sub(wasm_f32x4_mul(high, factor), one));
  }
}

/* Interleaved bytes to planes, 16 pixels at once: three vectors hold them, and each plane takes every third byte. */
static void to_planes(const uint8_t *rgb, uint32_t pixels, float *out) {
  uint32_t at = 0;
  for (; at + 16 <= pixels; at += 16, rgb += 48) {
    v128_t a = wasm_v128_load(rgb), b = wasm_v128_load(rgb + 16), c = wasm_v128_load(rgb + 32);
    v128_t red = wasm_i8x16_shuffle(a, b, 0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30, 0, 0, 0, 0, 0);
    v128_t green = wasm_i8x16_shuffle(a, b, 1, 4, 7, 10, 13, 16, 19, 22, 25, 28, 31, 0, 0, 0, 0, 0);
    v128_t blue = wasm_i8x16_shuffle(a, b, 2, 5, 8, 11, 14, 17, 20, 23, 26, 29, 0, 0, 0, 0, 0, 0);
    red = wasm_i8x16_shuffle(red, c, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 17, 20, 23, 26, 29);
    green = wasm_i8x16_shuffle(green, c, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 18, 21, 24, 27, 30);
    blue = wasm_i8x16_shuffle(blue, c, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 19, 22, 25, 28, 31);
    store_16(out + at, red), store_16(out + pixels + at, green), store_16(out + 2 * pixels + at, blue);
  }
  for (; at < pixels; at++, rgb += 3)
    for (uint32_t plane = 0; plane < 3; plane++) out[plane * pixels + at] = scaled(rgb[plane]);
}

/* The place of a pixel's middle in a row or column of another length: the pixel before it, and how far behind that. */
static inline uint32_t between(uint32_t at, uint32_t size, uint32_t from, float *part) {
  float place = ((float)at + 0.5f) * (float)from / (float)size - 0.5f;
  if (place < 0) place = 0;
  if (place > (float)(from - 1)) place = (float)(from - 1);
  uint32_t whole = (uint32_t)place;
  *part = place - (float)whole;
  return whole;
}

static void resized(const uint8_t *rgb, uint32_t width, uint32_t height, uint32_t size, float *out) {
  for (uint32_t y = 0; y < size; y++) {
    float down, along;
    uint32_t top = between(y, size, height, &down), below = top + 1 < height ? top + 1 : top;
    for (uint32_t x = 0; x < size; x++) {
      uint32_t left = between(x, size, width, &along), right = left + 1 < width ? left + 1 : left;
      for (uint32_t plane = 0; plane < 3; plane++) {
        const uint8_t *upper = rgb + 3 * top * width + plane, *lower = rgb + 3 * below * width + plane;
        float a = upper[3 * left] + along * ((float)upper[3 * right] - (float)upper[3 * left]);
        float b = lower[3 * left] + along * ((float)lower[3 * right] - (float)lower[3 * left]);
        out[(plane * size + y) * size + x] = scaled(a + down * (b - a));
      }
    }
  }
}

static uint32_t extent(const flowrt_message *message, const char *key, uint32_t otherwise) {
  double value;
  flowrt_text text = flowrt_property_of(message, key);
  if (!text.data) return otherwise;
  return flowrt_json_as_number(text, &value) && value >= 1 && value <= JPEG_SIDE_MAX ? (uint32_t)value : 0;
}

static void on_message(const flowrt_message *message) {
  uint32_t size = (uint32_t)side, width = extent(message, "width", size), height = extent(message, "height", size);
  const uint8_t *rgb = message->payload;
  if (message->payload_size > 2 && rgb[0] == 0xFF && rgb[1] == 0xD8) {
    rgb = jpeg_decode(rgb, message->payload_size, &width, &height);
    if (!rgb) return;
  } else if (!width || !height || message->payload_size != 3 * width * height)
    return flowrt_fail("neither a JPEG nor raw RGB of the width and height that its user properties give");
  float *image = flowrt_alloc(3 * size * size * sizeof *image);
  if (!image) return flowrt_fail("the module is out of memory");
  if (width == size && height == size)
    to_planes(rgb, size * size, image);
  else
    resized(rgb, width, height, size, image);
  flowrt_emit_as(image, 3 * size * size * sizeof *image, NULL);
}

FLOWRT_INIT(on_init)
FLOWRT_MAP(on_message)
