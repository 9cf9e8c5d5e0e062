//! Asks the SDK: the first byte of a payload says what, the rest is the question.
#![no_std]
use flowrt::{json, Changes, Message, Output, State};

flowrt::map!(answer);
flowrt::filter!(passes);
flowrt::branch!(takes);
flowrt::save!(save, restore);
flowrt::declare!(br#"{"input": [], "output": []}"#);

static STATE: State<u8> = State::new(0);
static BYTES: [u8; 3] = [0, 1, 2];

fn save() -> &'static [u8] {
    BYTES.get(..STATE.get() as usize).unwrap_or(&[])
}

fn restore(state: &[u8]) -> bool {
    STATE.set(state.len() as u8);
    state.len() <= 3
}

fn passes(message: &Message) -> Result<bool, &str> {
    match message.payload() {
        b"yes" => Ok(true),
        b"no" => Ok(false),
        _ => Err("neither yes nor no"),
    }
}

fn takes(message: &Message) -> Result<bool, &str> {
    Ok(message.property("arm") == Some("True"))
}

fn answer(message: &Message, out: &mut Output) {
    let (what, question) = message.payload().split_at(1);
    let text = core::str::from_utf8(question).unwrap_or("?");
    match what {
        b"J" => match json::find(question, "k") {
            Some(value) => out.emit(value.as_bytes()),
            None => out.fail("missing or malformed"),
        },
        b"N" => match json::parse(text) {
            Some(value) => out.emit(&value.to_le_bytes()),
            None => out.fail("no number"),
        },
        b"F" => {
            let value = f64::from_le_bytes(question[1..9].try_into().unwrap());
            out.emit_fmt(format_args!("{}", json::Number(value, question[0] as u32)));
        }
        b"M" => (0..question[0]).for_each(|_| {
            let properties = [("part", "x"), ("", "")];
            out.emit_changed(
                message.payload(),
                &Changes { topic: Some("other"), content_type: None, properties: Some(&properties) },
            )
        }),
        b"X" => {
            out.emit(b"");
            out.fail("after an output");
            out.emit(b"");
        }
        b"S" => out.emit_f32s(&[message.tensor("b").map_or(-1.0, |tensor| tensor.f32s().sum())]),
        _ => panic!(),
    }
}
