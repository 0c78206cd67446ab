//! Nothing to raise: Windows has no limit on open handles that a host would meet.

use std::io;

/// Does nothing here; elsewhere it raises the limit of descriptors.
///
/// # Errors
///
/// None on this system.
pub fn raise_descriptor_limit() -> io::Result<()> {
    Ok(())
}
