//! What the kernel and the surroundings of the host offer: read, never changed.
//!
//! Each look at a file of `/proc` is a pure function of its text, and the texts of other machines are the tests.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use rustix::process::{PidfdFlags, Resource, child_subreaper, getpid, getrlimit, pidfd_open};

use super::Check;

/// Fewer open files than this, and jobs that run at the same time run out of them.
const FILES_MIN: u64 = 1024;
/// Fewer processes than this, and steps that run a build run out of them.
const PROCESSES_MIN: u64 = 512;
/// Number of the PID namespace that a machine starts with.
const FIRST_PID_NAMESPACE: u64 = 0xEFFF_FFFC;
/// The first kernel that says in one call which pages of a slot were written.
const PAGEMAP_SCAN_SINCE: (u32, u32) = (6, 7);

/// Looks at everything here.
pub(super) fn checks() -> Vec<Check> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let kernel_release = read("/proc/sys/kernel/osrelease");
    vec![
        kernel(&read("/proc/sys/kernel/ostype"), &kernel_release),
        process_files(),
        pidfd(),
        subreaper(),
        pid_namespace(fs::read_link("/proc/self/ns/pid").ok().as_deref()),
        cgroup(&read("/proc/self/mountinfo"), &read("/proc/self/cgroup")),
        page_maps(&kernel_release),
        open_files(),
        processes(),
        shells(),
    ]
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

/// Where the processes of this program are in the tree of cgroup version 2.
#[derive(Debug, PartialEq, Eq)]
enum Cgroup {
    /// There is no such tree here.
    NotMounted,
    /// It is mounted, but our place lies outside of what is.
    OutOfSight,
    /// The directory.
    At(PathBuf),
}

fn own_cgroup(mountinfo: &str, cgroup: &str) -> Cgroup {
    // A line: `36 35 98:0 /root /mount/point options - type source options`.
    let mut mounts = mountinfo.lines().filter_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        let mut place = place.split(' ').skip(3);
        kind.starts_with("cgroup2 ")
            .then_some((place.next()?, place.next()?))
    });
    let Some((root, mount_point)) = mounts.next_back() else {
        return Cgroup::NotMounted;
    };
    let own = cgroup.lines().find_map(|line| line.strip_prefix("0::"));
    let below = own.and_then(|own| Path::new(own).strip_prefix(root).ok());
    match below {
        Some(below) if below.starts_with("..") => Cgroup::OutOfSight,
        Some(below) => Cgroup::At([Path::new(mount_point), below].iter().collect()),
        None => Cgroup::OutOfSight,
    }
}

fn cgroup(mountinfo: &str, cgroup: &str) -> Check {
    let found = match own_cgroup(mountinfo, cgroup) {
        Cgroup::NotMounted => "version 2 is not mounted".to_owned(),
        Cgroup::OutOfSight => {
            "version 2 is mounted, but the host's own group cannot be seen".to_owned()
        }
        Cgroup::At(dir) => {
            let may_write = |file: &str| access(dir.join(file), Access::WRITE_OK).is_ok();
            let writable = may_write("") && may_write("cgroup.procs");
            let controllers =
                fs::read_to_string(dir.join("cgroup.controllers")).unwrap_or_default();
            let controllers = match controllers.trim() {
                "" => "no controllers".to_owned(),
                some => format!("controllers {some}"),
            };
            format!(
                "version 2 at {}, {}, {controllers}",
                dir.display(),
                if writable {
                    "delegated to us"
                } else {
                    "not ours to write"
                }
            )
        }
    };
    Check::ok("cgroup", format!("{found}; this version does not use it"))
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

fn shells() -> Check {
    let name = "shell";
    let found = ["bash", "sh"]
        .into_iter()
        .find_map(|shell| stephost_process::which(OsStr::new(shell), None));
    match found {
        Some(shell) => Check::ok(name, format!("scripts run in {}", shell.display())),
        None => Check::warn(
            name,
            "neither bash nor sh is on PATH, so `script` steps need a PATH of their own",
            "install a shell, or set PATH",
        ),
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
    fn places_in_the_tree_of_cgroups() {
        let hybrid = "30 24 0:26 / /sys/fs/cgroup ro - tmpfs tmpfs ro\n\
            31 30 0:27 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n\
            40 30 0:36 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
        let pure =
            "35 24 0:30 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
        let docker =
            "612 608 0:30 /system.slice/docker-1.scope /sys/fs/cgroup ro - cgroup2 cgroup rw\n";
        let at = |path: &str| Cgroup::At(path.into());
        let table = [
            (
                "systemd",
                pure,
                "0::/user.slice/a\n",
                at("/sys/fs/cgroup/user.slice/a"),
            ),
            (
                "both versions",
                hybrid,
                "3:cpu:/x\n0::/\n",
                at("/sys/fs/cgroup/unified"),
            ),
            ("own namespace", pure, "0::/\n", at("/sys/fs/cgroup")),
            (
                "the host's namespace in a container",
                docker,
                "0::/system.slice/docker-1.scope/a\n",
                at("/sys/fs/cgroup/a"),
            ),
            (
                "outside of the mount",
                docker,
                "0::/user.slice\n",
                Cgroup::OutOfSight,
            ),
            (
                "above the namespace",
                pure,
                "0::/../a\n",
                Cgroup::OutOfSight,
            ),
            (
                "version 1 only",
                "31 30 0:27 / /c rw - cgroup cgroup rw,cpu\n",
                "3:cpu:/x\n",
                Cgroup::NotMounted,
            ),
            ("nothing", "", "", Cgroup::NotMounted),
            (
                "no text of the kernel",
                "- cgroup2 \n - cgroup2 x",
                "0::",
                Cgroup::NotMounted,
            ),
        ];
        for (row, mountinfo, cgroup, expected) in table {
            assert_eq!(own_cgroup(mountinfo, cgroup), expected, "{row}");
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
