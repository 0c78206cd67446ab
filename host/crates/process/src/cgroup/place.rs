//! Where this process is in the tree of cgroups of version 2: read from `/proc`, nothing assumed.
//!
//! Called by `cgroup`.

use std::{
    ffi::OsString,
    fs,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
};

/// Where the processes of this program are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CgroupPlace {
    /// There is no such tree here.
    NotMounted,
    /// It is mounted, but our place lies outside of what is.
    OutOfSight,
    /// The directory.
    At(PathBuf),
}

impl CgroupPlace {
    /// Looks for the place of this process.
    pub(super) fn own() -> CgroupPlace {
        let read = |path| fs::read(path).unwrap_or_default();
        let (mounts, cgroup) = (read("/proc/self/mountinfo"), read("/proc/self/cgroup"));
        CgroupPlace::of(
            &String::from_utf8_lossy(&mounts),
            &String::from_utf8_lossy(&cgroup),
        )
    }

    /// Reads it out of the texts of `mountinfo` and `cgroup` (proc(5)).
    fn of(mountinfo: &str, cgroup: &str) -> CgroupPlace {
        // A line: `36 35 98:0 /root /mount/point options - type source options`.
        let mounts = mountinfo.lines().filter_map(|line| {
            let (place, kind) = line.split_once(" - ")?;
            let mut place = place.split(' ').skip(3);
            let (root, point) = (place.next()?, place.next()?);
            kind.starts_with("cgroup2 ")
                .then(|| (unescaped(root), unescaped(point)))
        });
        let own = cgroup.lines().find_map(|line| line.strip_prefix("0::"));
        let mut found = CgroupPlace::NotMounted;
        // A later mount covers an earlier one.
        for (root, point) in mounts {
            let below = own.and_then(|own| Path::new(own).strip_prefix(&root).ok());
            match below {
                Some(below) if !below.starts_with("..") => {
                    let place: PathBuf = [&*point, below].iter().collect();
                    // Without a slash at its end, which an empty rest leaves.
                    found = CgroupPlace::At(place.components().collect());
                }
                Some(_) | None if found == CgroupPlace::NotMounted => {
                    found = CgroupPlace::OutOfSight;
                }
                Some(_) | None => {}
            }
        }
        found
    }
}

/// A path of `mountinfo`, where blanks and backslashes are three octal digits.
fn unescaped(text: &str) -> PathBuf {
    let mut rest = text.as_bytes();
    let mut path = Vec::with_capacity(rest.len());
    while let Some((&first, after)) = rest.split_first() {
        let code = after
            .first_chunk::<3>()
            .filter(|_| first == b'\\')
            .and_then(|digits| str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        path.push(code.unwrap_or(first));
        rest = if code.is_some() { &after[3..] } else { after };
    }
    PathBuf::from(OsString::from_vec(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_in_the_tree_of_cgroups() {
        let hybrid = "30 24 0:26 / /sys/fs/cgroup ro - tmpfs tmpfs ro\n\
            31 30 0:27 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n\
            40 30 0:36 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
        let pure =
            "35 24 0:30 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
        let docker =
            "612 608 0:30 /system.slice/docker-1.scope /sys/fs/cgroup ro - cgroup2 cgroup rw\n";
        let both = format!("{docker}{pure}");
        let at = |path: &str| CgroupPlace::At(path.into());
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
                CgroupPlace::OutOfSight,
            ),
            (
                "in another mount",
                &both,
                "0::/user.slice\n",
                at("/sys/fs/cgroup/user.slice"),
            ),
            (
                "above the namespace",
                pure,
                "0::/../a\n",
                CgroupPlace::OutOfSight,
            ),
            (
                "version 1 only",
                "31 30 0:27 / /c rw - cgroup cgroup rw,cpu\n",
                "3:cpu:/x\n",
                CgroupPlace::NotMounted,
            ),
            (
                "a blank in the path",
                r"35 24 0:30 / /mnt/a\040b\134 rw - cgroup2 cgroup2 rw",
                "0::/x\n",
                at(r"/mnt/a b\/x"),
            ),
            ("nothing", "", "", CgroupPlace::NotMounted),
            (
                "no text of the kernel",
                "- cgroup2 \n - cgroup2 x",
                "0::",
                CgroupPlace::NotMounted,
            ),
        ];
        for (row, mountinfo, cgroup, expected) in table {
            assert_eq!(CgroupPlace::of(mountinfo, cgroup), expected, "{row}");
        }
    }
}
