//! scorer: drives a model of the node through wasi-nn, in Rust. Payloads are one row of f32, and so is what comes out.
//! Properties: `model`, its name; `options`, JSON for its engine.
#![no_std]
use flowrt::nn::{Kind, Model};
use flowrt::{Message, Output, Settings};

flowrt::init!(start);
flowrt::map!(score);

static MODEL: Model = Model::new();

fn start(settings: &Settings) -> Result<(), &'static str> {
    let name = settings.get("model").ok_or("the property model is not set")?;
    match settings.get("options") {
        Some(options) => MODEL.open_with(name, options),
        None => MODEL.open(name),
    }
}

fn score(message: &Message, out: &mut Output) {
    let row = message.payload();
    if MODEL.set_input(0, Kind::F32, &[1, row.len() as u32 / 4], row).is_err() {
        return out.fail("the model does not take this row");
    }
    let mut room = [0; 1024];
    if MODEL.compute().is_err() {
        return out.fail("the model failed");
    }
    match MODEL.output(0, &mut room) {
        Ok(values) => out.emit(values),
        Err(_) => out.fail("the output is larger than 1 KiB"),
    }
}
