//! Decimal text to double and back, correctly rounded, as in the C SDK: both directions guess in floating point and,
//! only where the guess might be wrong, prove it with big integers. `core`'s own are right too, and 60 kB.

use crate::big::Big;

const TENS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];
const INFINITY: u64 = 0x7FF << 52;

fn ten(power: i64) -> f64 {
    TENS.get(power as usize).copied().unwrap_or(f64::NAN)
}

/// value × 10^power, within a few units in the last place.
fn scale(mut value: f64, mut power: i64) -> f64 {
    while power > 22 {
        value *= 1e22;
        power -= 22;
    }
    while power < -22 {
        value /= 1e22;
        power += 22;
    }
    if power < 0 {
        value / ten(-power)
    } else {
        value * ten(power)
    }
}

/// Mantissa and exponent of two.
fn parts(bits: u64) -> (u64, i64) {
    let (fraction, biased) = (bits & 0xF_FFFF_FFFF_FFFF, (bits >> 52 & 0x7FF) as i64);
    if biased == 0 {
        (fraction, -1074)
    } else {
        (fraction | 1 << 52, biased - 1075)
    }
}

/// A number in JSON's grammar, taken apart.
#[derive(Default)]
pub struct Decimal {
    digits: u64,   // the first 19 significant ones
    exponent: i64, // the power of ten of the last of them
    count: u32,    // how many they are
    cut: bool,     // digits other than 0 follow
    negative: bool,
    mantissa: (usize, usize), // where all digits are
}

fn is_digit(text: &[u8], at: usize) -> bool {
    matches!(text.get(at), Some(b'0'..=b'9'))
}

impl Decimal {
    /// Takes a number from the beginning of a text; gives where it ends too.
    pub fn take(text: &[u8]) -> Option<(Decimal, usize)> {
        let negative = text.first() == Some(&b'-');
        let mut decimal = Decimal { negative, ..Decimal::default() };
        let start = negative as usize;
        if !is_digit(text, start) || (text.get(start) == Some(&b'0') && is_digit(text, start + 1)) {
            return None;
        }
        let mut at = decimal.take_digits(text, start, 0);
        if text.get(at) == Some(&b'.') {
            if !is_digit(text, at + 1) {
                return None;
            }
            at = decimal.take_digits(text, at + 1, 1);
        }
        decimal.mantissa = (start, at);
        if matches!(text.get(at), Some(b'e' | b'E')) {
            at = decimal.take_exponent(text, at + 1)?;
        }
        Some((decimal, at))
    }

    fn take_digits(&mut self, text: &[u8], mut at: usize, fraction: i64) -> usize {
        while let Some(byte @ b'0'..=b'9') = text.get(at) {
            if self.count < 19 {
                self.digits = self.digits * 10 + (byte - b'0') as u64;
                self.count += (self.digits != 0) as u32;
                self.exponent -= fraction;
            } else {
                self.cut |= *byte != b'0';
                self.exponent += 1 - fraction;
            }
            at += 1;
        }
        at
    }

    fn take_exponent(&mut self, text: &[u8], mut at: usize) -> Option<usize> {
        let minus = text.get(at) == Some(&b'-');
        if matches!(text.get(at), Some(b'+' | b'-')) {
            at += 1;
        }
        if !is_digit(text, at) {
            return None;
        }
        let mut exponent = 0;
        while let Some(byte @ b'0'..=b'9') = text.get(at) {
            if exponent < 1_000_000_000_000 {
                exponent = exponent * 10 + (byte - b'0') as i64; // more than any payload's zeros make up for
            }
            at += 1;
        }
        self.exponent += if minus { -exponent } else { exponent };
        Some(at)
    }

    /// The nearest double, ties to even; infinite when out of range. `text` is what it was taken from.
    pub fn value(&self, text: &[u8]) -> f64 {
        let small = !self.cut && self.digits < 1 << 53 && (-22..=22).contains(&self.exponent);
        let size = if small { scale(self.digits as f64, self.exponent) } else { self.proven(text) };
        if self.negative {
            -size
        } else {
            size
        }
    }

    #[inline(never)]
    fn proven(&self, text: &[u8]) -> f64 {
        let top = self.count as i64 + self.exponent;
        if self.digits == 0 || top < -330 {
            return 0.0;
        }
        if top > 310 {
            return f64::INFINITY;
        }
        let mut bits = scale(self.digits as f64, self.exponent).to_bits().min(INFINITY - 1);
        while bits < INFINITY && self.rounds_above(text, bits) {
            bits += 1;
        }
        while bits > 0 && !self.rounds_above(text, bits - 1) {
            bits -= 1;
        }
        f64::from_bits(bits)
    }

    /// Whether it rounds to more than this double: it is past the middle to the next, or on it and even is above.
    fn rounds_above(&self, text: &[u8], bits: u64) -> bool {
        let (value, tens) = self.all_digits(text);
        let (mantissa, twos) = parts(bits);
        let order = value.compare(tens, Big::new(2 * mantissa + 1), twos - 1);
        order.is_gt() || (order.is_eq() && bits & 1 == 1)
    }

    /// Every digit, and the power of ten of the last. Past 768 only whether any is not 0 can matter.
    fn all_digits(&self, text: &[u8]) -> (Big, i64) {
        if !self.cut {
            return (Big::new(self.digits), self.exponent);
        }
        let (mut big, mut taken, mut rest) = (Big::new(0), 0, false);
        for &byte in text.get(self.mantissa.0..self.mantissa.1).unwrap_or(&[]) {
            if byte == b'.' || (taken == 0 && byte == b'0') {
                continue;
            }
            if taken == 768 {
                rest |= byte != b'0';
                continue;
            }
            big.times_plus(10, (byte - b'0') as u32);
            taken += 1;
        }
        if rest {
            big.times_plus(10, 1);
            taken += 1;
        }
        (big, self.exponent - (taken - 19))
    }
}

fn rounds_above_integer(value: f64, power: i64, integer: u64) -> bool {
    let (mantissa, twos) = parts(value.to_bits());
    let order = Big::new(2 * mantissa).compare(power, Big::new(2 * integer + 1), -twos);
    order.is_gt() || (order.is_eq() && integer & 1 == 1)
}

/// value × 10^power to the nearest integer, ties to even.
fn rounded(value: f64, power: i64) -> u64 {
    let scaled = scale(value, power);
    let doubt = scaled / 70_368_744_177_664.0; // 2^46: sixteen steps of two units in the last place are less
    let mut integer = scaled as u64;
    let fraction = scaled - integer as f64;
    if fraction + doubt < 0.5 {
        return integer;
    }
    if fraction - doubt > 0.5 && doubt < 0.25 {
        return integer + 1;
    }
    while rounds_above_integer(value, power, integer) {
        integer += 1;
    }
    while integer > 0 && !rounds_above_integer(value, power, integer - 1) {
        integer -= 1;
    }
    integer
}

/// The first `digits` digits of a positive value as an integer, and the power of ten of the first.
pub fn leading(value: f64, digits: i64) -> (u64, i64) {
    let mut first = (((value.to_bits() >> 52) as i64 - 1023) as f64 * 0.30103) as i64;
    while scale(value, digits - 1 - first) < ten(digits - 1) {
        first -= 1;
    }
    while scale(value, digits - 1 - first) >= ten(digits) {
        first += 1;
    }
    let mut integer = rounded(value, digits - 1 - first);
    if integer >= ten(digits) as u64 {
        first += 1; // just above a power of ten, or rounded up to it
        integer = rounded(value, digits - 1 - first);
    } else if integer <= ten(digits - 1) as u64 {
        // Perhaps just below one: one digit more tells.
        let finer = rounded(value, digits - first);
        if finer < ten(digits) as u64 {
            integer = finer;
            first -= 1;
        }
    }
    (integer, first)
}
