//! The allocator of a guest; the only `unsafe` of this crate. Wasm only.
//!
//! The standard allocator of `wasm32-unknown-unknown` asks for new memory at the first allocation and leaves
//! unused what the module started with. A growing memory is the dearest thing a short step can do to its
//! host: it halves the speed of one step and quarters that of many at once. So a static arena serves first,
//! and the standard allocator when it is full.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, UnsafeCell};

/// What a step gets without growing its memory. A page of Wasm is 64 KiB, of which std's own data takes some.
const ARENA_BYTES: usize = 48 * 1024;

#[global_allocator]
static ALLOCATOR: Arena = Arena {
    bytes: UnsafeCell::new([0; ARENA_BYTES]),
    used: Cell::new(0),
};

/// Hands out its bytes from front to back, and takes back only the block it gave last: steps are short.
#[repr(C, align(16))]
struct Arena {
    bytes: UnsafeCell<[u8; ARENA_BYTES]>,
    used: Cell<usize>,
}

// Needed because: a global allocator is a static.
// SAFETY: this target has no threads, so nothing is ever shared between two.
unsafe impl Sync for Arena {}

impl Arena {
    fn start(&self) -> *mut u8 {
        self.bytes.get().cast()
    }

    /// Returns where a block begins within the arena, or none for a block of the standard allocator.
    fn place_of(&self, block: *mut u8) -> Option<usize> {
        let place = (block as usize).wrapping_sub(self.start() as usize);
        (place < ARENA_BYTES).then_some(place)
    }

    /// Reserves `layout` at the end of what is used.
    fn reserve(&self, layout: Layout) -> Option<usize> {
        // Addresses, not offsets: an alignment beyond the arena's own must hold too.
        let free = self.start() as usize + self.used.get();
        let place = free.checked_next_multiple_of(layout.align())? - self.start() as usize;
        let end = place.checked_add(layout.size())?;
        (end <= ARENA_BYTES).then(|| {
            self.used.set(end);
            place
        })
    }
}

// Needed because: this is how Rust asks for memory. SAFETY: `reserve` gives aligned, disjoint ranges inside
// `bytes`; a range is given again only after `dealloc` or `realloc` of the last block, whose owner has let go
// of it. Everything else is the standard allocator's, to whom exactly its own blocks return.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match self.reserve(layout) {
            // SAFETY: `place` lies inside the arena.
            Some(place) => unsafe { self.start().add(place) },
            // SAFETY: the caller's promises about `layout` are passed on.
            None => unsafe { System.alloc(layout) },
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match self.place_of(block) {
            Some(place) if place + layout.size() == self.used.get() => self.used.set(place),
            Some(_) => {}
            // SAFETY: a block outside the arena came from the standard allocator, with this layout.
            None => unsafe { System.dealloc(block, layout) },
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_bytes: usize) -> *mut u8 {
        let Some(place) = self.place_of(block) else {
            // SAFETY: a block outside the arena came from the standard allocator, with this layout.
            return unsafe { System.realloc(block, layout, new_bytes) };
        };
        let is_last = place + layout.size() == self.used.get();
        if is_last && new_bytes <= ARENA_BYTES - place {
            self.used.set(place + new_bytes);
            return block;
        }
        // SAFETY: the caller promises that `new_bytes`, rounded up to this alignment, is a valid size.
        let moved =
            unsafe { self.alloc(Layout::from_size_align_unchecked(new_bytes, layout.align())) };
        if !moved.is_null() {
            // SAFETY: both blocks hold at least the smaller size, and they are disjoint: the old one is still
            // reserved.
            unsafe { std::ptr::copy_nonoverlapping(block, moved, layout.size().min(new_bytes)) };
            // SAFETY: the caller gives up `block`.
            unsafe { self.dealloc(block, layout) };
        }
        moved
    }
}
