//! Every point that is compiled in. A test arms each of them and fails for one that nothing reaches.

/// A place at which a test can make the host fail.
#[derive(Debug, Clone, Copy)]
pub struct Point {
    /// What it is called: room, place.
    pub name: &'static str,
    /// Whether there is an error to be had.
    pub fails: bool,
}

const fn at(name: &'static str) -> Point {
    Point { name, fails: false }
}

const fn failing(name: &'static str) -> Point {
    Point { name, fails: true }
}

/// All of them, in the order in which a job passes them. Beside them every call has its stages.
pub const POINTS: &[Point] = &[
    // Run
    at("run.received"),
    at("run.named"),
    at("run.reserved"),
    at("prepare.begun"),
    at("prepare.parsed"),
    at("prepare.checked"),
    failing("prepare.directory"),
    failing("prepare.log"),
    at("prepare.workspace"),
    failing("prepare.variables"),
    at("prepare.context"),
    at("run.prepared"),
    at("run.made"),
    at("run.registered"),
    at("run.started"),
    at("run.released"),
    at("run.answered"),
    // the other calls
    at("follow.named"),
    at("follow.found"),
    at("follow.piece"),
    failing("follow.read"),
    at("status.named"),
    at("status.found"),
    at("status.listed"),
    at("cancel.named"),
    at("cancel.found"),
    at("cancel.asked"),
    at("close.named"),
    at("close.found"),
    at("close.asked"),
    at("close.over"),
    at("close.removed"),
    // a job's driver
    at("driver.begun"),
    at("driver.started"),
    at("driver.event"),
    at("driver.ended"),
    at("driver.leftovers"),
    at("driver.removed"),
    at("driver.settling"),
    // the walk
    at("walk.entered"),
    at("walk.step"),
    failing("walk.resolved"),
    failing("exec.begun"),
    failing("exec.expanded"),
    failing("exec.started"),
    at("exec.ended"),
    failing("exec.outputs"),
    failing("exec.exports"),
    // the process of a step
    failing("pool.take"),
    failing("link.send"),
    failing("link.told"),
    at("pump.read"),
    at("running.driven"),
    // the log
    at("log.write"),
    at("log.line"),
    failing("log.store"),
    at("log.end"),
    // a guest
    failing("guest.granted"),
    at("guest.described"),
    at("guest.called"),
    failing("guest.instantiated"),
    failing("guest.log"),
    at("guest.ended"),
];

/// Whether there is such a point, for the compiler.
#[must_use]
pub const fn is_listed(name: &str, fails: bool) -> bool {
    let mut at = 0;
    while at < POINTS.len() {
        if same(POINTS[at].name.as_bytes(), name.as_bytes()) {
            return POINTS[at].fails == fails;
        }
        at += 1;
    }
    false
}

const fn same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let mut at = 0;
    while at < one.len() {
        if one[at] != other[at] {
            return false;
        }
        at += 1;
    }
    true
}
