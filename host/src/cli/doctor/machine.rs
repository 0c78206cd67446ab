//! What the kernel and the surroundings of the host offer on Linux: looked at, and left as it was. Elsewhere `other_machine.rs` has the same names.
//!
//! Each look at a file of `/proc` is a pure function of its text, and the texts of other machines are the tests.

use std::fs;
use std::path::Path;

use rustix::process::{PidfdFlags, Resource, child_subreaper, getpid, getrlimit, pidfd_open};

use stephost_process::{HostCgroup, JobLimits};

use super::{Check, program, told};
use crate::run::room;

/// Fewer open files than this, and jobs that run at the same time run out of them.
const FILES_MIN: u64 = 1024;
/// Fewer processes than this, and steps that run a build run out of them.
const PROCESSES_MIN: u64 = 512;
/// Number of the PID namespace that a machine starts with.
const FIRST_PID_NAMESPACE: u64 = 0xEFFF_FFFC;
/// The first kernel that says in one call which pages of a slot were written.
const PAGEMAP_SCAN_SINCE: (u32, u32) = (6, 7);

/// Looks at everything here; also says whether steps get a cgroup.
pub(super) fn checks() -> (Vec<Check>, bool) {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let kernel_release = read("/proc/sys/kernel/osrelease");
    let (cgroup, has_cgroup) = cgroup();
    let checks = vec![
        kernel(&read("/proc/sys/kernel/ostype"), &kernel_release),
        process_files(),
        pidfd(),
        subreaper(),
        pid_namespace(fs::read_link("/proc/self/ns/pid").ok().as_deref()),
        cgroup,
        page_maps(&kernel_release),
        open_files(),
        processes(),
        program::shells(),
    ];
    (checks, has_cgroup)
}

fn kernel(kind: &str, release: &str) -> Check {
    let detail = format!(
        "{} {} {}",
        kind.trim(),
        release.trim(),
        std::env::consts::ARCH
    );
    Check::ok("kernel", detail.trim())
}

/// The first two numbers of a release like `6.1.0-18-amd64`.
fn release(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split(|letter: char| !letter.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn process_files() -> Check {
    let name = "proc";
    if Path::new("/proc/self/stat").exists() {
        Check::ok(name, "/proc is there")
    } else {
        Check::warn(
            name,
            "/proc cannot be read, so whether a stopped step has left processes is not known",
            "mount /proc",
        )
    }
}

fn pidfd() -> Check {
    let name = "pidfd";
    match pidfd_open(getpid(), PidfdFlags::empty()) {
        Ok(_handle) => Check::ok(name, "who left a step's group is signalled by handle"),
        Err(error) => Check::warn(
            name,
            format!(
                "not here ({error}): who left a step's group is only killed when its parent is dead"
            ),
            "use Linux 5.3 or later",
        ),
    }
}

fn subreaper() -> Check {
    let name = "subreaper";
    match child_subreaper() {
        Ok(_) => Check::ok(name, "orphans of a step come back to its supervisor"),
        Err(error) => Check::fail(
            name,
            format!("not here ({error}): no step can be started"),
            "use Linux 3.4 or later, and let this program call prctl",
        ),
    }
}

fn pid_namespace(link: Option<&Path>) -> Check {
    let name = "pid-namespace";
    let number = link
        .and_then(Path::to_str)
        .and_then(|link| link.strip_prefix("pid:[")?.strip_suffix(']')?.parse().ok());
    Check::ok(
        name,
        match number {
            Some(FIRST_PID_NAMESPACE) => {
                "the machine's own: when the host is killed, supervisors end what its steps started"
            }
            Some(_) => "one of its own: when its first process ends, everything in it does",
            None => "unknown",
        },
    )
}

/// Makes a cgroup as a host does, and removes it.
fn cgroup() -> (Check, bool) {
    let name = "cgroup";
    let made = HostCgroup::make(&room::cgroup_name(&room::new_id()), JobLimits::default());
    match made {
        Ok(made) => {
            let own = made.id().path.parent().unwrap_or(Path::new("/"));
            let controllers = fs::read_to_string(own.join("cgroup.controllers"));
            let has_one = HostCgroup::is_of_use(JobLimits::default());
            let who = if has_one {
                "each step gets one of its own"
            } else {
                "each step of a job with limits gets one of its own"
            };
            let check = Check::ok(
                name,
                format!(
                    "{who} below {}; {}",
                    own.display(),
                    limits(&controllers.unwrap_or_default())
                ),
            );
            (check, has_one)
        }
        // Nothing fails without: who is another user's is named instead of killed.
        Err(error) => {
            let why = told(&error);
            let detail = format!("steps get none, and jobs cannot be limited: {why}");
            (Check::ok(name, detail), false)
        }
    }
}

/// Which limits can be put in force with these controllers.
fn limits(controllers: &str) -> &'static str {
    let has = |controller| {
        controllers
            .split_whitespace()
            .any(|word| word == controller)
    };
    match (has("memory"), has("pids")) {
        (true, true) => "jobs can be limited in memory and processes",
        (true, false) => "jobs can be limited in memory, not in processes: no controller pids here",
        (false, true) => {
            "jobs can be limited in processes, not in memory: no controller memory here"
        }
        (false, false) => "jobs cannot be limited: no controllers memory and pids here",
    }
}

/// The layers that hold a step's processes.
pub(super) fn containment(has_cgroup: bool) -> Check {
    let layers = if has_cgroup {
        "process group, supervisor, cgroup: nobody outlives the job, whatever user he became"
    } else if stephost_process::signals_everybody() {
        "process group, supervisor, and the right to signal everybody: nobody who descends from a step outlives the job"
    } else {
        "process group, supervisor: nobody who descends from a step outlives the job, but processes that became another \
         user's are named and not killed"
    };
    Check::ok("containment", layers)
}

fn page_maps(kernel_release: &str) -> Check {
    let here = release(kernel_release) >= Some(PAGEMAP_SCAN_SINCE)
        && fs::File::open("/proc/self/pagemap").is_ok();
    Check::ok(
        "page-maps",
        if here {
            "slots of the sandbox are cleaned by what was written"
        } else {
            "no PAGEMAP_SCAN here (Linux 6.7): cleaning a slot of the sandbox takes a little longer"
        },
    )
}

fn open_files() -> Check {
    let limit = getrlimit(Resource::Nofile);
    at_least(
        "open-files",
        limit.maximum,
        FILES_MIN,
        "jobs that run at the same time may run out of files",
        "raise the hard limit (ulimit -Hn)",
    )
}

fn processes() -> Check {
    let limit = getrlimit(Resource::Nproc);
    at_least(
        "processes",
        limit.current,
        PROCESSES_MIN,
        "steps may be unable to start programs",
        "raise the limit (ulimit -u)",
    )
}

fn at_least(
    name: &'static str,
    limit: Option<u64>,
    least: u64,
    consequence: &str,
    advice: &str,
) -> Check {
    match limit {
        None => Check::ok(name, "no limit"),
        Some(limit) if limit >= least => Check::ok(name, format!("at most {limit}")),
        Some(limit) => Check::warn(name, format!("at most {limit}: {consequence}"), advice),
    }
}

/// How this process's address space is limited, for who got too little of it.
pub(super) fn address_space_limits() -> String {
    let limit = match getrlimit(Resource::As).current {
        None => "no limit of its own".to_owned(),
        Some(bytes) => format!("a limit of {} MiB", bytes >> 20),
    };
    let overcommit = fs::read_to_string("/proc/sys/vm/overcommit_memory").unwrap_or_default();
    format!("{limit}, overcommit {}", overcommit_mode(&overcommit))
}

fn overcommit_mode(text: &str) -> &'static str {
    match text.trim() {
        "0" => "by estimate",
        "1" => "always",
        "2" => "never",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn releases_of_kernels() {
        let table = [
            ("6.1.0-18-amd64", Some((6, 1))),
            ("5.15.167.4-microsoft-standard-WSL2", Some((5, 15))),
            ("6.18.44-fc-v657", Some((6, 18))),
            ("4.19", Some((4, 19))),
            ("7", None),
            ("", None),
            ("next", None),
        ];
        for (text, expected) in table {
            assert_eq!(release(text), expected, "{text}");
        }
    }

    #[test]
    fn limits_need_their_controllers() {
        let table = [
            ("cpuset cpu io memory pids\n", "in memory and processes"),
            ("memory\n", "not in processes"),
            ("cpu pids\n", "not in memory"),
            ("hugetlb\n", "cannot be limited"),
            ("", "cannot be limited"),
        ];
        for (controllers, words) in table {
            assert!(limits(controllers).contains(words), "{controllers}");
        }
    }

    #[test]
    fn pid_namespaces() {
        let table = [
            (Some("pid:[4026531836]"), "the machine's own"),
            (Some("pid:[4026532201]"), "one of its own"),
            (Some("pid:4026532201"), "unknown"),
            (None, "unknown"),
        ];
        for (link, expected) in table {
            let check = pid_namespace(link.map(Path::new));
            assert!(check.detail.starts_with(expected), "{link:?}: {check:?}");
        }
    }

    #[test]
    fn small_limits_are_told_with_what_to_do() {
        let judged = |limit| at_least("files", limit, 100, "too few", "raise it").verdict;
        let table = [
            (None, Verdict::Ok),
            (Some(100), Verdict::Ok),
            (Some(99), Verdict::Warn),
        ];
        for (limit, expected) in table {
            assert_eq!(judged(limit), expected, "{limit:?}");
        }
        assert_eq!(overcommit_mode("2\n"), "never");
        assert_eq!(overcommit_mode(""), "unknown");
    }
}
