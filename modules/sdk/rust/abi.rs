//! The structs of `docs/abi.md`. Pointers are 32 bits wide on wasm32.

#[repr(C)]
pub struct Head {
    pub size: u32,
    pub flags: u32,
    pub topic: Slice,
    pub content_type: Slice,
    pub response_topic: Slice,
    pub correlation: Slice,
    pub properties: Slice,
    pub tensors: Slice,
    pub reserved: [u32; 2],
}

/// An offset from the head, and a size in bytes or entries.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Slice {
    pub offset: u32,
    pub size: u32,
}

#[repr(C)]
pub struct HeadProperty {
    pub key: Slice,
    pub value: Slice,
}

#[repr(C)]
pub struct HeadTensor {
    pub name: Slice,
    pub kind: u32,
    pub rank: u32,
    pub dims: u32,
}

/// A property of the configuration: addresses, since there is no head.
#[repr(C)]
pub struct Property {
    pub key: *const u8,
    pub key_size: usize,
    pub value: *const u8,
    pub value_size: usize,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Made {
    pub row: u32,
    pub payload: *const u8,
    pub payload_size: usize,
    pub head: *const Head,
}

#[repr(C)]
pub struct Outputs {
    pub outputs: *const Made,
    pub count: usize,
}

#[repr(C)]
pub struct Span {
    pub data: *const u8,
    pub size: usize,
}

#[link(wasm_import_module = "flowrt")]
extern "C" {
    pub fn log(level: u32, text: *const u8, size: usize);
    pub fn fail(row: u32, text: *const u8, size: usize);
}

#[no_mangle]
pub extern "C" fn flowrt_abi() -> u32 {
    1
}
