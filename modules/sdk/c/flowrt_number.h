/* Decimal text to double and back, correctly rounded, in a few hundred bytes of tables. Part of flowrt.h.
 *
 * Both directions guess in floating point and, only where the guess might be wrong, prove it with big integers. Sensor
 * values never get there: 15 digits and a small exponent are exact with one multiplication or division.
 */
#ifndef FLOWRT_NUMBER_H
#define FLOWRT_NUMBER_H

static const double flowrt_tens[23] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                       1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

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

static inline const char *flowrt_take_digits(const char *at, const char *end, flowrt_decimal *decimal, int64_t fraction) {
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

/* Takes one number in JSON's grammar. Where it ends, or NULL when there is none. */
static inline const char *flowrt_take_number(const char *at, const char *end, flowrt_decimal *decimal) {
  *decimal = (flowrt_decimal){.negative = at < end && *at == '-'};
  at += decimal->negative;
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
  else
    value = flowrt_proven(decimal);
  return decimal->negative ? -value : value;
}

/* ---- double to text ---- */

FLOWRT_COLD bool flowrt_rounds_above_integer(double value, int64_t power, uint64_t integer) {
  flowrt_big scaled, middle;
  int64_t twos;
  flowrt_big_set(&scaled, 2 * flowrt_mantissa(flowrt_bits(value), &twos));
  flowrt_big_set(&middle, 2 * integer + 1);
  int order = flowrt_big_compare(&scaled, power, &middle, -twos);
  return order > 0 || (order == 0 && (integer & 1));
}

/* value × 10^power to the nearest integer, ties to even. */
FLOWRT_COLD uint64_t flowrt_rounded(double value, int64_t power) {
  double scaled = flowrt_scale(value, power), doubt = scaled * 0x1p-46;
  uint64_t integer = (uint64_t)scaled;
  double fraction = scaled - (double)integer;
  if (fraction + doubt < 0.5) return integer;
  if (fraction - doubt > 0.5 && doubt < 0.25) return integer + 1;
  while (flowrt_rounds_above_integer(value, power, integer)) integer++;
  while (integer && !flowrt_rounds_above_integer(value, power, integer - 1)) integer--;
  return integer;
}

/* The first `digits` digits of a positive value as an integer, and the power of ten of the first. */
static inline uint64_t flowrt_leading(double value, int32_t digits, int32_t *exponent) {
  int32_t first = (int32_t)(((int64_t)(flowrt_bits(value) >> 52) - 1023) * 0.30103);
  while (flowrt_scale(value, digits - 1 - first) < flowrt_tens[digits - 1]) first--;
  while (flowrt_scale(value, digits - 1 - first) >= flowrt_tens[digits]) first++;
  uint64_t integer = flowrt_rounded(value, digits - 1 - first);
  if (integer >= (uint64_t)flowrt_tens[digits]) { /* just above a power of ten, or rounded up to it */
    integer = flowrt_rounded(value, digits - 1 - ++first);
  } else if (integer <= (uint64_t)flowrt_tens[digits - 1]) { /* perhaps just below one: one digit more tells */
    uint64_t finer = flowrt_rounded(value, digits - first);
    if (finer < (uint64_t)flowrt_tens[digits]) integer = finer, first--;
  }
  *exponent = first;
  return integer;
}

FLOWRT_COLD char *flowrt_put_digits(char *out, const char *digits, int32_t count, int32_t point) {
  for (int32_t i = 0; i < count || i < point; i++) {
    if (i == point) *out++ = '.';
    *out++ = i < count ? digits[i] : '0';
  }
  return out;
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
  int32_t exponent, count = digits = digits < 1 ? 1 : digits > 17 ? 17 : digits;
  uint64_t integer = flowrt_leading(value, digits, &exponent);
  for (int32_t i = digits; i-- > 0; integer /= 10) text[i] = (char)('0' + integer % 10);
  while (count > 1 && text[count - 1] == '0') count--;
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
