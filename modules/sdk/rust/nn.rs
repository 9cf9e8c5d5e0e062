//! `wasi_ephemeral_nn`: models that a guest drives itself, for modules with the feature `wasi-nn` (`docs/wasi-nn.md`).

use crate::output::Text;
use crate::{log, Level};
use core::fmt::Write;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// What a model's bytes are.
#[derive(Clone, Copy)]
#[repr(u32)]
pub enum Encoding {
    Openvino,
    Onnx,
    Tensorflow,
    Pytorch,
    TensorflowLite,
}

/// The type of a tensor's elements, with wasi-nn's number, which is not the one that payloads have.
#[derive(Clone, Copy)]
#[repr(u8)]
pub enum Kind {
    F16,
    F32,
    F64,
    U8,
    I32,
    I64,
}

/// Why the host refused: the errno. The node's log has the words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub u32);

/// A model and a place for its inputs and outputs, to be a `static`: `static MODEL: Model = Model::new();`
pub struct Model(AtomicU32);

#[repr(C)]
struct Part {
    data: *const u8,
    size: usize,
}

#[repr(C)]
struct Tensor {
    dims: *const u32,
    rank: usize,
    kind: u8,
    data: *const u8,
    size: usize,
}

#[link(wasm_import_module = "wasi_ephemeral_nn")]
extern "C" {
    fn load(parts: *const Part, count: usize, encoding: u32, target: u32, graph: *mut u32) -> u32;
    fn load_by_name(name: *const u8, size: usize, graph: *mut u32) -> u32;
    fn load_by_name_with_config(
        name: *const u8,
        size: usize,
        options: *const u8,
        options_size: usize,
        graph: *mut u32,
    ) -> u32;
    fn init_execution_context(graph: u32, context: *mut u32) -> u32;
    fn set_input(context: u32, index: u32, tensor: *const Tensor) -> u32;
    fn compute(context: u32) -> u32;
    fn get_output(context: u32, index: u32, out: *mut u8, room: usize, written: *mut u32) -> u32;
}

impl Model {
    /// One that is still to be opened; until then its calls are refused.
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Model {
        Model(AtomicU32::new(u32::MAX))
    }

    /// Opens the node's model of this name, for `init!`.
    pub fn open(&self, name: &str) -> Result<(), &'static str> {
        self.begin(name, |graph| unsafe { load_by_name(name.as_ptr(), name.len(), graph) })
    }

    /// The same with options for the engine, which are a JSON object: `{"signature": "encode"}`.
    pub fn open_with(&self, name: &str, options: &str) -> Result<(), &'static str> {
        self.begin(name, |graph| unsafe {
            load_by_name_with_config(name.as_ptr(), name.len(), options.as_ptr(), options.len(), graph)
        })
    }

    /// Opens a model that is part of the module: `include_bytes!("model.onnx")`.
    pub fn open_bytes(&self, bytes: &[u8], encoding: Encoding) -> Result<(), &'static str> {
        let part = Part { data: bytes.as_ptr(), size: bytes.len() };
        self.begin("of the module", |graph| unsafe { load(&part, 1, encoding as u32, 0, graph) })
    }

    /// Copies a tensor in: little-endian values, row-major. It stays set for further runs.
    pub fn set_input(&self, index: u32, kind: Kind, dims: &[u32], values: &[u8]) -> Result<(), Errno> {
        let tensor = Tensor {
            dims: dims.as_ptr(),
            rank: dims.len(),
            kind: kind as u8,
            data: values.as_ptr(),
            size: values.len(),
        };
        // SAFETY: the host reads what the tensor names before it returns.
        told(unsafe { set_input(self.context(), index, &tensor) })
    }

    /// Runs the model.
    pub fn compute(&self) -> Result<(), Errno> {
        // SAFETY: a number crosses.
        told(unsafe { compute(self.context()) })
    }

    /// Copies an output of the last run into `room`, and returns the part that it fills.
    pub fn output<'a>(&self, index: u32, room: &'a mut [u8]) -> Result<&'a [u8], Errno> {
        let mut written = 0;
        // SAFETY: the host writes no more than there is room for.
        told(unsafe { get_output(self.context(), index, room.as_mut_ptr(), room.len(), &mut written) })?;
        Ok(&room[..written as usize])
    }

    fn context(&self) -> u32 {
        self.0.load(Relaxed)
    }

    fn begin(&self, name: &str, load: impl FnOnce(*mut u32) -> u32) -> Result<(), &'static str> {
        let (mut graph, mut context) = (0, 0);
        // SAFETY: the host writes the two handles before it returns.
        let mut errno = load(&mut graph);
        if errno == 0 {
            errno = unsafe { init_execution_context(graph, &mut context) };
        }
        if errno == 0 {
            self.0.store(context, Relaxed);
            return Ok(());
        }
        let mut text = Text::new();
        let _ = write!(text, "the model {name} was refused with errno {errno}");
        log(Level::Error, core::str::from_utf8(text.as_bytes()).unwrap_or("a model was refused"));
        Err("wasi-nn cannot load the model")
    }
}

fn told(errno: u32) -> Result<(), Errno> {
    match errno {
        0 => Ok(()),
        _ => Err(Errno(errno)),
    }
}
