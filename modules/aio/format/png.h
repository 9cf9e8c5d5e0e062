/* PNG to RGB.
 *
 * Source: W3C PNG specification, third edition (chunks, filters, Adam7), RFC 1950 and RFC 1951 (zlib, deflate). Every colour
 * type and depth; 16 bits a channel are cut to 8, transparency is left out. Chunks' checksums are not looked at: the pixels
 * have one of their own. Nothing is trusted: every read and write is bounded, a file that ends early or says the impossible
 * gives NULL.
 */
#ifndef FORMAT_PNG_H
#define FORMAT_PNG_H

#include "aio.h"

#define PNG_SIDE_MAX 8192
#define PNG_RATIO_MAX 1032 /* more than this no byte of a deflate stream can become */
#define PNG_BITS_MAX 15

typedef struct {
  const uint8_t *at, *end;
  uint64_t bits;
  uint32_t count, beyond; /* bits at hand; bytes asked for behind the end */
  uint8_t *out;
  uint32_t made, room;
} png_stream;

typedef struct {
  uint16_t counts[PNG_BITS_MAX + 1]; /* codes of each length */
  uint16_t symbols[288];             /* in the order of their codes */
} png_codes;

typedef struct {
  const uint8_t *palette;
  uint32_t colours, width, height, depth, kind;
  bool interlaced;
} png_file;

static uint32_t png_u32(const uint8_t *at) {
  return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* ---- deflate ---- */

static void png_fill(png_stream *in) {
  while (in->count <= 48) {
    if (in->at >= in->end) in->beyond++;
    in->bits |= (uint64_t)(in->at < in->end ? *in->at++ : 0) << in->count;
    in->count += 8;
  }
}

static uint32_t png_take(png_stream *in, uint32_t count) {
  if (in->count < count) png_fill(in);
  uint32_t taken = (uint32_t)in->bits & ((1u << count) - 1);
  in->bits >>= count, in->count -= count;
  return taken;
}

/* Codes from their lengths. Too many codes of a length are refused; too few mean that some bits lead nowhere. */
static bool png_codes_made(png_codes *codes, const uint8_t *lengths, uint32_t count) {
  uint16_t next[PNG_BITS_MAX + 1];
  int32_t left = 1;
  __builtin_memset(codes->counts, 0, sizeof codes->counts);
  for (uint32_t i = 0; i < count; i++) codes->counts[lengths[i]]++;
  codes->counts[0] = next[1] = 0;
  for (uint32_t length = 1; length <= PNG_BITS_MAX; length++) {
    left = 2 * left - codes->counts[length];
    if (left < 0) return false;
    if (length < PNG_BITS_MAX) next[length + 1] = (uint16_t)(next[length] + codes->counts[length]);
  }
  for (uint32_t i = 0; i < count; i++)
    if (lengths[i]) codes->symbols[next[lengths[i]]++] = (uint16_t)i;
  return true;
}

static int32_t png_symbol(png_stream *in, const png_codes *codes) {
  if (in->count < PNG_BITS_MAX) png_fill(in);
  int32_t code = 0, first = 0, index = 0;
  for (uint32_t length = 1; length <= PNG_BITS_MAX; length++) {
    code |= (int32_t)(in->bits >> (length - 1) & 1);
    int32_t count = codes->counts[length];
    if (code - first < count) {
      in->bits >>= length, in->count -= length;
      return codes->symbols[index + code - first];
    }
    index += count, first = (first + count) << 1, code <<= 1;
  }
  return -1;
}

static bool png_stored(png_stream *in) {
  png_take(in, in->count & 7);
  uint32_t size = png_take(in, 16), inverted = png_take(in, 16);
  if ((size ^ inverted) != 0xFFFF || size > in->room - in->made) return false;
  while (size--) in->out[in->made++] = (uint8_t)png_take(in, 8);
  return in->beyond <= 8;
}

static bool png_tables(png_stream *in, png_codes *values, png_codes *distances) {
  static const uint8_t order[19] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
  uint8_t lengths[320] = {0};
  uint32_t literals = png_take(in, 5) + 257, pairs = png_take(in, 5) + 1, known = png_take(in, 4) + 4;
  for (uint32_t i = 0; i < known; i++) lengths[order[i]] = (uint8_t)png_take(in, 3);
  if (literals > 286 || pairs > 30 || !png_codes_made(values, lengths, 19)) return false;
  for (uint32_t at = 0; at < literals + pairs;) {
    int32_t symbol = png_symbol(in, values);
    if (symbol < 0 || (symbol == 16 && !at)) return false;
    if (symbol < 16) {
      lengths[at++] = (uint8_t)symbol;
      continue;
    }
    uint8_t again = symbol == 16 ? lengths[at - 1] : 0;
    uint32_t times = symbol == 16 ? 3 + png_take(in, 2) : symbol == 17 ? 3 + png_take(in, 3) : 11 + png_take(in, 7);
    if (times > literals + pairs - at) return false;
    while (times--) lengths[at++] = again;
  }
  return png_codes_made(values, lengths, literals) && png_codes_made(distances, lengths + literals, pairs);
}

static bool png_fixed(png_codes *values, png_codes *distances) {
  uint8_t lengths[288];
  for (uint32_t i = 0; i < 288; i++) lengths[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
  bool sound = png_codes_made(values, lengths, 288);
  __builtin_memset(lengths, 5, 30);
  return png_codes_made(distances, lengths, 30) && sound;
}

/* A block of literals and of copies of what was made before. */
static bool png_block(png_stream *in, const png_codes *values, const png_codes *distances) {
  static const uint16_t lengths[29] = {3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
                                       31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
  static const uint8_t more[29] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
  for (;;) {
    int32_t symbol = png_symbol(in, values);
    if (symbol < 0 || symbol > 285 || in->beyond > 8) return false;
    if (symbol == 256) return true;
    if (symbol < 256) {
      if (in->made == in->room) return false;
      in->out[in->made++] = (uint8_t)symbol;
      continue;
    }
    uint32_t length = lengths[symbol - 257] + png_take(in, more[symbol - 257]);
    int32_t pair = png_symbol(in, distances);
    if (pair < 0 || pair > 29) return false;
    uint32_t extra = pair < 4 ? 0 : (uint32_t)pair / 2 - 1;
    uint32_t back = pair < 4 ? (uint32_t)pair + 1 : ((2u + (pair & 1)) << extra) + 1 + png_take(in, extra);
    if (back > in->made || length > in->room - in->made) return false;
    for (; length; length--, in->made++) in->out[in->made] = in->out[in->made - back];
  }
}

static bool png_checked(png_stream *in) {
  uint32_t low = 1, high = 0;
  for (uint32_t i = 0; i < in->made; i++) {
    low += in->out[i], high += low;
    if (i % 4096 == 4095) low %= 65521, high %= 65521;
  }
  png_take(in, in->count & 7);
  uint32_t wanted = 0;
  for (uint32_t i = 0; i < 4; i++) wanted = wanted << 8 | png_take(in, 8);
  return wanted == ((high % 65521) << 16 | low % 65521);
}

/* Exactly `room` bytes of a zlib stream. */
static bool png_inflate(const uint8_t *data, uint32_t size, uint8_t *out, uint32_t room) {
  png_codes *codes = flowrt_alloc(2 * sizeof *codes);
  if (size < 6 || (data[0] & 15) != 8 || (data[0] << 8 | data[1]) % 31 || data[1] & 32) return false;
  png_stream in = {.at = data + 2, .end = data + size, .out = out, .room = room};
  for (bool last = false; !last;) {
    last = png_take(&in, 1);
    uint32_t kind = png_take(&in, 2);
    if (kind == 3 || in.beyond > 8) return false;
    if (kind == 0) {
      if (!png_stored(&in)) return false;
      continue;
    }
    bool sound = kind == 1 ? png_fixed(codes, codes + 1) : png_tables(&in, codes, codes + 1);
    if (!sound || !png_block(&in, codes, codes + 1)) return false;
  }
  return in.made == room && png_checked(&in);
}

/* ---- lines and pixels ---- */

static uint32_t png_channels(uint32_t kind) { return kind == 2 ? 3 : kind == 4 ? 2 : kind == 6 ? 4 : 1; }

static uint64_t png_line(const png_file *file, uint32_t width) {
  return ((uint64_t)width * png_channels(file->kind) * file->depth + 7) / 8;
}

static uint8_t png_nearest(uint8_t left, uint8_t up, uint8_t corner) {
  int32_t guess = left + up - corner;
  int32_t to_left = __builtin_abs(guess - left), to_up = __builtin_abs(guess - up), to_corner = __builtin_abs(guess - corner);
  return to_left <= to_up && to_left <= to_corner ? left : to_up <= to_corner ? up : corner;
}

/* The bytes of a line from their differences; `above` is the line before, or NULL. */
static bool png_unfiltered(uint8_t filter, uint8_t *line, const uint8_t *above, uint32_t size, uint32_t apart) {
  if (filter > 4) return false;
  for (uint32_t i = 0; filter && i < size; i++) {
    uint8_t left = i >= apart ? line[i - apart] : 0, up = above ? above[i] : 0;
    uint8_t corner = above && i >= apart ? above[i - apart] : 0;
    line[i] += filter == 1   ? left
               : filter == 2 ? up
               : filter == 3 ? (uint8_t)((left + up) / 2)
                             : png_nearest(left, up, corner);
  }
  return true;
}

static uint32_t png_sample(const png_file *file, const uint8_t *line, uint32_t at) {
  if (file->depth == 8) return line[at];
  if (file->depth == 16) return line[2 * at];
  uint32_t bit = at * file->depth;
  return line[bit / 8] >> (8 - file->depth - bit % 8) & ((1u << file->depth) - 1);
}

static bool png_pixel(const png_file *file, const uint8_t *line, uint32_t x, uint8_t *rgb) {
  uint32_t value = png_sample(file, line, x * png_channels(file->kind));
  if (file->kind == 3) {
    if (value >= file->colours) return false;
    __builtin_memcpy(rgb, file->palette + 3 * value, 3);
  } else if (file->kind & 2) {
    for (uint32_t c = 0; c < 3; c++) rgb[c] = (uint8_t)png_sample(file, line, x * png_channels(file->kind) + c);
  } else {
    rgb[0] = rgb[1] = rgb[2] = (uint8_t)(file->depth < 8 ? value * 255 / ((1u << file->depth) - 1) : value);
  }
  return true;
}

/* One pass: every `down`th line from `top` on, and in it every `across`th pixel from `left` on. NULL where it is damaged,
 * else where the next pass begins. */
static uint8_t *png_pass(const png_file *file, uint8_t *at, uint8_t *rgb, uint32_t left, uint32_t top, uint32_t across, uint32_t down) {
  if (left >= file->width || top >= file->height) return at;
  uint32_t width = (file->width - left + across - 1) / across, size = (uint32_t)png_line(file, width);
  uint32_t bits = file->depth * png_channels(file->kind), apart = bits < 8 ? 1 : bits / 8;
  const uint8_t *above = NULL;
  for (uint32_t y = top; y < file->height; y += down, above = at + 1, at += 1 + size) {
    if (!png_unfiltered(*at, at + 1, above, size, apart)) return NULL;
    for (uint32_t x = 0; x < width; x++)
      if (!png_pixel(file, at + 1, x, rgb + 3 * (y * file->width + left + x * across))) return NULL;
  }
  return at;
}

/* left, top, across, down of the passes of an interlaced picture */
static const uint8_t png_passes[7][4] = {{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4}, {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}};

static uint64_t png_size(const png_file *file) {
  if (!file->interlaced) return file->height * (1 + png_line(file, file->width));
  uint64_t size = 0;
  for (uint32_t i = 0; i < 7; i++) {
    const uint8_t *pass = png_passes[i];
    if (pass[0] >= file->width || pass[1] >= file->height) continue;
    uint32_t width = (file->width - pass[0] + pass[2] - 1u) / pass[2], height = (file->height - pass[1] + pass[3] - 1u) / pass[3];
    size += height * (1 + png_line(file, width));
  }
  return size;
}

static bool png_pixels(const png_file *file, uint8_t *lines, uint8_t *rgb) {
  if (!file->interlaced) return png_pass(file, lines, rgb, 0, 0, 1, 1);
  for (uint32_t i = 0; i < 7 && lines; i++) {
    const uint8_t *pass = png_passes[i];
    lines = png_pass(file, lines, rgb, pass[0], pass[1], pass[2], pass[3]);
  }
  return lines;
}

/* ---- the file ---- */

static bool png_head(png_file *file, const uint8_t *at) {
  static const uint8_t depths[7] = {0x1F, 0, 0x18, 0x0F, 0x18, 0, 0x18}; /* of each kind: 1, 2, 4, 8 and 16 bits, as bits */
  file->width = png_u32(at), file->height = png_u32(at + 4), file->depth = at[8], file->kind = at[9];
  file->interlaced = at[12] == 1;
  if (at[10] || at[11] || at[12] > 1 || file->kind > 6 || file->depth > 16 || !file->depth) return false;
  if (file->depth & (file->depth - 1) || !(depths[file->kind] >> __builtin_ctz(file->depth) & 1)) return false;
  return file->width && file->height && file->width <= PNG_SIDE_MAX && file->height <= PNG_SIDE_MAX;
}

/* The chunks: the head, the palette, and the pixels' stream in one piece, of which this gives the size; 0 where it is damaged. */
static uint32_t png_chunks(png_file *file, const uint8_t *at, const uint8_t *end, uint8_t *stream) {
  uint32_t size = 0;
  for (bool first = true; end - at >= 12; first = false) {
    uint32_t length = png_u32(at), kind = png_u32(at + 4);
    if (length > (uint32_t)(end - at) - 12) return 0;
    const uint8_t *inside = at + 8;
    if (first != (kind == 0x49484452)) return 0;                            /* IHDR */
    if (first && (length != 13 || !png_head(file, inside))) return 0;
    if (kind == 0x504C5445) file->palette = inside, file->colours = length / 3; /* PLTE */
    if (kind == 0x49444154) __builtin_memcpy(stream + size, inside, length), size += length; /* IDAT */
    if (kind == 0x49454E44) return size;                                    /* IEND */
    at += 12 + length;
  }
  return 0;
}

/* Width, height and RGB of a file. NULL, and the message has failed, where it is damaged. */
static uint8_t *png_decode(const uint8_t *data, uint32_t size, uint32_t *width, uint32_t *height) {
  png_file file = {0};
  uint8_t *stream = flowrt_alloc(size);
  uint32_t held = png_chunks(&file, data + 8, data + size, stream);
  uint64_t most = held ? png_size(&file) : 0;
  if (held && most / PNG_RATIO_MAX <= held) {
    uint8_t *lines = aio_alloc_or_null(most), *rgb = aio_alloc_or_null(3ull * file.width * file.height);
    if (!lines || !rgb) return flowrt_fail("the picture needs more than the operation's memory"), NULL;
    *width = file.width, *height = file.height;
    if (png_inflate(stream, held, lines, (uint32_t)most) && png_pixels(&file, lines, rgb)) return rgb;
  }
  return flowrt_fail("the PNG is damaged, or has more than 8192 by 8192 pixels"), NULL;
}

#endif
