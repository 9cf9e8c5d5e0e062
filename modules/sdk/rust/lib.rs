//! Write a flowrt module in Rust. `docs/guests.md` is the tutorial, `docs/abi.md` the page this crate implements.
//!
//! ```ignore
//! #![no_std]
//! use flowrt::{json, Message, Output};
//!
//! flowrt::map!(scale);
//!
//! fn scale(message: &Message, out: &mut Output) {
//!     match json::number(message.payload(), "value") {
//!         Some(value) => out.emit_fmt(format_args!("{{\"value\":{}}}", json::Number(value * 0.1, 9))),
//!         None => out.fail("no number at value"),
//!     }
//! }
//! ```
//!
//! No dependencies, no `std`, no allocator: what a batch needs comes from an arena that is forgotten as a whole when the
//! next batch begins, so nothing leaks. A panic writes its place to the log and traps; the host makes a fresh instance.
#![no_std]

pub mod abi;
mod big;
pub mod json;
mod memory;
mod message;
mod module;
pub mod nn;
mod number;
mod output;
mod settings;
mod state;

use core::fmt::Write;

pub use message::{Message, Tensor, Type};
pub use output::{Changes, Output, Text};
pub use settings::Settings;
pub use state::State;

#[doc(hidden)]
pub use module::{decide, init, map, restore, save};

/// How grave a log line is.
#[derive(Clone, Copy)]
#[repr(u32)]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

/// Writes a line to the node's log.
pub fn log(level: Level, text: &str) {
    // SAFETY: the host reads these bytes before it returns.
    unsafe { abi::log(level as u32, text.as_ptr(), text.len()) }
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo) -> ! {
    if let Some(place) = info.location() {
        let mut text = Text::new();
        let _ = write!(text, "panicked at {}:{}", place.file(), place.line());
        log(Level::Error, core::str::from_utf8(text.as_bytes()).unwrap_or("panicked"));
    }
    core::arch::wasm32::unreachable()
}

/// `map!(f)` with `fn f(&Message, &mut Output)`: emits none, one or several outputs, or fails.
#[macro_export]
macro_rules! map {
    ($function:path) => {
        #[no_mangle]
        pub extern "C" fn flowrt_map(
            messages: *const $crate::Message,
            count: usize,
        ) -> *const $crate::abi::Outputs {
            $crate::map(messages, count, $function)
        }
    };
}

/// `filter!(f)` with `fn f(&Message) -> Result<bool, &str>`: `Ok(true)` passes the message on, `Err` fails it.
#[macro_export]
macro_rules! filter {
    ($function:path) => {
        #[no_mangle]
        pub extern "C" fn flowrt_filter(messages: *const $crate::Message, count: usize) -> *const u8 {
            $crate::decide(messages, count, $function)
        }
    };
}

/// `branch!(f)` with `fn f(&Message) -> Result<bool, &str>`: `Ok(true)` takes the arm "True".
#[macro_export]
macro_rules! branch {
    ($function:path) => {
        #[no_mangle]
        pub extern "C" fn flowrt_branch(messages: *const $crate::Message, count: usize) -> *const u8 {
            $crate::decide(messages, count, $function)
        }
    };
}

/// `init!(f)` with `fn f(&Settings) -> Result<(), &str>`: reads the configuration; `Err` refuses to start.
#[macro_export]
macro_rules! init {
    ($function:path) => {
        #[no_mangle]
        pub extern "C" fn flowrt_init(properties: *const $crate::abi::Property, count: usize) -> i32 {
            $crate::init(properties, count, $function)
        }
    };
}

/// `save!(f, g)` with `fn f() -> &'static [u8]` (the whole state) and `fn g(&[u8]) -> bool` (takes it back).
#[macro_export]
macro_rules! save {
    ($save:path, $restore:path) => {
        #[no_mangle]
        pub extern "C" fn flowrt_save() -> *const $crate::abi::Span {
            $crate::save($save)
        }
        #[no_mangle]
        pub extern "C" fn flowrt_restore(state: *const u8, size: usize) -> i32 {
            $crate::restore(state, size, $restore)
        }
    };
}

/// `declare!(br#"{"input": […], "output": […]}"#)`: the custom section `flowrt`, for modules that deal in tensors.
#[macro_export]
macro_rules! declare {
    ($json:expr) => {
        #[link_section = "flowrt"]
        #[used]
        static FLOWRT_DECLARATION: [u8; $json.len()] = *$json;
    };
}
