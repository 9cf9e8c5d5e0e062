//! scale: {"value": x} in, {"value": x × factor} out. Properties: factor (1).
#![no_std]
use flowrt::{json, Message, Output, Settings, State};

static FACTOR: State<f64> = State::new(1.0);

flowrt::init!(configure);
flowrt::map!(scale);

fn configure(settings: &Settings) -> Result<(), &'static str> {
    settings.number("factor", 1.0).map(|factor| FACTOR.set(factor))
}

fn scale(message: &Message, out: &mut Output) {
    match json::number(message.payload(), "value") {
        Some(value) => out.emit_fmt(format_args!("{{\"value\":{}}}", json::Number(value * FACTOR.get(), 9))),
        None => out.fail("no number at value"),
    }
}
