//! A wild access; the only `unsafe` of this crate. Wasm only: elsewhere it could hit something.

/// Reads where no memory of a guest ever is, and far enough from zero not to look like a stack that overflowed.
pub(crate) fn read_far_away() -> u8 {
    let far: *const u8 = std::ptr::without_provenance(0xe000_0000);
    // Needed because: safe code cannot be made to do this.
    // SAFETY: it is not sound, and is not meant to be. Wasm checks every access; this one is a trap, for certain.
    unsafe { far.read_volatile() }
}
