//! Who descends from a process: asked from `/proc`, without allocating.
//!
//! A list is old when it is made: nobody may be taken for gone because it is missing here. That nobody is left is only known from
//! `waitid`; this is how those who are left are found. Called by `supervisor`, and by `orphans` in the host.

use std::{
    ffi::CStr,
    fmt::{self, Write as _},
    mem::MaybeUninit,
    os::fd::{AsFd, OwnedFd},
};

use rustix::{
    fs::{Mode, OFlags, RawDir, open},
    io::{Errno, read},
    process::{Pid, Signal, kill_process},
};

use crate::Survivor;

/// Largest part of a file that is read where a part is enough: `stat` has fifty numbers and a name of at most 64 bytes.
const HEAD_BYTES: usize = 2048;
/// Bytes of a directory or of a list of children that are read at once.
const CHUNK_BYTES: usize = 4096;

/// The part of `/proc/<pid>/stat` that matters here (proc(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) state: u8,
    pub(crate) parent: i32,
    pub(crate) group: i32,
    pub(crate) session: i32,
    threads: u32,
}

impl Stat {
    /// Returns whether the process lives.
    pub(crate) fn lives(&self) -> bool {
        // A process whose first thread ended while others run shows as a zombie with more than one thread.
        !matches!(self.state, b'Z' | b'X' | b'x') || self.threads > 1
    }
}

/// Calls `visit` with every child of `parent`, dead ones included.
///
/// # Errors
///
/// When `/proc` cannot be read, or `parent` is gone.
pub(crate) fn for_each_child(parent: i32, visit: &mut dyn FnMut(i32)) -> rustix::io::Result<()> {
    let mut seen_any = false;
    let mut answer = Ok(());
    // A child belongs to the thread that made it.
    for_each_number(
        path(format_args!("/proc/{parent}/task")).as_c_str(),
        &mut |thread| {
            let list = path(format_args!("/proc/{parent}/task/{thread}/children"));
            match numbers_in(list.as_c_str(), visit) {
                Ok(()) => seen_any = true,
                Err(error) => answer = Err(error),
            }
        },
    )?;
    match answer {
        // A kernel without these lists (CONFIG_PROC_CHILDREN): ask everybody for his parent.
        Err(Errno::NOENT) if !seen_any => for_each_number(c"/proc", &mut |pid| {
            if stat(pid).is_some_and(|stat| stat.parent == parent) {
                visit(pid);
            }
        }),
        // A thread that ended meanwhile has handed its children to another one; the next look will find them.
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Collects the descendants of `root` without itself, parents before children, as far as `found` has room.
pub(crate) fn descendants(root: i32, found: &mut Vec<i32>) {
    found.clear();
    let mut next = 0;
    let mut parent = root;
    loop {
        // One who is gone has no children any more.
        let _ = for_each_child(parent, &mut |child| {
            if found.len() < found.capacity() {
                found.push(child);
            }
        });
        let Some(&pid) = found.get(next) else { return };
        next += 1;
        parent = pid;
    }
}

/// Reads what `/proc` says about a process; `None` if it is gone or cannot be seen.
pub(crate) fn stat(pid: i32) -> Option<Stat> {
    let mut buffer = [0; HEAD_BYTES];
    parse_stat(head(
        path(format_args!("/proc/{pid}/stat")).as_c_str(),
        &mut buffer,
    )?)
}

/// This process as `/proc` has it. Its group and its session are 0 if their leaders live outside this pid namespace, which is how
/// everybody in them looks then, and what the wrapped system calls cannot say.
pub(crate) fn own() -> Option<Stat> {
    let mut buffer = [0; HEAD_BYTES];
    parse_stat(head(c"/proc/self/stat", &mut buffer)?)
}

/// Names a process that could not be killed; `None` if it is dead after all. Sends the kill once more, to learn whether it may be sent.
pub(crate) fn survivor(pid: i32) -> Option<Survivor> {
    let stat = stat(pid).filter(Stat::lives)?;
    Some(Survivor {
        pid,
        name: name(pid),
        state: stat.state,
        uid: user(pid).unwrap_or(u32::MAX),
        refused: kill_process(Pid::from_raw(pid)?, Signal::KILL) == Err(Errno::PERM),
        waits_in: waits_in(pid),
    })
}

/// What a process calls itself.
fn name(pid: i32) -> String {
    let mut buffer = [0; 64];
    let text = head(
        path(format_args!("/proc/{pid}/comm")).as_c_str(),
        &mut buffer,
    );
    String::from_utf8_lossy(text.unwrap_or_default().trim_ascii_end()).into_owned()
}

/// Where in the kernel a process waits; empty when the kernel does not say.
fn waits_in(pid: i32) -> String {
    let mut buffer = [0; 60];
    let text = head(
        path(format_args!("/proc/{pid}/wchan")).as_c_str(),
        &mut buffer,
    );
    match String::from_utf8_lossy(text.unwrap_or_default()).as_ref() {
        "0" => String::new(),
        place => place.to_owned(),
    }
}

/// The effective user of a process.
fn user(pid: i32) -> Option<u32> {
    let mut buffer = [0; HEAD_BYTES];
    let status = head(
        path(format_args!("/proc/{pid}/status")).as_c_str(),
        &mut buffer,
    )?;
    let line = status
        .split(|&byte| byte == b'\n')
        .find_map(|line| line.strip_prefix(b"Uid:"))?;
    str::from_utf8(line)
        .ok()?
        .split_ascii_whitespace()
        .nth(1)?
        .parse()
        .ok()
}

/// Reads one line of `/proc/<pid>/stat`; any bytes at all are allowed, the process chose its own name.
fn parse_stat(text: &[u8]) -> Option<Stat> {
    // The name may hold spaces and parentheses; nothing after it does.
    let name_end = text.iter().rposition(|&byte| byte == b')')?;
    let rest = str::from_utf8(&text[name_end + 1..]).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    let parent = fields.next()?.parse().ok()?; // field 4
    let group = fields.next()?.parse().ok()?;
    let session = fields.next()?.parse().ok()?; // field 6
    let threads = fields.nth(13)?.parse().ok()?; // field 20
    Some(Stat {
        state,
        parent,
        group,
        session,
        threads,
    })
}

/// A path in `/proc`, on the stack.
struct Path {
    bytes: [u8; 64],
    len: usize,
}

impl Path {
    fn as_c_str(&self) -> &CStr {
        // There is always a zero byte left: `write_str` keeps it.
        CStr::from_bytes_until_nul(&self.bytes).unwrap_or_default()
    }
}

impl fmt::Write for Path {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        if end >= self.bytes.len() {
            return Err(fmt::Error);
        }
        self.bytes[self.len..end].copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

fn path(text: fmt::Arguments<'_>) -> Path {
    let mut path = Path {
        bytes: [0; 64],
        len: 0,
    };
    // Two numbers of eleven digits fit; a path that did not would lead nowhere.
    let _ = path.write_fmt(text);
    path
}

/// Reads the beginning of a file, as far as `buffer` has room.
fn head<'a>(path: &CStr, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    let file = open_to_read(path, OFlags::empty()).ok()?;
    let mut len = 0;
    while len < buffer.len() {
        match read(&file, &mut buffer[len..]) {
            Ok(0) => break,
            Ok(bytes) => len += bytes,
            Err(Errno::INTR) => {}
            Err(_) => return None,
        }
    }
    Some(&buffer[..len])
}

/// Calls `visit` with every number in a file of numbers.
fn numbers_in(path: &CStr, visit: &mut dyn FnMut(i32)) -> rustix::io::Result<()> {
    let file = open_to_read(path, OFlags::empty())?;
    let mut chunk = [0; CHUNK_BYTES];
    let mut number: Option<i32> = None;
    loop {
        let bytes = match read(&file, &mut chunk) {
            Ok(0) => break,
            Ok(bytes) => bytes,
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error),
        };
        for &byte in &chunk[..bytes] {
            if byte.is_ascii_digit() {
                let digit = i32::from(byte - b'0');
                number = number
                    .unwrap_or(0)
                    .checked_mul(10)
                    .and_then(|tens| tens.checked_add(digit));
            } else if let Some(number) = number.take() {
                visit(number);
            }
        }
    }
    if let Some(number) = number {
        visit(number);
    }
    Ok(())
}

/// Calls `visit` with every entry of a directory that is a number.
fn for_each_number(path: &CStr, visit: &mut dyn FnMut(i32)) -> rustix::io::Result<()> {
    let directory = open_to_read(path, OFlags::DIRECTORY)?;
    let mut chunk = [MaybeUninit::uninit(); CHUNK_BYTES];
    let mut entries = RawDir::new(directory.as_fd(), &mut chunk);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_str().ok();
        if let Some(number) = name.and_then(|name| name.parse().ok()) {
            visit(number);
        }
    }
    Ok(())
}

fn open_to_read(path: &CStr, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    open(
        path,
        flags | OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )
}

#[cfg(test)]
mod tests {
    use std::{
        io::Read as _,
        os::unix::process::CommandExt as _,
        process::{Child, Command, Stdio},
    };

    use super::*;

    const LINE: &str =
        "812 (a) b) c) S 1 810 809 34816 812 4194560 1 0 0 0 1 2 0 0 20 0 3 0 99887 1 2 3 4";

    #[test]
    fn a_stat_line_is_read_whatever_the_process_calls_itself() {
        let stat = |state| Stat {
            state,
            parent: 1,
            group: 810,
            session: 809,
            threads: 3,
        };
        assert_eq!(parse_stat(LINE.as_bytes()), Some(stat(b'S')));
        assert_eq!(
            parse_stat(LINE.replace(" S ", " Z ").as_bytes()),
            Some(stat(b'Z'))
        );
        let wild = [b"1 (\xff\n \0) ".as_slice(), &LINE.as_bytes()[13..]].concat();
        assert_eq!(parse_stat(&wild), Some(stat(b'S')));
    }

    #[test]
    fn no_cut_or_changed_line_is_misread() {
        let line = LINE.as_bytes();
        for cut in 0..line.len() {
            let stat = parse_stat(&line[..cut]);
            if let Some(stat) = stat {
                assert_eq!((stat.group, stat.session), (810, 809), "cut at {cut}");
            }
            for byte in [0, b' ', b')', b'-', 0xff] {
                let mut changed = line.to_vec();
                changed[cut] = byte;
                let _ = parse_stat(&changed); // total: any bytes give an answer
            }
        }
    }

    #[test]
    fn a_zombie_with_other_threads_lives() {
        for (state, threads, lives) in [
            (b'R', 1, true),
            (b'T', 1, true),
            (b'Z', 1, false),
            (b'Z', 2, true),
            (b'X', 0, false),
        ] {
            let stat = Stat {
                state,
                parent: 1,
                group: 1,
                session: 1,
                threads,
            };
            assert_eq!(
                stat.lives(),
                lives,
                "{} with {threads} threads",
                state as char
            );
        }
    }

    /// A child with a child of its own, both of which have said that they are there.
    fn family() -> (Child, i32) {
        let mut child = Command::new("/bin/sh")
            .args(["-c", "sleep 60 & echo $!; wait"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let mut grandchild = String::new();
        let out = child.stdout.as_mut().unwrap();
        while !grandchild.ends_with('\n') {
            let mut byte = [0];
            out.read_exact(&mut byte).unwrap();
            grandchild.push(char::from(byte[0]));
        }
        (child, grandchild.trim().parse().unwrap())
    }

    #[test]
    fn descendants_are_found_as_far_as_there_is_room() {
        let (mut child, grandchild) = family();
        let pid = i32::try_from(child.id()).unwrap();
        let mut found = Vec::with_capacity(4096);
        descendants(i32::try_from(std::process::id()).unwrap(), &mut found);
        let at = |pid| found.iter().position(|&found| found == pid);
        assert!(at(pid) < at(grandchild) && at(pid).is_some(), "{found:?}");

        let (seen, seen_name) = (stat(grandchild).unwrap(), name(grandchild));
        let seen_user = user(grandchild);
        let mut of_child = Vec::with_capacity(1);
        descendants(pid, &mut of_child);
        rustix::process::kill_process_group(
            rustix::process::Pid::from_child(&child),
            rustix::process::Signal::KILL,
        )
        .unwrap();
        child.wait().unwrap();

        assert_eq!(of_child, [grandchild]);
        assert_eq!((seen.parent, seen.group), (pid, pid));
        assert_eq!(Some(seen.session), own().map(|own| own.session));
        assert!(seen.lives());
        assert!(seen_name == "sleep" || seen_name == "sh", "{seen_name}");
        assert_eq!(seen_user, Some(rustix::process::geteuid().as_raw()));
        assert_eq!(stat(pid), None, "it was reaped");
    }

    #[test]
    fn a_long_list_of_numbers_is_read_across_its_chunks() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let numbers: Vec<i32> = (0..5000).map(|number| number * 7 + 1).collect();
        let text: String = numbers.iter().map(|number| format!("{number} ")).collect();
        std::fs::write(file.path(), text).unwrap();
        let path = std::ffi::CString::new(file.path().to_str().unwrap()).unwrap();
        let mut read = Vec::new();
        numbers_in(&path, &mut |number| read.push(number)).unwrap();
        assert_eq!(read, numbers);
    }
}
