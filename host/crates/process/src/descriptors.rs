//! The limit on open descriptors: the host wants the highest, a step gets the one that the host was started with
//! (programs that use `select`, or walk all possible descriptors, suffer from a high one).

use std::{io, sync::OnceLock};

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};

/// The limit that the host was started with; set once, by the first raise that worked.
static ORIGINAL: OnceLock<Rlimit> = OnceLock::new();

/// Raises this process's soft limit of open descriptors to the hard one. Steps started afterwards get the original back.
///
/// Called once, early in `main`. A second call changes nothing that the first did not.
///
/// # Errors
///
/// What the system says; the limit is then what it was.
pub fn raise_descriptor_limit() -> io::Result<()> {
    let original = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: original.maximum,
        maximum: original.maximum,
    };
    setrlimit(Resource::Nofile, raised)?;
    ORIGINAL.get_or_init(|| original);
    Ok(())
}

/// Gives the just spawned `step` the limit that the host was started with.
pub(crate) fn restore_in(step: Pid) {
    if let Some(&original) = ORIGINAL.get() {
        // A failure is nobody's fault and changes nothing: the process has ended already, or it runs a set-user-id program.
        let _ = prlimit(Some(step), Resource::Nofile, original);
    }
}
