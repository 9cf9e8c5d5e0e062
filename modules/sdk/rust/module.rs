//! What the macros call: from the exports of the ABI to functions of the user.

use crate::abi::{Outputs, Property, Span};
use crate::output::fail_row;
use crate::{log, memory, Level, Message, Output, Settings};
use core::cell::UnsafeCell;
use core::slice::from_raw_parts;

/// A struct whose address the host is given. One thread, and written before every return.
struct Returned<T>(UnsafeCell<T>);

// SAFETY: core modules of flowrt have no threads.
unsafe impl<T> Sync for Returned<T> {}

impl<T> Returned<T> {
    fn put(&self, value: T) -> *const T {
        // SAFETY: nothing in this module holds a reference to it.
        unsafe { *self.0.get() = value };
        self.0.get()
    }
}

static OUTPUTS: Returned<Outputs> = Returned(UnsafeCell::new(Outputs { outputs: core::ptr::null(), count: 0 }));
static SPAN: Returned<Span> = Returned(UnsafeCell::new(Span { data: core::ptr::null(), size: 0 }));

pub fn map(messages: *const Message, count: usize, function: fn(&Message, &mut Output)) -> *const Outputs {
    memory::begin_batch();
    let mut out = Output::new(count);
    // SAFETY: the host gives the address of `count` messages.
    for (row, message) in unsafe { from_raw_parts(messages, count) }.iter().enumerate() {
        out.begin(row);
        function(message, &mut out);
    }
    OUTPUTS.put(out.outputs())
}

pub fn decide(
    messages: *const Message,
    count: usize,
    function: for<'a> fn(&'a Message) -> Result<bool, &'a str>,
) -> *const u8 {
    memory::begin_batch();
    let verdicts = match memory::allocate(count) {
        Some(block) => block,
        None => core::arch::wasm32::unreachable(),
    };
    // SAFETY: the host gives the address of `count` messages.
    for (row, message) in unsafe { from_raw_parts(messages, count) }.iter().enumerate() {
        let verdict = function(message).unwrap_or_else(|words| {
            fail_row(row as u32, words);
            false
        });
        // SAFETY: one byte a message.
        unsafe { verdicts.add(row).write(verdict as u8) };
    }
    verdicts
}

pub fn init(
    properties: *const Property,
    count: usize,
    function: for<'a> fn(&'a Settings<'a>) -> Result<(), &'static str>,
) -> i32 {
    memory::begin_batch();
    // SAFETY: the host gives the address of `count` properties.
    let given = if count == 0 { &[] } else { unsafe { from_raw_parts(properties, count) } };
    match function(&Settings(given)) {
        Ok(()) => 0,
        Err(words) => {
            log(Level::Error, words);
            1
        }
    }
}

pub fn save(function: fn() -> &'static [u8]) -> *const Span {
    memory::begin_batch();
    let state = function();
    SPAN.put(Span { data: state.as_ptr(), size: state.len() })
}

pub fn restore(state: *const u8, size: usize, function: fn(&[u8]) -> bool) -> i32 {
    memory::begin_batch();
    // SAFETY: the host gives the address of `size` bytes.
    let state = if size == 0 { &[] } else { unsafe { from_raw_parts(state, size) } };
    !function(state) as i32
}
