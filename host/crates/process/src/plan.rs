//! What a caller says about a step: the plan, and where its output goes. Plain data; checked by `start`.

use std::{ffi::OsString, path::PathBuf};

/// A step that can be started. Nothing is added to it: what is not here, the process does not get.
#[derive(Debug, Clone)]
pub struct Plan {
    /// argv\[0\] as the step wrote it. Without a slash it is looked up: in `PATH` of `env`, then in the host's.
    /// With one, it is relative to `work_dir`. Relative directories in a `PATH` are not searched.
    pub program: OsString,
    /// argv\[1\] and the rest.
    pub args: Vec<OsString>,
    /// The complete environment. Of two values for one name the later one counts.
    pub env: Vec<(OsString, OsString)>,
    /// Where the process starts.
    pub work_dir: PathBuf,
}

/// One of a process's two output streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// Takes what a step writes.
pub trait Output: Send + Sync + 'static {
    /// Takes the next `bytes` of `stream`; per stream, in the order in which they were written.
    ///
    /// Called on a runtime thread with at most 64 KiB: it must not block for long. A slow `write` slows the step, whose pipe fills up.
    /// A panic in here kills the step's group and comes out of [`Running::ended`](crate::Running::ended).
    fn write(&self, stream: Stream, bytes: &[u8]);

    /// Takes what processes write that outlived their step: as [`write`](Output::write), and from the [`Report`](crate::Report) on.
    ///
    /// The output is dropped when nobody can write any more.
    fn write_late(&self, stream: Stream, bytes: &[u8]);
}
