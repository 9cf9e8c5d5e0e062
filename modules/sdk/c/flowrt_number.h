/* Decimal text to double and back, correctly rounded, in a few hundred bytes of tables. Part of flowrt.h.
 *
 * Both directions guess in floating point and, only where the guess might be wrong, prove it with big integers. Sensor
 * values never get there: 15 digits and a small exponent are exact with one multiplication or division.
 */
#ifndef FLOWRT_NUMBER_H
#define FLOWRT_NUMBER_H

static const double flowrt_tens[23] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                       1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

static const uint32_t flowrt_powers[9] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000};

/* ---- big integers: 3,072 bits; the largest need, 769 digits against a power of five, is 2,640 ---- */

typedef struct {
  uint32_t used, limb[96];
} flowrt_big;

FLOWRT_COLD void flowrt_big_add_times(flowrt_big *big, uint32_t factor, uint32_t addend) {
  uint64_t carry = addend;
  for (uint32_t i = 0; i < big->used; i++) {
    carry += (uint64_t)big->limb[i] * factor;
    big->limb[i] = (uint32_t)carry;
    carry >>= 32;
  }
  if (carry && big->used < 96) big->limb[big->used++] = (uint32_t)carry;
}

static inline void flowrt_big_set(flowrt_big *big, uint64_t value) {
  big->used = value >> 32 ? 2 : value ? 1 : 0;
  big->limb[0] = (uint32_t)value;
  big->limb[1] = (uint32_t)(value >> 32);
}

static inline void flowrt_big_times_five(flowrt_big *big, int64_t power) {
  for (; power >= 13; power -= 13) flowrt_big_add_times(big, 1220703125, 0);
  for (; power > 0; power--) flowrt_big_add_times(big, 5, 0);
}

static inline void flowrt_big_shift(flowrt_big *big, int64_t bits) {
  for (; bits >= 31; bits -= 31) flowrt_big_add_times(big, 1u << 31, 0);
  if (bits > 0) flowrt_big_add_times(big, 1u << bits, 0);
}

/* Compares a × 10^tens with b × 2^twos: -1, 0 or 1. Overwrites both. */
FLOWRT_COLD int flowrt_big_compare(flowrt_big *a, int64_t tens, flowrt_big *b, int64_t twos) {
  flowrt_big_times_five(tens > 0 ? a : b, tens > 0 ? tens : -tens);
  int64_t shift = tens - twos;
  flowrt_big_shift(shift > 0 ? a : b, shift > 0 ? shift : -shift);
  if (a->used != b->used) return a->used < b->used ? -1 : 1;
  for (uint32_t i = a->used; i-- > 0;)
    if (a->limb[i] != b->limb[i]) return a->limb[i] < b->limb[i] ? -1 : 1;
  return 0;
}

/* ---- bits of a double ---- */

static inline uint64_t flowrt_bits(double value) {
  uint64_t bits;
  __builtin_memcpy(&bits, &value, 8);
  return bits;
}

static inline double flowrt_double(uint64_t bits) {
  double value;
  __builtin_memcpy(&value, &bits, 8);
  return value;
}

static inline uint64_t flowrt_mantissa(uint64_t bits, int64_t *exponent) {
  uint64_t fraction = bits & 0xFFFFFFFFFFFFFull, biased = bits >> 52 & 0x7FF;
  *exponent = (biased ? (int64_t)biased : 1) - 1075;
  return biased ? fraction | 1ull << 52 : fraction;
}

/* value × 10^power, within a few units in the last place. */
FLOWRT_COLD double flowrt_scale(double value, int64_t power) {
  for (; power > 22; power -= 22) value *= 1e22;
  for (; power < -22; power += 22) value /= 1e22;
  return power < 0 ? value / flowrt_tens[-power] : value * flowrt_tens[power];
}

/* ---- text to double ---- */

typedef struct {
  uint64_t digits;       /* the first 19 significant ones, as an integer */
  int64_t exponent;      /* the power of ten of the last of them */
  uint32_t count;        /* how many they are */
  bool cut, negative;    /* cut: digits other than 0 follow */
  const char *mantissa;  /* the text, for the rare case in which all digits count */
  const char *mantissa_end;
} flowrt_decimal;

static inline bool flowrt_is_digit(const char *at, const char *end) { return at < end && (uint8_t)(*at - '0') < 10; }

/* Of eight characters less '0', the first in the lowest byte: a bit in each byte that is no digit, exact up to the first
 * one (a carry may only mark what follows it). */
static inline uint64_t flowrt_no_digits(uint64_t values) {
  return ((values + 0x7676767676767676) | values) & 0x8080808080808080;
}

/* The number that eight digits are, the first in the lowest byte. */
static inline uint64_t flowrt_eight_digits(uint64_t values) {
  values = values * 10 + (values >> 8); /* pairs, in every second byte */
  uint64_t high = (values & 0xFF000000FF) * 0xF424000000064, low = (values >> 16 & 0xFF000000FF) * 0x271000000001;
  return (high + low) >> 32;
}

/* Eight at a time while so many characters are left and no digit of them is too many, then one by one. */
static inline const char *flowrt_take_digits(const char *at, const char *end, flowrt_decimal *decimal, int64_t fraction) {
  while (end - at >= 8 && decimal->count <= 11) {
    uint64_t values;
    __builtin_memcpy(&values, at, 8);
    values ^= 0x3030303030303030;
    uint64_t others = flowrt_no_digits(values);
    uint32_t taken = others ? (uint32_t)__builtin_ctzll(others) / 8 : 8;
    if (!taken) return at;
    values <<= 64 - 8 * taken; /* zeros before the digits, nothing behind them */
    if (decimal->digits)
      decimal->count += taken;
    else if (values)
      decimal->count = 8 - (uint32_t)__builtin_ctzll(values) / 8;
    decimal->digits = decimal->digits * flowrt_powers[taken] + flowrt_eight_digits(values);
    decimal->exponent -= fraction * taken;
    at += taken;
    if (taken < 8) return at;
  }
  for (; flowrt_is_digit(at, end); at++) {
    if (decimal->count < 19) {
      decimal->digits = decimal->digits * 10 + (uint64_t)(*at - '0');
      decimal->count += decimal->digits != 0;
      decimal->exponent -= fraction;
    } else {
      decimal->cut |= *at != '0';
      decimal->exponent += 1 - fraction;
    }
  }
  return at;
}

static inline const char *flowrt_take_exponent(const char *at, const char *end, flowrt_decimal *decimal) {
  bool minus = at < end && *at == '-';
  int64_t exponent = 0;
  if (at < end && (*at == '-' || *at == '+')) at++;
  if (!flowrt_is_digit(at, end)) return NULL;
  for (; flowrt_is_digit(at, end); at++)
    if (exponent < 1000000000000) exponent = exponent * 10 + (*at - '0'); /* more than any payload's zeros make up for */
  decimal->exponent += minus ? -exponent : exponent;
  return at;
}

/* Takes a number of at most seven digits without an exponent, as most readings are, at once with the point in it. NULL
 * for any other, and where fewer than eight characters are left. It never needs its text again. */
FLOWRT_HOT const char *flowrt_take_short(const char *at, const char *end, flowrt_decimal *decimal) {
  uint64_t values;
  if (end - at < 8) return NULL;
  __builtin_memcpy(&values, at, 8);
  values ^= 0x3030303030303030;
  uint64_t others = flowrt_no_digits(values);
  if (!others) return NULL;
  uint32_t bits = (uint32_t)__builtin_ctzll(others) & ~7u, whole = bits; /* eight for each digit */
  if ((values >> bits & 0xFF) == ('.' ^ '0')) {
    uint64_t before = (1ull << bits) - 1;
    others = (others & (others - 1)) >> 8;
    values = (values & before) | (values >> 8 & ~before);
    if (!others) return NULL;
    bits = (uint32_t)__builtin_ctzll(others) & ~7u;
    if (bits == whole) return NULL;
    at++;
  }
  at += bits / 8;
  if (!whole || (whole > 8 && !(values & 0xFF)) || (*at | 32) == 'e') return NULL;
  values <<= 64 - bits; /* zeros before the digits, nothing behind them */
  decimal->digits = flowrt_eight_digits(values);
  decimal->count = values ? 8 - (uint32_t)__builtin_ctzll(values) / 8 : 0;
  decimal->exponent = -(int64_t)((bits - whole) / 8);
  return at;
}

/* Takes any number in JSON's grammar, from behind its sign. */
FLOWRT_COLD const char *flowrt_take_any(const char *at, const char *end, flowrt_decimal *decimal) {
  decimal->mantissa = at;
  if (!flowrt_is_digit(at, end) || (*at == '0' && flowrt_is_digit(at + 1, end))) return NULL;
  at = flowrt_take_digits(at, end, decimal, 0);
  if (at < end && *at == '.') {
    if (!flowrt_is_digit(at + 1, end)) return NULL;
    at = flowrt_take_digits(at + 1, end, decimal, 1);
  }
  decimal->mantissa_end = at;
  return at < end && (*at | 32) == 'e' ? flowrt_take_exponent(at + 1, end, decimal) : at;
}

/* Takes one number in JSON's grammar. Where it ends, or NULL when there is none. */
FLOWRT_HOT const char *flowrt_take_number(const char *at, const char *end, flowrt_decimal *decimal) {
  *decimal = (flowrt_decimal){.negative = at < end && *at == '-'};
  at += decimal->negative;
  const char *after = flowrt_take_short(at, end, decimal);
  if (after) return after;
  flowrt_decimal any = {.negative = decimal->negative}; /* a copy, so that the short way needs no memory for its own */
  after = flowrt_take_any(at, end, &any);
  *decimal = any;
  return after;
}

/* The same where one more copy of that code would be too many. */
FLOWRT_COLD const char *flowrt_take_one(const char *at, const char *end, flowrt_decimal *decimal) {
  return flowrt_take_number(at, end, decimal);
}

/* Every digit as an integer; gives the power of ten of the last. Past 768 only whether any is not 0 can matter. */
static inline int64_t flowrt_all_digits(const flowrt_decimal *decimal, flowrt_big *big) {
  flowrt_big_set(big, decimal->digits);
  if (!decimal->cut) return decimal->exponent;
  int64_t taken = 0;
  bool rest = false;
  flowrt_big_set(big, 0);
  for (const char *at = decimal->mantissa; at < decimal->mantissa_end; at++) {
    if (*at == '.' || (!taken && *at == '0')) continue;
    if (taken == 768) {
      rest |= *at != '0';
      continue;
    }
    flowrt_big_add_times(big, 10, (uint32_t)(*at - '0'));
    taken++;
  }
  if (rest) flowrt_big_add_times(big, 10, 1), taken++;
  return decimal->exponent - (taken - 19);
}

/* Whether the decimal rounds to more than this double: it is past the middle to the next, or on it and even is above. */
FLOWRT_COLD bool flowrt_rounds_above(const flowrt_decimal *decimal, uint64_t bits) {
  flowrt_big value, middle;
  int64_t tens = flowrt_all_digits(decimal, &value), twos;
  flowrt_big_set(&middle, 2 * flowrt_mantissa(bits, &twos) + 1);
  int order = flowrt_big_compare(&value, tens, &middle, twos - 1);
  return order > 0 || (order == 0 && (bits & 1));
}

FLOWRT_COLD double flowrt_proven(const flowrt_decimal *decimal) {
  const uint64_t infinity = 0x7FFull << 52;
  int64_t top = decimal->count + decimal->exponent;
  if (!decimal->digits || top < -330) return 0;
  if (top > 310) return flowrt_double(infinity);
  uint64_t bits = flowrt_bits(flowrt_scale((double)decimal->digits, decimal->exponent));
  if (bits > infinity - 1) bits = infinity - 1;
  while (bits < infinity && flowrt_rounds_above(decimal, bits)) bits++;
  while (bits && !flowrt_rounds_above(decimal, bits - 1)) bits--;
  return flowrt_double(bits);
}

/* The nearest double, ties to even; infinite when it is out of range. */
static inline double flowrt_decimal_value(const flowrt_decimal *decimal) {
  double value;
  if (!decimal->cut && decimal->digits < 1ull << 53 && decimal->exponent >= -22 && decimal->exponent <= 22)
    value = decimal->exponent < 0 ? (double)decimal->digits / flowrt_tens[-decimal->exponent]
                                  : (double)decimal->digits * flowrt_tens[decimal->exponent];
  else {
    flowrt_decimal copy = *decimal;
    value = flowrt_proven(&copy);
  }
  return decimal->negative ? -value : value;
}

/* ---- double to text ---- */

/* Copies `size` bytes, eight at a time: what is copied here is too short for memory.copy to be worth its call. The end. */
FLOWRT_COLD char *flowrt_copy(char *to, const char *from, uint32_t size) {
  for (; size >= 8; size -= 8, to += 8, from += 8) __builtin_memcpy(to, from, 8);
  if (size & 4) __builtin_memcpy(to, from, 4), to += 4, from += 4;
  if (size & 2) __builtin_memcpy(to, from, 2), to += 2, from += 2;
  if (size & 1) *to++ = *from;
  return to;
}

FLOWRT_COLD bool flowrt_rounds_above_integer(double value, int64_t power, uint64_t integer) {
  flowrt_big scaled, middle;
  int64_t twos;
  flowrt_big_set(&scaled, 2 * flowrt_mantissa(flowrt_bits(value), &twos));
  flowrt_big_set(&middle, 2 * integer + 1);
  int order = flowrt_big_compare(&scaled, power, &middle, -twos);
  return order > 0 || (order == 0 && (integer & 1));
}

/* value × 10^power, of which `scaled` is a guess, to the nearest integer, ties to even. */
static inline uint64_t flowrt_rounded_from(double scaled, double value, int64_t power) {
  double doubt = scaled * 0x1p-46;
  uint64_t integer = (uint64_t)scaled;
  double fraction = scaled - (double)integer;
  if (fraction + doubt < 0.5) return integer;
  if (fraction - doubt > 0.5 && doubt < 0.25) return integer + 1;
  while (flowrt_rounds_above_integer(value, power, integer)) integer++;
  while (integer && !flowrt_rounds_above_integer(value, power, integer - 1)) integer--;
  return integer;
}

FLOWRT_COLD uint64_t flowrt_rounded(double value, int64_t power) {
  return flowrt_rounded_from(flowrt_scale(value, power), value, power);
}

/* The first `digits` digits of a positive value as an integer, and the power of ten of the first. */
static inline uint64_t flowrt_leading(double value, int32_t digits, int32_t *exponent) {
  int32_t first = (int32_t)(((int64_t)(flowrt_bits(value) >> 52) - 1023) * 0.30103);
  double scaled = flowrt_scale(value, digits - 1 - first);
  while (scaled < flowrt_tens[digits - 1]) scaled = flowrt_scale(value, digits - 1 - --first);
  while (scaled >= flowrt_tens[digits]) scaled = flowrt_scale(value, digits - 1 - ++first);
  uint64_t integer = flowrt_rounded_from(scaled, value, digits - 1 - first);
  if (integer >= (uint64_t)flowrt_tens[digits]) { /* just above a power of ten, or rounded up to it */
    integer = flowrt_rounded(value, digits - 1 - ++first);
  } else if (integer <= (uint64_t)flowrt_tens[digits - 1]) { /* perhaps just below one: one digit more tells */
    uint64_t finer = flowrt_rounded(value, digits - first);
    if (finer < (uint64_t)flowrt_tens[digits]) integer = finer, first--;
  }
  *exponent = first;
  return integer;
}

/* `count` digits with a point before the one at `point`, or zeros up to there where they are fewer. */
FLOWRT_COLD char *flowrt_put_digits(char *out, const char *digits, int32_t count, int32_t point) {
  int32_t whole = count < point ? count : point;
  out = flowrt_copy(out, digits, (uint32_t)whole);
  for (int32_t i = count; i < point; i++) *out++ = '0';
  if (count <= point) return out;
  *out++ = '.';
  return flowrt_copy(out, digits + whole, (uint32_t)(count - whole));
}

/* A number below 10^8 as eight digits of a byte each, the first in the lowest one. */
static inline uint64_t flowrt_as_eight_digits(uint64_t value) {
  uint64_t fours = value / 10000 | value % 10000 << 32;
  uint64_t hundreds = fours * 10486 >> 20 & 0x7F0000007F, twos = hundreds | (fours - hundreds * 100) << 16;
  uint64_t tens = twos * 103 >> 10 & 0xF000F000F000F;
  return tens | (twos - tens * 10) << 8;
}

/* Writes an integer of 1 to 17 digits, and zeros behind it. How many digits it has without zeros at its end. */
static inline int32_t flowrt_put_integer(char out[17], uint64_t integer, int32_t digits) {
  int32_t lead = digits > 16;
  if (lead) *out++ = (char)('0' + integer / 10000000000000000), integer %= 10000000000000000, digits--;
  uint64_t high = integer * flowrt_powers[(digits > 8 ? 16 : 8) - digits], low = 0;
  if (digits > 8) low = flowrt_as_eight_digits(high % 100000000), high /= 100000000;
  high = flowrt_as_eight_digits(high);
  uint64_t texts[2] = {high | 0x3030303030303030, low | 0x3030303030303030};
  __builtin_memcpy(out, texts, 16);
  return lead + (low ? 16 - __builtin_clzll(low) / 8 : high ? 8 - __builtin_clzll(high) / 8 : 0);
}

static inline char *flowrt_put_exponent(char *out, int32_t exponent) {
  uint32_t size = exponent < 0 ? -exponent : exponent;
  *out++ = 'e';
  *out++ = exponent < 0 ? '-' : '+';
  if (size >= 100) *out++ = (char)('0' + size / 100);
  *out++ = (char)('0' + size / 10 % 10);
  *out++ = (char)('0' + size % 10);
  return out;
}

/* Writes what C's "%.*g" writes for 1 to 17 digits (17 read back as the same double), and "null" for what is no finite
 * number, so that the result is JSON. Gives the size, at most 24. */
FLOWRT_COLD uint32_t flowrt_format(double value, int32_t digits, char out[24]) {
  char *at = out, text[17];
  if (value - value != 0) return __builtin_memcpy(out, "null", 4), 4;
  if (flowrt_bits(value) >> 63) *at++ = '-', value = -value;
  if (value == 0) return *at++ = '0', (uint32_t)(at - out);
  int32_t exponent;
  digits = digits < 1 ? 1 : digits > 17 ? 17 : digits;
  uint64_t integer = flowrt_leading(value, digits, &exponent);
  int32_t count = flowrt_put_integer(text, integer, digits);
  if (exponent < -4 || exponent >= digits) {
    at = flowrt_put_exponent(flowrt_put_digits(at, text, count, 1), exponent);
  } else if (exponent < 0) {
    *at++ = '0', *at++ = '.';
    for (int32_t i = exponent; i < -1; i++) *at++ = '0';
    at = flowrt_put_digits(at, text, count, count);
  } else {
    at = flowrt_put_digits(at, text, count, exponent + 1);
  }
  return (uint32_t)(at - out);
}

#endif
