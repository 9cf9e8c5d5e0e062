/* Makes pictures for models: 224 by 224 pixels of red, green and blue (`rgb24`). Takes such pixels as they are, and pictures
 * of any size as baseline JPEG, PNG and binary PPM (P6), which are scaled with a Lanczos filter of three lobes. */
#include "aio.h"
#include "png.h"

#define JPEG_ALLOC aio_alloc_or_null
#include "../../camera-frame/jpeg.h"

#define SIDE 224
#define CHANNELS 3
#define EXTENT_MAX 8192
#define LOBES 3

static bool init(const aio_configuration *configuration) { return (void)configuration, true; }
AIO_INIT("map", init)

/* sin(pi x) for any x: a polynomial on a quarter of a turn, good to 1e-7. */
static float sine_of_turns(float x) {
  x -= 2 * __builtin_truncf(x / 2);
  if (x > 1) x -= 2;
  if (x < -1) x += 2;
  if (x > 0.5f) x = 1 - x;
  if (x < -0.5f) x = -1 - x;
  float y = x * 3.14159265f, z = y * y;
  return y * (1 + z * (-1.f / 6 + z * (1.f / 120 + z * (-1.f / 5040 + z * (1.f / 362880)))));
}

static float weight(float x) {
  if (x == 0) return 1;
  if (x <= -LOBES || x >= LOBES) return 0;
  return LOBES * sine_of_turns(x) * sine_of_turns(x / LOBES) / (9.8696044f * x * x);
}

/* One line of `count` pixels, `stride` floats apart, scaled to SIDE pixels, `into_stride` apart. */
static void scale(const float *from, uint32_t count, uint32_t stride, float *into, uint32_t into_stride) {
  const float ratio = (float)count / SIDE, reach = LOBES * (ratio > 1 ? ratio : 1), shrink = ratio > 1 ? ratio : 1;
  for (uint32_t at = 0; at < SIDE; at++) {
    const float centre = ((float)at + 0.5f) * ratio;
    int32_t first = (int32_t)(centre - reach), last = (int32_t)(centre + reach);
    if (first < 0) first = 0;
    if (last > (int32_t)count - 1) last = (int32_t)count - 1;
    float sum[CHANNELS] = {0}, total = 0;
    for (int32_t i = first; i <= last; i++) {
      const float w = weight(((float)i + 0.5f - centre) / shrink);
      total += w;
      for (uint32_t c = 0; c < CHANNELS; c++) sum[c] += w * from[(uint32_t)i * stride + c];
    }
    for (uint32_t c = 0; c < CHANNELS; c++) into[at * into_stride + c] = sum[c] / total;
  }
}

static uint8_t byte_of(float value) { return value <= 0 ? 0 : value >= 255 ? 255 : (uint8_t)(value + 0.5f); }

/* The picture at SIDE by SIDE pixels. NULL, and failed, where the operation's memory does not hold what that takes. */
static const uint8_t *scaled(const uint8_t *pixels, uint32_t width, uint32_t height) {
  if (width == SIDE && height == SIDE) return pixels;
  float *line = flowrt_alloc(width * CHANNELS * sizeof(float));
  float *narrow = aio_alloc_or_null(height * SIDE * CHANNELS * sizeof(float));
  float *small = aio_alloc_or_null(SIDE * SIDE * CHANNELS * sizeof(float));
  uint8_t *out = aio_alloc_or_null(SIDE * SIDE * CHANNELS);
  if (!narrow || !small || !out) return flowrt_fail("the picture needs more than the operation's memory"), NULL;
  for (uint32_t y = 0; y < height; y++) {
    for (uint32_t i = 0; i < width * CHANNELS; i++) line[i] = pixels[y * width * CHANNELS + i];
    scale(line, width, CHANNELS, narrow + y * SIDE * CHANNELS, CHANNELS);
  }
  for (uint32_t x = 0; x < SIDE; x++)
    scale(narrow + x * CHANNELS, height, SIDE * CHANNELS, small + x * CHANNELS, SIDE * CHANNELS);
  for (uint32_t i = 0; i < SIDE * SIDE * CHANNELS; i++) out[i] = byte_of(small[i]);
  return out;
}

/* A number of a PPM's head, behind white space and comments; 0 for none. */
static uint32_t number(const uint8_t **at, const uint8_t *end) {
  while (*at < end && (**at <= ' ' || **at == '#')) {
    if (**at == '#')
      while (*at < end && **at != '\n') (*at)++;
    if (*at < end) (*at)++;
  }
  uint32_t value = 0;
  for (; *at < end && **at >= '0' && **at <= '9' && value < 100000; (*at)++) value = value * 10 + (uint32_t)(**at - '0');
  return value;
}

static const uint8_t *of_ppm(const uint8_t *at, const uint8_t *end, uint32_t *width, uint32_t *height) {
  at += 2;
  *width = number(&at, end), *height = number(&at, end);
  if (!*width || !*height || *width > EXTENT_MAX || *height > EXTENT_MAX || number(&at, end) != 255)
    return flowrt_fail("the PPM is larger than 8192 by 8192 pixels, or has not 8 bits a channel"), NULL;
  at++;
  if (at > end || (uint64_t)(end - at) < (uint64_t)*width * *height * CHANNELS) return flowrt_fail("the PPM is cut off"), NULL;
  return at;
}

/* The pixels of a picture, whatever it is stored as, or NULL, and failed. */
static const uint8_t *decoded(flowrt_text picture, uint32_t *width, uint32_t *height) {
  static const flowrt_text png = {"\x89PNG\r\n\x1A\n", 8};
  const uint8_t *at = (const uint8_t *)picture.data;
  if (picture.size > 2 && at[0] == 0xFF && at[1] == 0xD8) return jpeg_decode(at, picture.size, width, height);
  if (picture.size > 8 && flowrt_same((flowrt_text){picture.data, 8}, png)) return png_decode(at, picture.size, width, height);
  if (picture.size > 2 && at[0] == 'P' && at[1] == '6') return of_ppm(at, at + picture.size, width, height);
  *width = *height = SIDE;
  if (picture.size == SIDE * SIDE * CHANNELS) return at;
  return flowrt_fail("the picture is neither a JPEG, PNG or PPM nor 224 by 224 pixels of rgb24"), NULL;
}

static aio_value *picture_in(aio_model *model) {
  if (model->form == 2) return &model->snapshot.frame;
  return model->form == 1 ? &model->message.payload : (aio_value *)&model->message;
}

static aio_timestamp time_of(const aio_model *model) {
  if (model->form == 2) return model->snapshot.timestamp;
  return model->form == 1 ? model->message.timestamp : (aio_timestamp){.node = {1, "", 0}};
}

static void to_picture(aio_model *model) {
  uint32_t width = 0, height = 0;
  const uint8_t *pixels = decoded(aio_text(picture_in(model)), &width, &height);
  if (pixels) pixels = scaled(pixels, width, height);
  if (!pixels) return;
  const aio_timestamp timestamp = time_of(model);
  model->form = 2;
  model->snapshot = (aio_snapshot){
      timestamp, {1, "rgb24", 5}, SIDE, SIDE, {1, (const char *)pixels, SIDE * SIDE * CHANNELS}};
}
AIO_MAP_ANY(to_picture)
