//! passthrough-rust: every message comes out as it went in.
#![no_std]
use flowrt::{Message, Output};

flowrt::map!(pass);

fn pass(message: &Message, out: &mut Output) {
    out.pass(message);
}
