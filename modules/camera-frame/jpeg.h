/* Baseline JPEG to RGB: what cameras and phones make unless asked for more.
 *
 * Source: ITU-T T.81, annexes A, B, F and K (sequential Huffman, 8 bits); colour as in JFIF 1.02. One or three components,
 * sampled 1 to 2 times each way, restart intervals. Progressive and arithmetic files are refused. Nothing is trusted: every
 * read is bounded, a file that ends early or says the impossible gives NULL.
 */
#ifndef CAMERA_JPEG_H
#define CAMERA_JPEG_H

#include <wasm_simd128.h>

/* flowrt.h, or aio.h for a component, stands before it. */
#ifndef JPEG_ALLOC
#define JPEG_ALLOC flowrt_alloc /* NULL when memory is used up */
#endif
#define JPEG_SIDE_MAX 8192

typedef struct {
  uint8_t lengths[17]; /* codes of each length */
  uint8_t values[256];
  int32_t first[17], offset[17]; /* the first code of a length, and where its values begin */
  uint16_t quick[512];           /* by the next 9 bits: length << 8 | value; 0 where the code is longer */
} jpeg_huffman;

typedef struct {
  uint32_t across, down, table, ac, dc; /* sampling; tables */
  int32_t predicted;
  uint32_t stride, rows;
  uint8_t *plane;
} jpeg_component;

typedef struct {
  const uint8_t *at, *end;
  uint64_t bits;
  uint32_t count, beyond; /* bits at hand; bytes asked for behind the end of the data */
  bool marker;
  uint32_t width, height, restart, components, across, down;
  jpeg_component part[3];
  float quantum[4][64];
  jpeg_huffman huffman[2][4]; /* DC, AC */
  bool has_quantum[4], has_huffman[2][4];
} jpeg_file;

static const uint8_t jpeg_zigzag[64] = {0,  1,  8,  16, 9,  2,  3,  10, 17, 24, 32, 25, 18, 11, 4,  5,  12, 19, 26, 33, 40, 48,
                                        41, 34, 27, 20, 13, 6,  7,  14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23,
                                        30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63};

/* cos((2x + 1) u pi / 16) / 2, and 1 / (2 sqrt 2) for u = 0: row u, column x. */
static const float jpeg_cosines[8][8] __attribute__((aligned(16))) = {
    {0.353553391f, 0.353553391f, 0.353553391f, 0.353553391f, 0.353553391f, 0.353553391f, 0.353553391f, 0.353553391f},
    {0.490392640f, 0.415734806f, 0.277785117f, 0.097545161f, -0.097545161f, -0.277785117f, -0.415734806f, -0.490392640f},
    {0.461939766f, 0.191341716f, -0.191341716f, -0.461939766f, -0.461939766f, -0.191341716f, 0.191341716f, 0.461939766f},
    {0.415734806f, -0.097545161f, -0.490392640f, -0.277785117f, 0.277785117f, 0.490392640f, 0.097545161f, -0.415734806f},
    {0.353553391f, -0.353553391f, -0.353553391f, 0.353553391f, 0.353553391f, -0.353553391f, -0.353553391f, 0.353553391f},
    {0.277785117f, -0.490392640f, 0.097545161f, 0.415734806f, -0.415734806f, -0.097545161f, 0.490392640f, -0.277785117f},
    {0.191341716f, -0.461939766f, 0.461939766f, -0.191341716f, -0.191341716f, 0.461939766f, -0.461939766f, 0.191341716f},
    {0.097545161f, -0.277785117f, 0.415734806f, -0.490392640f, 0.490392640f, -0.415734806f, 0.277785117f, -0.097545161f}};

static inline uint32_t jpeg_u16(const uint8_t *at) { return (uint32_t)at[0] << 8 | at[1]; }

static bool jpeg_quantums(jpeg_file *file, const uint8_t *at, uint32_t size) {
  while (size) {
    uint32_t wide = at[0] >> 4, table = at[0] & 15, needed = 1 + 64 * (wide + 1);
    if (wide > 1 || table > 3 || size < needed) return false;
    for (uint32_t i = 0; i < 64; i++)
      file->quantum[table][jpeg_zigzag[i]] = (float)(wide ? jpeg_u16(at + 1 + 2 * i) : at[1 + i]);
    file->has_quantum[table] = true;
    at += needed, size -= needed;
  }
  return true;
}

static bool jpeg_codes(jpeg_huffman *huffman) {
  int32_t code = 0, offset = 0;
  __builtin_memset(huffman->quick, 0, sizeof huffman->quick);
  for (int32_t length = 1; length <= 16; length++) {
    huffman->first[length] = code, huffman->offset[length] = offset;
    for (int32_t i = 0; i < huffman->lengths[length]; i++, code++, offset++) {
      if (code >= 1 << length) return false;
      if (length > 9) continue;
      uint16_t quick = (uint16_t)(length << 8 | huffman->values[offset]);
      for (int32_t rest = 0; rest < 1 << (9 - length); rest++) huffman->quick[code << (9 - length) | rest] = quick;
    }
    code <<= 1;
  }
  return true;
}

static bool jpeg_huffmans(jpeg_file *file, const uint8_t *at, uint32_t size) {
  while (size) {
    uint32_t kind = at[0] >> 4, table = at[0] & 15, count = 0;
    if (kind > 1 || table > 3 || size < 17) return false;
    jpeg_huffman *huffman = &file->huffman[kind][table];
    for (uint32_t i = 1; i <= 16; i++) count += huffman->lengths[i] = at[i];
    if (count > 256 || size < 17 + count) return false;
    __builtin_memcpy(huffman->values, at + 17, count);
    if (!jpeg_codes(huffman)) return false;
    file->has_huffman[kind][table] = true;
    at += 17 + count, size -= 17 + count;
  }
  return true;
}

static bool jpeg_frame(jpeg_file *file, const uint8_t *at, uint32_t size) {
  if (size < 6 || at[0] != 8) return false;
  file->height = jpeg_u16(at + 1), file->width = jpeg_u16(at + 3), file->components = at[5];
  if (!file->width || !file->height || file->width > JPEG_SIDE_MAX || file->height > JPEG_SIDE_MAX) return false;
  if ((file->components != 1 && file->components != 3) || size < 6 + 3 * file->components || file->part[0].plane) return false;
  file->across = file->down = 1;
  for (uint32_t i = 0; i < file->components; i++) {
    jpeg_component *part = &file->part[i];
    part->across = at[7 + 3 * i] >> 4, part->down = at[7 + 3 * i] & 15, part->table = at[8 + 3 * i];
    if (file->components == 1) part->across = part->down = 1; /* alone, its blocks follow each other whatever is said */
    if (part->across - 1 > 1 || part->down - 1 > 1 || part->table > 3) return false;
    if (part->across > file->across) file->across = part->across;
    if (part->down > file->down) file->down = part->down;
  }
  for (uint32_t i = 0; i < file->components; i++) {
    jpeg_component *part = &file->part[i];
    part->stride = (file->width + 8 * file->across - 1) / (8 * file->across) * 8 * part->across;
    part->rows = (file->height + 8 * file->down - 1) / (8 * file->down) * 8 * part->down;
    part->plane = JPEG_ALLOC(part->stride * part->rows);
    if (!part->plane) return false;
  }
  return true;
}

/* ---- the bits ---- */

static void jpeg_fill(jpeg_file *file) {
  while (file->count <= 48) {
    uint8_t byte = 0;
    if (!file->marker && file->at < file->end) {
      byte = *file->at++;
      if (byte == 0xFF) {
        if (file->at < file->end && *file->at == 0)
          file->at++;
        else
          file->marker = true, file->at--, byte = 0;
      }
    }
    if (file->marker || file->at >= file->end) file->beyond++;
    file->bits = file->bits << 8 | byte, file->count += 8;
  }
}

static inline uint32_t jpeg_take(jpeg_file *file, uint32_t count) {
  file->count -= count;
  return (uint32_t)(file->bits >> file->count) & ((1u << count) - 1);
}

static inline int32_t jpeg_symbol(jpeg_file *file, const jpeg_huffman *huffman) {
  if (file->count < 32) jpeg_fill(file);
  uint32_t quick = huffman->quick[(file->bits >> (file->count - 9)) & 511];
  if (quick) return file->count -= quick >> 8, (int32_t)(quick & 255);
  for (uint32_t length = 10; length <= 16; length++) {
    int32_t code = (int32_t)((file->bits >> (file->count - length)) & ((1u << length) - 1)) - huffman->first[length];
    if (code >= 0 && code < huffman->lengths[length]) return file->count -= length, huffman->values[huffman->offset[length] + code];
  }
  return -1;
}

static inline int32_t jpeg_extended(jpeg_file *file, uint32_t size) {
  if (!size) return 0;
  int32_t value = (int32_t)jpeg_take(file, size);
  return value < 1 << (size - 1) ? value - (1 << size) + 1 : value;
}

/* ---- the blocks ---- */

static void jpeg_inverse(const float block[64], uint32_t last, uint8_t *out, uint32_t stride) {
  v128_t rows[8][2], sums[8][2];
  uint32_t used = 0;
  for (uint32_t u = 0; u < 8; u++) {
    v128_t low = wasm_f32x4_const_splat(0), high = low;
    bool any = false;
    for (uint32_t k = 0; k < 8; k++)
      if (block[8 * u + k] != 0) {
        v128_t value = wasm_f32x4_splat(block[8 * u + k]);
        low = wasm_f32x4_add(low, wasm_f32x4_mul(value, wasm_v128_load(&jpeg_cosines[k][0])));
        high = wasm_f32x4_add(high, wasm_f32x4_mul(value, wasm_v128_load(&jpeg_cosines[k][4])));
        any = true;
      }
    rows[u][0] = low, rows[u][1] = high;
    used |= (uint32_t)any << u;
    if (!last) break;
  }
  for (uint32_t y = 0; y < 8; y++) {
    v128_t low = wasm_f32x4_const_splat(128), high = low;
    for (uint32_t u = 0; used >> u; u++)
      if (used >> u & 1) {
        v128_t value = wasm_f32x4_splat(jpeg_cosines[u][y]);
        low = wasm_f32x4_add(low, wasm_f32x4_mul(value, rows[u][0]));
        high = wasm_f32x4_add(high, wasm_f32x4_mul(value, rows[u][1]));
      }
    sums[y][0] = low, sums[y][1] = high;
  }
  for (uint32_t y = 0; y < 8; y++, out += stride) {
    v128_t low = wasm_i32x4_trunc_sat_f32x4(wasm_f32x4_nearest(sums[y][0]));
    v128_t words = wasm_i16x8_narrow_i32x4(low, wasm_i32x4_trunc_sat_f32x4(wasm_f32x4_nearest(sums[y][1])));
    wasm_v128_store64_lane(out, wasm_u8x16_narrow_i16x8(words, words), 0);
  }
}

static bool jpeg_block(jpeg_file *file, jpeg_component *part, uint8_t *out) {
  float block[64] __attribute__((aligned(16))) = {0};
  const float *quantum = file->quantum[part->table];
  int32_t size = jpeg_symbol(file, &file->huffman[0][part->dc]);
  if (size < 0 || size > 11) return false;
  part->predicted += jpeg_extended(file, (uint32_t)size);
  block[0] = (float)part->predicted * quantum[0];
  uint32_t last = 0;
  for (uint32_t at = 1; at < 64; at++) {
    int32_t symbol = jpeg_symbol(file, &file->huffman[1][part->ac]);
    if (symbol < 0) return false;
    uint32_t bits = (uint32_t)symbol & 15, zeros = (uint32_t)symbol >> 4;
    if (!bits && zeros != 15) break;
    at += zeros;
    if (at > 63) return false;
    if (!bits) continue;
    if (file->count < 16) jpeg_fill(file);
    last = jpeg_zigzag[at];
    block[last] = (float)jpeg_extended(file, bits) * quantum[last];
  }
  jpeg_inverse(block, last, out, part->stride);
  return true;
}

/* The next restart: bits are thrown away up to its marker. */
static bool jpeg_restarted(jpeg_file *file) {
  file->bits = file->count = file->beyond = 0, file->marker = false;
  while (file->at + 1 < file->end && !(file->at[0] == 0xFF && (file->at[1] & 0xF8) == 0xD0)) file->at++;
  if (file->at + 1 >= file->end) return false;
  file->at += 2;
  for (uint32_t i = 0; i < 3; i++) file->part[i].predicted = 0;
  return true;
}

static bool jpeg_scan(jpeg_file *file, const uint8_t *at, uint32_t size) {
  if (!file->part[0].plane || size < 4 + 2 * file->components || at[0] != file->components) return false;
  for (uint32_t i = 0; i < file->components; i++) {
    jpeg_component *part = &file->part[i];
    part->dc = at[2 + 2 * i] >> 4, part->ac = at[2 + 2 * i] & 15;
    if (part->dc > 3 || part->ac > 3 || !file->has_quantum[part->table]) return false;
    if (!file->has_huffman[0][part->dc] || !file->has_huffman[1][part->ac]) return false;
  }
  file->at = at + size;
  uint32_t across = (file->width + 8 * file->across - 1) / (8 * file->across);
  uint32_t down = (file->height + 8 * file->down - 1) / (8 * file->down);
  for (uint32_t unit = 0; unit < across * down; unit++) {
    if (file->restart && unit && unit % file->restart == 0 && !jpeg_restarted(file)) return false;
    if (file->beyond > 64) return false; /* the data has ended long ago */
    for (uint32_t i = 0; i < file->components; i++) {
      jpeg_component *part = &file->part[i];
      uint8_t *corner = part->plane + unit / across * 8 * part->down * part->stride + unit % across * 8 * part->across;
      for (uint32_t row = 0; row < part->down; row++)
        for (uint32_t column = 0; column < part->across; column++)
          if (!jpeg_block(file, part, corner + 8 * row * part->stride + 8 * column)) return false;
    }
  }
  return true;
}

/* ---- colour ---- */

static inline uint8_t jpeg_byte(int32_t value) { return value < 0 ? 0 : value > 255 ? 255 : (uint8_t)value; }

static uint8_t *jpeg_colours(const jpeg_file *file) {
  uint8_t *rgb = JPEG_ALLOC(3 * file->width * file->height), *out = rgb;
  if (!rgb) return NULL;
  for (uint32_t y = 0; y < file->height; y++)
    for (uint32_t x = 0; x < file->width; x++, out += 3) {
      int32_t value[3];
      for (uint32_t i = 0; i < file->components; i++) {
        const jpeg_component *part = &file->part[i];
        value[i] = part->plane[y * part->down / file->down * part->stride + x * part->across / file->across];
      }
      if (file->components == 1) {
        out[0] = out[1] = out[2] = (uint8_t)value[0];
        continue;
      }
      int32_t blue = value[1] - 128, red = value[2] - 128, light = value[0] << 16;
      out[0] = jpeg_byte((light + 91881 * red + 32768) >> 16);
      out[1] = jpeg_byte((light - 22554 * blue - 46802 * red + 32768) >> 16);
      out[2] = jpeg_byte((light + 116130 * blue + 32768) >> 16);
    }
  return rgb;
}

/* Width, height and RGB of a file, in the arena. NULL, and the message has failed, when it is no baseline JPEG. */
FLOWRT_COLD uint8_t *jpeg_decode(const uint8_t *data, uint32_t size, uint32_t *width, uint32_t *height) {
  jpeg_file *file = JPEG_ALLOC(sizeof *file);
  if (!file) return flowrt_fail("the module is out of memory"), NULL;
  __builtin_memset(file, 0, sizeof *file);
  file->end = data + size;
  const uint8_t *at = data + 2;
  while (file->end - at >= 4) {
    if (*at != 0xFF || at[1] == 0xFF) { /* fill bytes may stand before a marker */
      at++;
      continue;
    }
    uint32_t kind = at[1], length = jpeg_u16(at + 2);
    if (length < 2 || length > (uint32_t)(file->end - at) - 2) break;
    const uint8_t *inside = at + 4;
    bool sound = true;
    if (kind == 0xDB) sound = jpeg_quantums(file, inside, length - 2);
    if (kind == 0xC4) sound = jpeg_huffmans(file, inside, length - 2);
    if (kind == 0xC0 || kind == 0xC1) sound = jpeg_frame(file, inside, length - 2);
    if (kind == 0xDD) sound = length >= 4, file->restart = sound ? jpeg_u16(inside) : 0;
    if (kind == 0xC2) return flowrt_fail("a progressive JPEG; the camera must send baseline ones"), NULL;
    if (kind == 0xDA) {
      if (!jpeg_scan(file, inside, length - 2)) break;
      *width = file->width, *height = file->height;
      uint8_t *rgb = jpeg_colours(file);
      return rgb ? rgb : (flowrt_fail("the module is out of memory"), NULL);
    }
    if (!sound) break;
    at += 2 + length;
  }
  return flowrt_fail("the JPEG is damaged, or of a kind that cameras do not make"), NULL;
}

#endif
