//! Variables of a module.

use core::cell::UnsafeCell;

/// A `static` that may be changed: a guest is one thread, and no two functions of it run at once.
pub struct State<T>(UnsafeCell<T>);

// SAFETY: core modules of flowrt have no threads, so nothing is shared between any.
unsafe impl<T> Sync for State<T> {}

impl<T: Copy> State<T> {
    pub const fn new(value: T) -> Self {
        State(UnsafeCell::new(value))
    }

    pub fn get(&self) -> T {
        // SAFETY: no reference to the inside ever leaves this type.
        unsafe { *self.0.get() }
    }

    pub fn set(&self, value: T) {
        // SAFETY: as in `get`.
        unsafe { *self.0.get() = value }
    }
}
