//! What hosts that died have left is removed before a new one serves: their processes, their cgroups, the directories of their jobs.
//! What their journals say of jobs that somebody may still ask for is handed on as an [`Estate`].
//!
//! Promises: nothing of a living host is touched, for that one holds the lock of its room; two janitors do not clean the same room. What is
//! removed belongs to the room's record, which must be our own user's, and its writer must be dead. Nothing is
//! followed, nothing is known by its name alone. What somebody still lives in stays for the next time, and is named. A journal goes last,
//! when its heir has written it down: whoever dies meanwhile, the next one finds it.
//! Called by `cli`, once, before a host listens. Blocks, five seconds for each dead host whose processes do not die.

use std::path::Path;

use stephost_process::{Cleared, Mark, Survivor, clear_cgroup, kill_marked};

use super::journal::{self, Left};
use super::place::{self, Place};
use super::{PREFIX, RECORD, Record, VERSION};

/// Largest record that is read.
const RECORD_BYTES_MAX: u64 = 64 * 1024;
/// Most rooms that are looked at; the next janitor goes on.
const ROOMS_MAX: usize = 10_000;

/// What was done.
#[derive(Debug, Default)]
pub(crate) struct Cleaned {
    /// Dead hosts of which nothing is left now but their estates.
    pub(crate) hosts: usize,
    /// Processes that were killed.
    pub(crate) processes: usize,
    /// Who could not be killed; what is theirs was left.
    pub(crate) survivors: Vec<Survivor>,
    /// Jobs that nobody had closed.
    pub(crate) estates: Vec<Estate>,
    /// Lines of journals that say nothing.
    pub(crate) unreadable: usize,
    /// What went wrong, in words for the operator.
    pub(crate) faults: Vec<String>,
}

/// The jobs of a dead host that somebody may still ask for. As long as it is held, nobody else gets it; who lets go of it
/// leaves it to the next one.
#[derive(Debug)]
pub(crate) struct Estate {
    /// Holds the lock.
    room: Place,
    left: Vec<Left>,
    /// Whether the rest of the room must stay.
    is_inhabited: bool,
}

impl Estate {
    /// The jobs.
    pub(crate) fn left(&self) -> &[Left] {
        &self.left
    }

    /// Says that an heir answers for them from now on.
    pub(crate) fn settle(self) {
        let removed = if self.is_inhabited {
            self.room.remove_journal()
        } else {
            self.room.remove()
        };
        if let Err(error) = removed {
            tracing::warn!(%error, "the journal of a host that died could not be removed");
        }
    }
}

/// Removes what dead hosts left below `parent`.
pub(crate) fn clean(parent: &Path) -> Cleaned {
    let mut cleaned = Cleaned::default();
    let Ok(entries) = parent.read_dir() else {
        return cleaned;
    };
    if !place::locks_reach_everybody(parent) {
        return cleaned;
    }
    let named = entries.flatten().filter(|entry| {
        let name = entry.file_name();
        name.to_str().is_some_and(|name| name.starts_with(PREFIX))
    });
    for entry in named.take(ROOMS_MAX) {
        let path = entry.path();
        let Some(room) = Place::abandoned(&path) else {
            continue;
        };
        let text = room.read_own(RECORD, RECORD_BYTES_MAX);
        let removed = match text.as_deref().and_then(|text| of_the_dead(&path, text)) {
            Some(record) => clean_room(room, &record, &mut cleaned),
            None => remove_unfinished(&room, text.as_deref()),
        };
        if let Err(fault) = removed {
            cleaned.faults.push(format!("{}: {fault}", path.display()));
        }
    }
    cleaned
}

/// Tells the operator, if there was anything to do.
pub(crate) fn record(cleaned: &Cleaned) {
    let Cleaned {
        hosts,
        processes,
        survivors,
        estates,
        unreadable,
        faults,
    } = cleaned;
    if *hosts > 0 {
        let jobs: usize = estates.iter().map(|estate| estate.left.len()).sum();
        tracing::info!(
            janitor.hosts = hosts,
            janitor.processes = processes,
            janitor.jobs = jobs,
            "removed what a host that died had left"
        );
    }
    for survivor in survivors {
        tracing::error!(
            process.pid = survivor.pid,
            "a process of a host that died could not be killed: {survivor}"
        );
    }
    if *unreadable > 0 {
        tracing::warn!(
            janitor.lines = unreadable,
            "a host that died had written down what cannot be read"
        );
    }
    for fault in faults {
        tracing::warn!(fault, "what a host that died had left could not be removed");
    }
}

/// The record of the room at `path`, if it is a dead host's.
fn of_the_dead(path: &Path, text: &[u8]) -> Option<Record> {
    let record: Record = serde_json::from_slice(text).ok()?;
    let has_its_name = path.file_name() == Some(format!("{PREFIX}{}", record.id).as_ref());
    // The lock says that it is dead. Somebody who is alive all the same is not to be hurt.
    let is_dead = matches!(record.identity().lives(), Ok(false));
    (record.version == VERSION && has_its_name && is_dead).then_some(record)
}

/// Removes a room that holds nothing but a record that was never finished, or not even that: its host was killed while it
/// made the room, or a janitor while he removed it. A host that makes it just now sees that it is gone, and makes another.
fn remove_unfinished(room: &Place, record: Option<&[u8]>) -> std::io::Result<()> {
    let is_torn =
        record.is_some_and(|text| serde_json::from_slice::<serde_json::Value>(text).is_err());
    for entry in room.path().read_dir()? {
        if entry?.file_name() != RECORD || !is_torn {
            return Ok(());
        }
    }
    room.remove()
}

fn clean_room(room: Place, record: &Record, cleaned: &mut Cleaned) -> std::io::Result<()> {
    let host = record.identity();
    let mut survived = false;
    // With another start of the machine, processes and cgroups are gone.
    if host.is_of_this_boot()? {
        let mut note = |cleared: Cleared| {
            survived |= !cleared.survivors.is_empty();
            cleaned.processes += cleared.killed;
            for survivor in cleared.survivors {
                if cleaned
                    .survivors
                    .iter()
                    .all(|known| known.pid != survivor.pid)
                {
                    cleaned.survivors.push(survivor);
                }
            }
        };
        if let Some(cgroup) = record.cgroup() {
            note(clear_cgroup(&cgroup)?);
        }
        if let Some(mark) = Mark::new(&record.id) {
            note(kill_marked(&mark, &host));
        }
    }
    let journal::Read { left, skipped } = journal::read(&room);
    cleaned.unreadable += skipped;
    if !survived {
        room.empty()?;
        cleaned.hosts += 1;
    }
    let jobs: usize = cleaned.estates.iter().map(|estate| estate.left.len()).sum();
    if !left.is_empty() && jobs + left.len() <= journal::JOBS_MAX {
        cleaned.estates.push(Estate {
            room,
            left,
            is_inhabited: survived,
        });
    } else if left.is_empty() && !survived {
        room.remove()?;
    }
    // What is too much for one heir is left to the next.
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::path::PathBuf;

    use std::sync::Arc;

    use rustix::fs::{FileType, Mode};
    use stephost_job::JobId;
    use stephost_process::Identity;
    use tempfile::TempDir;

    use super::super::journal::{Journal, Recorded};
    use super::super::{Cgroup, Room, new_id};
    use super::*;

    /// A room as a dead host leaves it, after `change`.
    fn left(parent: &TempDir, change: impl FnOnce(&mut Record)) -> PathBuf {
        let Identity { pid, started, boot } = Identity::own().unwrap();
        let mut record = Record {
            version: VERSION,
            id: new_id(),
            pid,
            // This process, but an older one: dead.
            started: started.saturating_sub(1),
            boot,
            cgroup: None,
        };
        let path = parent.path().join(format!("{PREFIX}{}", record.id));
        change(&mut record);
        std::fs::create_dir_all(path.join("stephost-job-x/deep/er")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
        std::fs::write(path.join(RECORD), serde_json::to_vec(&record).unwrap()).unwrap();
        path
    }

    #[test]
    fn a_dead_hosts_room_is_removed_and_a_living_ones_is_not() {
        let parent = tempfile::tempdir().unwrap();
        let living = Room::make(parent.path(), &new_id(), None).unwrap();
        let dead = left(&parent, |_| {});
        let of_another_boot = left(&parent, |record| "before".clone_into(&mut record.boot));
        let cleaned = clean(parent.path());
        assert_eq!((cleaned.hosts, cleaned.processes), (2, 0), "{cleaned:?}");
        assert!(living.is_there() && !dead.exists() && !of_another_boot.exists());
        assert_eq!(clean(parent.path()).hosts, 0, "nothing is left to do");
    }

    #[test]
    fn what_is_not_proven_to_be_a_dead_hosts_is_left_alone() {
        let parent = tempfile::tempdir().unwrap();
        let own = Identity::own().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        std::fs::write(elsewhere.path().join("file"), "").unwrap();
        let table = [
            (
                "alive",
                left(&parent, |record| record.started = own.started),
            ),
            (
                "of a later version",
                left(&parent, |record| record.version = 2),
            ),
            (
                "another's record",
                left(&parent, |record| record.id = new_id()),
            ),
            ("open to others", {
                let path = left(&parent, |_| {});
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
                path
            }),
            ("a record that others may write", {
                let path = left(&parent, |_| {});
                let open = std::fs::Permissions::from_mode(0o666);
                std::fs::set_permissions(path.join(RECORD), open).unwrap();
                path
            }),
            ("no record", {
                let path = left(&parent, |_| {});
                std::fs::remove_file(path.join(RECORD)).unwrap();
                path
            }),
            ("half a record", {
                let path = left(&parent, |_| {});
                std::fs::write(path.join(RECORD), "{\"version\":1,").unwrap();
                path
            }),
            ("a record that is a FIFO", {
                let path = left(&parent, |_| {});
                std::fs::remove_file(path.join(RECORD)).unwrap();
                let (mode, kind) = (Mode::RUSR | Mode::WUSR, FileType::Fifo);
                rustix::fs::mknodat(rustix::fs::CWD, path.join(RECORD), kind, mode, 0).unwrap();
                path
            }),
            ("a link", {
                let path = parent.path().join(format!("{PREFIX}link"));
                symlink(left(&elsewhere, |_| {}), &path).unwrap();
                path
            }),
        ];
        let cleaned = clean(parent.path());
        assert_eq!(cleaned.hosts, 0, "{cleaned:?}");
        for (row, path) in table {
            assert!(path.symlink_metadata().is_ok(), "{row}");
        }
        assert_eq!(elsewhere.path().read_dir().unwrap().count(), 2);
    }

    #[test]
    fn a_room_that_was_never_finished_is_removed() {
        let parent = tempfile::tempdir().unwrap();
        let room = |record: Option<&str>| {
            let path = parent.path().join(format!("{PREFIX}{}", new_id()));
            std::fs::create_dir(&path).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
            if let Some(record) = record {
                std::fs::write(path.join(RECORD), record).unwrap();
            }
            path
        };
        let unfinished = [room(None), room(Some("")), room(Some("{\"version\":1,"))];
        let of_tomorrow = room(Some("{\"version\":\"two\"}"));
        let just_made = room(None);
        let lock = std::fs::File::open(&just_made).unwrap();
        lock.lock().unwrap();
        let cleaned = clean(parent.path());
        assert_eq!((cleaned.hosts, cleaned.faults.len()), (0, 0), "{cleaned:?}");
        for path in unfinished {
            assert!(!path.exists(), "{}", path.display());
        }
        assert!(of_tomorrow.exists() && just_made.exists());
    }

    #[test]
    fn hosts_that_make_their_rooms_beside_janitors_have_them() {
        let parent = tempfile::tempdir().unwrap();
        let over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let janitor = scope.spawn(|| {
                while !over.load(std::sync::atomic::Ordering::Relaxed) {
                    clean(parent.path());
                }
            });
            for _ in 0..200 {
                let room = Room::make(parent.path(), &new_id(), None).unwrap();
                assert!(room.is_there());
            }
            over.store(true, std::sync::atomic::Ordering::Relaxed);
            janitor.join().unwrap();
        });
        assert_eq!(parent.path().read_dir().unwrap().count(), 0);
    }

    #[test]
    fn a_record_names_no_cgroup_but_its_own() {
        let parent = tempfile::tempdir().unwrap();
        let path = left(&parent, |record| {
            record.cgroup = Some(Cgroup {
                path: "/sys/fs/cgroup/init.scope".into(),
                device: 1,
                inode: 1,
            });
        });
        let text = std::fs::read(path.join(RECORD)).unwrap();
        let record = of_the_dead(&path, &text).unwrap();
        assert_eq!(record.cgroup(), None);
    }

    #[test]
    fn a_link_in_a_room_is_removed_and_not_followed() {
        let parent = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        std::fs::write(elsewhere.path().join("file"), "").unwrap();
        let path = left(&parent, |_| {});
        symlink(elsewhere.path(), path.join("stephost-job-x/link")).unwrap();
        assert_eq!(clean(parent.path()).hosts, 1);
        assert!(!path.exists() && elsewhere.path().join("file").exists());
    }

    /// A room with a job that ran when its host died.
    fn with_job(parent: &TempDir, id: &str) -> PathBuf {
        let path = left(parent, |_| {});
        let journal = Journal::create(&Arc::new(Place::at(&path).unwrap()));
        let journal = Arc::new(journal.unwrap());
        let recorded = Recorded::begin(Some(&journal), &JobId::parse(id).unwrap());
        // As a death would.
        std::mem::forget(recorded);
        path
    }

    fn ids(cleaned: &Cleaned) -> Vec<&str> {
        let left = cleaned.estates.iter().flat_map(Estate::left);
        let mut ids: Vec<&str> = left.map(|left| left.id.as_str()).collect();
        ids.sort_unstable();
        ids
    }

    #[test]
    fn the_jobs_of_dead_hosts_go_to_one_heir_and_stay_until_he_has_written_them_down() {
        let parent = tempfile::tempdir().unwrap();
        let rooms = ["a", "b"].map(|id| with_job(&parent, id));
        let first = clean(parent.path());
        assert_eq!((first.hosts, ids(&first)), (2, vec!["a", "b"]), "{first:?}");
        for room in &rooms {
            let mut names: Vec<_> = room
                .read_dir()
                .unwrap()
                .flatten()
                .map(|e| e.file_name())
                .collect();
            names.sort_unstable();
            assert_eq!(names, [RECORD, journal::NAME], "the rest is gone");
        }
        assert_eq!(ids(&clean(parent.path())), [""; 0], "the first has them");
        // Who dies now has taken nothing with him.
        drop(first);
        let second = clean(parent.path());
        assert_eq!(ids(&second), ["a", "b"]);
        second.estates.into_iter().for_each(Estate::settle);
        assert_eq!(parent.path().read_dir().unwrap().count(), 0);
    }

    #[test]
    fn a_journal_that_is_none_keeps_no_room_from_being_removed() {
        let parent = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let foreign = with_job(&elsewhere, "a").join(journal::NAME);
        let rooms = [0; 5].map(|_| left(&parent, |_| {}));
        let [link, fifo, directory, open, text] = rooms.map(|room| room.join(journal::NAME));
        symlink(&foreign, link).unwrap();
        let mode = Mode::RUSR | Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, fifo, FileType::Fifo, mode, 0).unwrap();
        std::fs::create_dir_all(directory.join("deep")).unwrap();
        std::fs::copy(&foreign, &open).unwrap();
        std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o666)).unwrap();
        std::fs::write(text, "00000000 {}\nno line").unwrap();
        let cleaned = clean(parent.path());
        assert_eq!((cleaned.hosts, ids(&cleaned)), (5, vec![]), "{cleaned:?}");
        assert_eq!(cleaned.unreadable, 2);
        assert_eq!(parent.path().read_dir().unwrap().count(), 0);
        assert!(foreign.exists());
    }

    #[test]
    fn two_janitors_do_not_clean_one_room() {
        let parent = tempfile::tempdir().unwrap();
        let path = left(&parent, |_| {});
        let first = Place::abandoned(&path).unwrap();
        assert!(Place::abandoned(&path).is_none(), "the first has the lock");
        assert_eq!(clean(parent.path()).hosts, 0);
        drop(first);
        assert_eq!(clean(parent.path()).hosts, 1);
    }
}
