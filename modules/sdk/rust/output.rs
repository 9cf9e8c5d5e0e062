//! What goes out.

use crate::abi::{self, Head, HeadProperty, Made, Slice};
use crate::{memory, Message};
use core::fmt;
use core::mem::size_of;
use core::ptr::null;

const NO_MEMORY: &str = "the module is out of memory";

/// Takes the outputs of one message. Everything given to it is copied, so that it lives until the end of the batch.
pub struct Output {
    row: u32,
    failed: bool,
    made: *mut Made,
    count: usize,
    room: usize,
}

/// How the head of an output differs from its input's: what is None or empty stays as it is.
#[derive(Default)]
pub struct Changes<'a> {
    pub topic: Option<&'a str>,
    pub content_type: Option<&'a str>,
    /// Take the place of the input's user properties.
    pub properties: Option<&'a [(&'a str, &'a str)]>,
}

impl Output {
    pub(crate) fn new(rows: usize) -> Output {
        let size = rows.checked_mul(size_of::<Made>());
        match size.and_then(memory::allocate) {
            Some(block) => Output { row: 0, failed: false, made: block as *mut Made, count: 0, room: rows },
            None => Output { row: 0, failed: false, made: null::<Made>() as *mut Made, count: 0, room: 0 },
        }
    }

    pub(crate) fn begin(&mut self, row: usize) {
        self.row = row as u32;
        self.failed = false;
    }

    pub(crate) fn outputs(&self) -> abi::Outputs {
        abi::Outputs { outputs: self.made, count: self.count }
    }

    /// The message as it came, under its own head.
    pub fn pass(&mut self, message: &Message) {
        self.push(message.payload().as_ptr(), message.payload().len(), message.head_with_tensors());
    }

    /// These bytes under the input's head.
    pub fn emit(&mut self, payload: &[u8]) {
        match memory::copy(payload) {
            Some(copy) => self.push(copy, payload.len(), null()),
            None => self.fail(NO_MEMORY),
        }
    }

    /// Values of a tensor whose name, type and shape `declare!` tells.
    pub fn emit_f32s(&mut self, values: &[f32]) {
        // SAFETY: four bytes each, and on wasm in the order that payloads have.
        self.emit(unsafe { core::slice::from_raw_parts(values.as_ptr() as *const u8, values.len() * 4) });
    }

    /// A text: `out.emit_fmt(format_args!("{}", 1))`.
    pub fn emit_fmt(&mut self, arguments: fmt::Arguments) {
        let mut text = Text::new();
        match fmt::write(&mut text, arguments) {
            Ok(()) => self.push(text.data, text.size, null()),
            Err(_) => self.fail(NO_MEMORY),
        }
    }

    /// These bytes under a head of their own.
    pub fn emit_changed(&mut self, payload: &[u8], changes: &Changes) {
        match (memory::copy(payload), make_head(changes)) {
            (Some(copy), Some(head)) => self.push(copy, payload.len(), head),
            _ => self.fail(NO_MEMORY),
        }
    }

    /// The message cannot be handled: whatever was emitted for it is taken back.
    pub fn fail(&mut self, words: &str) {
        if self.failed {
            return;
        }
        self.failed = true;
        // SAFETY: the first `count` entries were written by `push`.
        while self.count > 0 && unsafe { (*self.made.add(self.count - 1)).row } == self.row {
            self.count -= 1;
        }
        fail_row(self.row, words);
    }

    fn push(&mut self, payload: *const u8, payload_size: usize, head: *const Head) {
        if self.failed {
            return;
        }
        if self.count == self.room && !self.make_room() {
            return self.fail(NO_MEMORY);
        }
        // SAFETY: there is room for more than `count` entries.
        unsafe { self.made.add(self.count).write(Made { row: self.row, payload, payload_size, head }) };
        self.count += 1;
    }

    fn make_room(&mut self) -> bool {
        let room = self.room.saturating_mul(2).max(16);
        let block = match room.checked_mul(size_of::<Made>()).and_then(memory::allocate) {
            Some(block) => block as *mut Made,
            None => return false,
        };
        // SAFETY: the new block is larger, and apart from the old one.
        unsafe { core::ptr::copy_nonoverlapping(self.made, block, self.count) };
        self.made = block;
        self.room = room;
        true
    }
}

pub(crate) fn fail_row(row: u32, words: &str) {
    // SAFETY: the host reads these bytes before it returns.
    unsafe { abi::fail(row, words.as_ptr(), words.len()) }
}

fn make_head(changes: &Changes) -> Option<*const Head> {
    let properties = changes.properties.unwrap_or(&[]);
    let texts = [changes.topic.unwrap_or(""), changes.content_type.unwrap_or("")];
    let pairs = properties.iter().flat_map(|(key, value)| [*key, *value]);
    let mut size = size_of::<Head>() + properties.len().checked_mul(size_of::<HeadProperty>())?;
    let mut at = size as u32;
    for text in texts.into_iter().chain(pairs) {
        size = size.checked_add(text.len())?;
    }
    size = size.checked_add(7)? & !7;
    let block = memory::allocate(size)?;
    let mut place = |text: &str| {
        let slice = Slice { offset: at, size: text.len() as u32 };
        // SAFETY: `size` counts every text once.
        unsafe { core::ptr::copy_nonoverlapping(text.as_ptr(), block.add(at as usize), text.len()) };
        at += slice.size;
        slice
    };
    let head = Head {
        size: size as u32,
        flags: changes.properties.is_some() as u32,
        topic: place(texts[0]),
        content_type: place(texts[1]),
        response_topic: Slice::default(),
        correlation: Slice::default(),
        properties: Slice { offset: size_of::<Head>() as u32, size: properties.len() as u32 },
        tensors: Slice::default(),
        reserved: [0; 2],
    };
    // SAFETY: the block begins with room for the head and its properties, and is aligned to 16.
    unsafe {
        let entries = block.add(size_of::<Head>()) as *mut HeadProperty;
        for (i, (key, value)) in properties.iter().enumerate() {
            entries.add(i).write(HeadProperty { key: place(key), value: place(value) });
        }
        (block as *mut Head).write(head);
    }
    Some(block as *const Head)
}

/// A text that grows in the arena.
pub struct Text {
    data: *mut u8,
    size: usize,
    room: usize,
}

impl Text {
    #[allow(clippy::new_without_default)]
    pub fn new() -> Text {
        Text { data: core::ptr::NonNull::dangling().as_ptr(), size: 0, room: 0 }
    }

    pub fn as_bytes(&self) -> &[u8] {
        // SAFETY: that many bytes were written.
        unsafe { core::slice::from_raw_parts(self.data, self.size) }
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let size = self.size.checked_add(text.len()).ok_or(fmt::Error)?;
        if size > self.room {
            let room = size.checked_mul(2).ok_or(fmt::Error)?.max(128);
            let block = memory::allocate(room).ok_or(fmt::Error)?;
            // SAFETY: the new block is larger, and apart from the old one.
            unsafe { core::ptr::copy_nonoverlapping(self.data, block, self.size) };
            self.data = block;
            self.room = room;
        }
        // SAFETY: there is room for `size` bytes.
        unsafe { core::ptr::copy_nonoverlapping(text.as_ptr(), self.data.add(self.size), text.len()) };
        self.size = size;
        Ok(())
    }
}
