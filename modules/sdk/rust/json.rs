//! Reading JSON where it lies, and numbers that are JSON when written.
//!
//! A document is checked as a whole (RFC 8259, nesting to 64) before a value of it is used. Of a key that appears twice
//! the last counts.

use crate::number::{leading, Decimal};
use core::fmt::{self, Write};

const DEPTH: u32 = 64;

/// The text of a value of the document's outermost object; None where it is missing or the document is malformed.
pub fn find<'a>(document: &'a [u8], key: &str) -> Option<&'a str> {
    let text = core::str::from_utf8(document).ok()?;
    let mut scanner = Scanner { text: text.as_bytes(), at: 0 };
    let mut found = None;
    scanner.space();
    scanner.members(b'{', 0, &mut |scanner, name, start| {
        if text.get(name.0..name.1).map_or(false, |name| means(name, key)) {
            found = text.get(start..scanner.at);
        }
    })?;
    scanner.space();
    if scanner.at == text.len() {
        found
    } else {
        None
    }
}

/// The finite number at a key; None also where it is something else.
pub fn number(document: &[u8], key: &str) -> Option<f64> {
    parse(find(document, key)?)
}

/// A finite number whose whole text is one of JSON's.
pub fn parse(text: &str) -> Option<f64> {
    let (decimal, end) = Decimal::take(text.as_bytes())?;
    let value = decimal.value(text.as_bytes());
    (end == text.len() && value.is_finite()).then(|| value)
}

/// Writes a number with 1 to 17 significant digits as C's `%.*g` does, and `null` for NaN and the infinities.
pub struct Number(pub f64, pub u32);

impl fmt::Display for Number {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        if !self.0.is_finite() {
            return out.write_str("null");
        }
        if self.0.is_sign_negative() {
            out.write_str("-")?;
        }
        if self.0 == 0.0 {
            return out.write_str("0");
        }
        let digits = self.1.clamp(1, 17) as i64;
        let (mut integer, exponent) = leading(f64::from_bits(self.0.to_bits() & !(1 << 63)), digits);
        let mut text = [b'0'; 17];
        let mut count = digits as usize;
        for place in text.iter_mut().take(count).rev() {
            *place = b'0' + (integer % 10) as u8;
            integer /= 10;
        }
        while count > 1 && text.get(count - 1) == Some(&b'0') {
            count -= 1;
        }
        // SAFETY: digits only.
        let text = unsafe { core::str::from_utf8_unchecked(text.get(..count).unwrap_or(&[])) };
        if exponent < -4 || exponent >= digits {
            put_digits(out, text, 1)?;
            put_exponent(out, exponent)
        } else if exponent < 0 {
            out.write_str("0.")?;
            (exponent..-1).try_for_each(|_| out.write_str("0"))?;
            out.write_str(text)
        } else {
            put_digits(out, text, exponent as usize + 1)
        }
    }
}

/// Digits with a point behind the first `point`, filled up with zeros.
fn put_digits(out: &mut fmt::Formatter, text: &str, point: usize) -> fmt::Result {
    match (text.get(..point), text.get(point..)) {
        (Some(whole), Some(fraction)) if !fraction.is_empty() => {
            out.write_str(whole)?;
            out.write_str(".")?;
            out.write_str(fraction)
        }
        _ => {
            out.write_str(text)?;
            (text.len()..point).try_for_each(|_| out.write_str("0"))
        }
    }
}

fn put_exponent(out: &mut fmt::Formatter, exponent: i64) -> fmt::Result {
    let size = if exponent < 0 { -exponent } else { exponent } as u32;
    out.write_str(if exponent < 0 { "e-" } else { "e+" })?;
    let digit = |value: u32| char::from_digit(value % 10, 10).unwrap_or('0');
    if size >= 100 {
        out.write_char(digit(size / 100))?;
    }
    out.write_char(digit(size / 10))?;
    out.write_char(digit(size))
}

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
}

type Range = (usize, usize);

impl Scanner<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        if self.peek()? != byte {
            return None;
        }
        self.at += 1;
        Some(())
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        word.iter().try_for_each(|&byte| self.take(byte))
    }

    fn number(&mut self) -> Option<()> {
        self.at += Decimal::take(self.text.get(self.at..)?)?.1;
        Some(())
    }

    /// A string; gives where it lies between its quotes.
    fn string(&mut self) -> Option<Range> {
        self.take(b'"')?;
        let start = self.at;
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => {
                    self.at += 1;
                    self.escape()?;
                }
                0..=0x1f => return None,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        Some((start, self.at - 1))
    }

    fn escape(&mut self) -> Option<()> {
        match self.peek()? {
            b'u' => {
                hex(self.text.get(self.at + 1..self.at + 5)?)?;
                self.at += 5;
            }
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 1,
            _ => return None,
        }
        Some(())
    }

    fn value(&mut self, depth: u32) -> Option<()> {
        if depth >= DEPTH {
            return None;
        }
        match self.peek()? {
            open @ (b'{' | b'[') => self.members(open, depth, &mut |_, _, _| {}),
            b'"' => self.string().map(|_| ()),
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => self.word(b"null"),
            _ => self.number(),
        }
    }

    /// An object or array; `each` is told the key and where the value begins when it has been passed.
    fn members(&mut self, open: u8, depth: u32, each: &mut dyn FnMut(&Self, Range, usize)) -> Option<()> {
        let close = open + 2; // as ASCII has it: [ ] and { }
        self.take(open)?;
        self.space();
        if self.take(close).is_some() {
            return Some(());
        }
        loop {
            self.space();
            let mut key = (0, 0);
            if open == b'{' {
                key = self.string()?;
                self.space();
                self.take(b':')?;
                self.space();
            }
            let start = self.at;
            self.value(depth + 1)?;
            each(self, key, start);
            self.space();
            if self.take(close).is_some() {
                return Some(());
            }
            self.take(b',')?;
        }
    }
}

fn hex(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |value, &digit| Some(value * 16 + (digit as char).to_digit(16)?))
}

/// Whether a checked string means this text, its escapes read.
fn means(raw: &str, text: &str) -> bool {
    let mut wanted = text.chars();
    let mut rest = raw;
    while let Some((found, after)) = next_char(rest) {
        if found.is_none() || wanted.next() != found {
            return false;
        }
        rest = after;
    }
    wanted.next().is_none()
}

/// The next character of a checked string and what follows; an inner None is half a surrogate pair.
fn next_char(text: &str) -> Option<(Option<char>, &str)> {
    let mut chars = text.chars();
    let first = chars.next()?;
    if first != '\\' {
        return Some((Some(first), chars.as_str()));
    }
    let plain = match chars.next()? {
        'u' => return Some(unicode(chars.as_str())),
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        other => other,
    };
    Some((Some(plain), chars.as_str()))
}

fn unicode(text: &str) -> (Option<char>, &str) {
    let code = |text: &str| text.get(..4).and_then(|digits| hex(digits.as_bytes())).unwrap_or(0);
    let (high, rest) = (code(text), text.get(4..).unwrap_or(""));
    match (high, rest.strip_prefix("\\u")) {
        (0xD800..=0xDBFF, Some(second)) if (0xDC00..=0xDFFF).contains(&code(second)) => {
            let point = 0x10000 + ((high - 0xD800) << 10) + (code(second) - 0xDC00);
            (char::from_u32(point), second.get(4..).unwrap_or(""))
        }
        _ => (char::from_u32(high), rest),
    }
}
