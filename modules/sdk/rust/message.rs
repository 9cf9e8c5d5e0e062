//! What comes in.

use crate::abi::{Head, HeadProperty, HeadTensor, Slice};
use core::slice::from_raw_parts;

/// One message of a batch, read where the host put it.
#[repr(C)]
pub struct Message {
    time: u64,
    payload: *const u8,
    payload_size: usize,
    head: *const Head,
    reserved: u32,
}

/// The type of a tensor's elements, with its number in the ABI.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Type {
    F16,
    F32,
    F64,
    Bf16,
    U8,
    I32,
    I64,
    I8,
    Bool,
    U16,
    I16,
    U32,
    U64,
}

const TYPE_SIZES: [usize; 13] = [2, 4, 8, 2, 1, 4, 8, 1, 1, 2, 2, 4, 8];

/// One tensor of a payload: little-endian values, row-major, perhaps not aligned.
pub struct Tensor<'a> {
    pub name: &'a str,
    /// The number of a `Type`.
    pub kind: u32,
    pub dims: &'a [i32],
    pub bytes: &'a [u8],
}

impl Tensor<'_> {
    /// The values of a tensor of type f32; none for another type.
    pub fn f32s(&self) -> impl Iterator<Item = f32> + '_ {
        let bytes = if self.kind == Type::F32 as u32 { self.bytes } else { &[] };
        bytes.chunks_exact(4).map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]]))
    }
}

impl Message {
    pub fn payload(&self) -> &[u8] {
        // SAFETY: the host wrote this many bytes there, and they stay until the guest returns.
        unsafe { from_raw_parts(self.payload, self.payload_size) }
    }

    /// Logical time in milliseconds since the epoch.
    pub fn milliseconds(&self) -> u64 {
        self.time >> 20
    }

    pub fn topic(&self) -> &str {
        self.text(self.head().topic)
    }

    /// Empty where there is none.
    pub fn content_type(&self) -> &str {
        self.text(self.head().content_type)
    }

    /// The first user property of this name.
    pub fn property(&self, key: &str) -> Option<&str> {
        let all: &[HeadProperty] = self.entries(self.head().properties);
        let found = all.iter().find(|property| self.text(property.key) == key)?;
        Some(self.text(found.value))
    }

    /// The tensor of this name; None also where the payload is too short for it.
    pub fn tensor(&self, name: &str) -> Option<Tensor> {
        let mut left = self.payload();
        let all: &[HeadTensor] = self.entries(self.head().tensors);
        for tensor in all {
            let dims: &[i32] = self.entries(Slice { offset: tensor.dims, size: tensor.rank });
            let mut size = *TYPE_SIZES.get(tensor.kind as usize)?;
            for &dim in dims {
                size = size.checked_mul(usize::try_from(dim).ok()?)?;
            }
            let (bytes, rest) = (left.get(..size)?, left.get(size..)?);
            left = rest;
            if self.text(tensor.name) == name {
                return Some(Tensor { name: self.text(tensor.name), kind: tensor.kind, dims, bytes });
            }
        }
        None
    }

    pub(crate) fn head_with_tensors(&self) -> *const Head {
        if self.head().tensors.size == 0 {
            core::ptr::null()
        } else {
            self.head
        }
    }

    fn head(&self) -> &Head {
        // SAFETY: the host gives every message a whole head.
        unsafe { &*self.head }
    }

    fn entries<T>(&self, slice: Slice) -> &[T] {
        if slice.size == 0 {
            return &[];
        }
        // SAFETY: the host places every array of a head inside it, aligned to four bytes.
        unsafe {
            let start = (self.head as *const u8).add(slice.offset as usize);
            from_raw_parts(start as *const T, slice.size as usize)
        }
    }

    fn text(&self, slice: Slice) -> &str {
        // SAFETY: the host writes UTF-8 only.
        unsafe { core::str::from_utf8_unchecked(self.entries(slice)) }
    }
}
