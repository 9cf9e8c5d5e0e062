//! The configuration of the operation.

use crate::abi::Property;
use crate::json;

/// The properties of the operation, while `init!` runs.
pub struct Settings<'a>(pub(crate) &'a [Property]);

impl<'a> Settings<'a> {
    pub fn get(&self, key: &str) -> Option<&'a str> {
        self.0.iter().map(texts).find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    /// A numeric property, or `default` where it is not set; `Err` names what is wrong with one that is.
    pub fn number(&self, key: &str, default: f64) -> Result<f64, &'static str> {
        match self.get(key) {
            None => Ok(default),
            Some(text) => json::parse(text).ok_or("a property that must be a number is none"),
        }
    }
}

fn texts(property: &Property) -> (&'static str, &'static str) {
    // SAFETY: the host gives addresses of UTF-8 that stays while `flowrt_init` runs; `Settings` lives no longer.
    unsafe {
        let key = core::slice::from_raw_parts(property.key, property.key_size);
        let value = core::slice::from_raw_parts(property.value, property.value_size);
        (core::str::from_utf8_unchecked(key), core::str::from_utf8_unchecked(value))
    }
}
