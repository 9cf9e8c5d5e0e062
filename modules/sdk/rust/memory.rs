//! Linear memory: the input buffer, and above it the arena of the present batch.

use crate::State;

const PAGE: u64 = 65536;

extern "C" {
    static __heap_base: u8; // set by the linker: the end of static data and stack
}

/// First byte past the input buffer; 0 before there is one.
static BUFFER_END: State<u64> = State::new(0);
/// First free byte of the arena.
static TOP: State<u64> = State::new(0);

fn base() -> u64 {
    // SAFETY: only the address of this symbol means anything.
    let end = unsafe { &__heap_base as *const u8 as u64 };
    (end + 15) & !15
}

fn grow_to(end: u64) -> bool {
    let have = core::arch::wasm32::memory_size(0) as u64 * PAGE;
    if end > u32::MAX as u64 {
        return false;
    }
    end <= have || core::arch::wasm32::memory_grow(0, ((end - have + PAGE - 1) / PAGE) as usize) != usize::MAX
}

/// Forgets the outputs of the batch before.
pub fn begin_batch() {
    TOP.set(BUFFER_END.get().max(base()));
}

/// `size` bytes until the end of the batch, 16-byte aligned.
pub fn allocate(size: usize) -> Option<*mut u8> {
    let start = TOP.get();
    let end = start + ((size as u64 + 15) & !15);
    if !grow_to(end) {
        return None;
    }
    TOP.set(end);
    Some(start as usize as *mut u8)
}

/// A copy of these bytes that lives until the end of the batch.
pub fn copy(bytes: &[u8]) -> Option<*const u8> {
    let block = allocate(bytes.len())?;
    // SAFETY: the block is as long as the bytes and fresh, so the two do not overlap.
    unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), block, bytes.len()) };
    Some(block)
}

/// The buffer the host fills lies right above static data, and grows where it is.
#[no_mangle]
pub extern "C" fn flowrt_buffer(size: usize) -> usize {
    let end = base() + ((size as u64 + 15) & !15);
    if !grow_to(end) {
        return 0;
    }
    BUFFER_END.set(BUFFER_END.get().max(end));
    begin_batch();
    base() as usize
}
