//! Named points at which a test can make the host fail.
//!
//! Owns the list of points ([`POINTS`]) and what happens at an armed one. Without the feature `fault` the macros
//! expand to nothing and this crate is empty. With it a point does nothing either unless the host was started with
//! [`DIRECTORY`]: a directory in which a test lays a file `armed/POINT` that holds an action. Who reaches the point
//! first takes the file to `fired/POINT` and does what it says, once: `panic`, `error`, `delay`, `hold` (until the
//! file in `fired` is gone), `count` (writes how many tasks the runtime has).
//!
//! Never: read by a shipped program, reached from outside the process. Called by: every room whose failures are
//! tested, in one line each.

#![forbid(unsafe_code)]

#[cfg(feature = "fault")]
mod armed;
#[cfg(feature = "fault")]
mod points;

#[cfg(feature = "fault")]
pub use armed::{DIRECTORY, MARKER, PAYLOAD, fails, pass, reach};
#[cfg(feature = "fault")]
pub use points::{POINTS, Point, is_listed};

/// A point of [`POINTS`]. With `waits` it may be passed later, with `fails: VALUE` the function returns VALUE.
#[cfg(feature = "fault")]
#[macro_export]
macro_rules! point {
    ($name:literal) => {
        const {
            assert!(
                $crate::is_listed($name, false),
                "a point that is not listed so"
            )
        };
        $crate::reach($name);
    };
    ($name:literal, waits) => {
        const {
            assert!(
                $crate::is_listed($name, false),
                "a point that is not listed so"
            )
        };
        $crate::pass($name).await;
    };
    ($name:literal, fails: $value:expr) => {
        const {
            assert!(
                $crate::is_listed($name, true),
                "a point that is not listed so"
            )
        };
        if $crate::fails($name) {
            return $value;
        }
    };
    ($name:literal, waits, fails: $value:expr) => {
        const {
            assert!(
                $crate::is_listed($name, true),
                "a point that is not listed so"
            )
        };
        if $crate::pass($name).await {
            return $value;
        }
    };
}

/// A point of [`POINTS`].
#[cfg(not(feature = "fault"))]
#[macro_export]
macro_rules! point {
    ($($any:tt)*) => {};
}

/// A stage of every call: the point `rpc.METHOD.STAGE`.
#[cfg(feature = "fault")]
#[macro_export]
macro_rules! stage {
    ($method:expr, $stage:literal) => {
        $crate::reach(&format!("rpc.{}.{}", $method, $stage));
    };
    ($method:expr, $stage:literal, waits) => {
        $crate::pass(&format!("rpc.{}.{}", $method, $stage)).await;
    };
    ($method:expr, $stage:literal, waits, fails: $value:expr) => {
        if $crate::pass(&format!("rpc.{}.{}", $method, $stage)).await {
            return $value;
        }
    };
}

/// A stage of every call.
#[cfg(not(feature = "fault"))]
#[macro_export]
macro_rules! stage {
    ($($any:tt)*) => {};
}
