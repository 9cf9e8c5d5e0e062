//! A command with `std` that drives models as Rust's users of wasi-nn do.
//!
//! `predict bytes PATH ROWS`: loads the ONNX model at PATH, runs it on every row of f32 in ROWS, prints the outputs.
//! `predict name NAME ROWS [OPTIONS]`: the same with a model that the host has, with options as WasmEdge takes them.
//! `predict talk NAME PROMPT OPTIONS`: a text at once and then piece by piece, by WasmEdge's functions.
//! It ends with the errno that a call was refused with.

use std::io::Write;
use std::{env, fs, process};

#[repr(C)]
struct Part(*const u8, usize);

#[repr(C)]
struct Tensor(*const u32, usize, u8, *const u8, usize);

#[link(wasm_import_module = "wasi_ephemeral_nn")]
extern "C" {
    fn load(parts: *const Part, count: usize, encoding: u32, target: u32, graph: *mut u32) -> u32;
    fn load_by_name(name: *const u8, size: usize, graph: *mut u32) -> u32;
    fn load_by_name_with_config(name: *const u8, size: usize, config: *const u8, more: usize, graph: *mut u32) -> u32;
    fn init_execution_context(graph: u32, context: *mut u32) -> u32;
    fn set_input(context: u32, index: u32, tensor: *const Tensor) -> u32;
    fn compute(context: u32) -> u32;
    fn compute_single(context: u32) -> u32;
    fn fini_single(context: u32) -> u32;
    fn get_output(context: u32, index: u32, out: *mut u8, room: usize, written: *mut u32) -> u32;
    fn get_output_single(context: u32, index: u32, out: *mut u8, room: usize, written: *mut u32) -> u32;
    fn finalize_execution_context(context: u32) -> u32;
    fn unload(graph: u32) -> u32;
}

const ONNX: u32 = 1;
const CPU: u32 = 0;
const F32: u8 = 1;
const U8: u8 = 3;
const END: u32 = 100;

fn told(errno: u32) -> Result<(), u32> {
    if errno == 0 { Ok(()) } else { Err(errno) }
}

struct Context(u32, u32);

impl Context {
    fn of(load: impl FnOnce(*mut u32) -> u32) -> Result<Context, u32> {
        let (mut graph, mut context) = (0, 0);
        told(load(&mut graph))?;
        told(unsafe { init_execution_context(graph, &mut context) })?;
        Ok(Context(graph, context))
    }

    fn set(&self, kind: u8, dims: &[u32], data: &[u8]) -> Result<(), u32> {
        let tensor = Tensor(dims.as_ptr(), dims.len(), kind, data.as_ptr(), data.len());
        told(unsafe { set_input(self.1, 0, &tensor) })
    }

    /// An output in a buffer that grows as the host asks: errno 7 comes with the size that is needed.
    fn get(&self, get: unsafe extern "C" fn(u32, u32, *mut u8, usize, *mut u32) -> u32) -> Result<Vec<u8>, u32> {
        let (mut out, mut written) = (vec![0; 4], 0);
        loop {
            match unsafe { get(self.1, 0, out.as_mut_ptr(), out.len(), &mut written) } {
                7 if written as usize > out.len() => out.resize(written as usize, 0),
                errno => {
                    told(errno)?;
                    out.truncate(written as usize);
                    return Ok(out);
                }
            }
        }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        assert_eq!(unsafe { unload(self.0) }, 0);
        assert_eq!(unsafe { finalize_execution_context(self.1) }, 0);
    }
}

fn predict(context: Context, rows: &str) -> Result<(), u32> {
    let rows = fs::read(rows).expect("the rows");
    let width: usize = env::var("WIDTH").expect("WIDTH").parse().expect("a number");
    for row in rows.chunks(4 * width) {
        context.set(F32, &[1, width as u32], row)?;
        told(unsafe { compute(context.1) })?;
        std::io::stdout().write_all(&context.get(get_output)?).expect("standard output");
    }
    Ok(())
}

fn talk(context: Context, prompt: &str) -> Result<(), u32> {
    context.set(U8, &[1], prompt.as_bytes())?;
    told(unsafe { compute(context.1) })?;
    let whole = context.get(get_output)?;
    context.set(U8, &[1], prompt.as_bytes())?;
    let mut pieces = Vec::new();
    let errno = loop {
        match unsafe { compute_single(context.1) } {
            0 => pieces.extend(context.get(get_output_single)?),
            errno => break errno,
        }
    };
    told(unsafe { fini_single(context.1) })?;
    assert_eq!(errno, END);
    assert_eq!(whole, pieces);
    std::io::stdout().write_all(&whole).expect("standard output");
    Ok(())
}

fn run(words: &[&str]) -> Result<(), u32> {
    match words {
        ["bytes", path, rows] => {
            let model = fs::read(path).expect("the model");
            let part = Part(model.as_ptr(), model.len());
            predict(Context::of(|graph| unsafe { load(&part, 1, ONNX, CPU, graph) })?, rows)
        }
        ["name", name, rows] => predict(Context::of(|graph| by_name(name, graph))?, rows),
        ["name", name, rows, options] => predict(Context::of(|graph| with_config(name, options, graph))?, rows),
        ["talk", name, prompt, options] => talk(Context::of(|graph| with_config(name, options, graph))?, prompt),
        _ => panic!("bytes, name or talk"),
    }
}

fn by_name(name: &str, graph: *mut u32) -> u32 {
    unsafe { load_by_name(name.as_ptr(), name.len(), graph) }
}

fn with_config(name: &str, options: &str, graph: *mut u32) -> u32 {
    unsafe { load_by_name_with_config(name.as_ptr(), name.len(), options.as_ptr(), options.len(), graph) }
}

fn main() {
    let words: Vec<String> = env::args().skip(1).collect();
    if let Err(errno) = run(&words.iter().map(String::as_str).collect::<Vec<_>>()) {
        process::exit(errno as i32);
    }
}
