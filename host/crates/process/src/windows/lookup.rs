//! Which file is the program? Asked before the start, so that Windows gets an absolute path and never searches: its own search begins in
//! the directory of the host's program and in the current one (design D8).
//!
//! A name without one of the endings that mean a program gets each of them in turn. `PATHEXT` is not asked: of its endings only these can be started.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs,
    path::{self, Path, PathBuf},
};

use crate::{Plan, StartError};

/// What can be started, and in which order it is looked for.
const ENDINGS: [&str; 4] = ["exe", "com", "cmd", "bat"];

/// Returns the absolute path of the plan's program. With a separator it is not checked: the start will say what is wrong with it.
///
/// # Errors
///
/// [`StartError::NoProgram`] for an empty name, [`StartError::ProgramNotFound`] for one that no search path leads to.
pub(crate) fn program_of(plan: &Plan) -> Result<PathBuf, StartError> {
    let program = &plan.program;
    if program.is_empty() {
        return Err(StartError::NoProgram);
    }
    if has_directory(program) {
        // Fails only for an empty directory or when the host's own is gone; the start will fail for the same reason.
        let path = path::absolute(&plan.work_dir)
            .unwrap_or_default()
            .join(program);
        // Joined with a separator of the other kind, it would not be absolute in every reader's eyes.
        let path = path::absolute(&path).unwrap_or(path);
        return Ok(complete(&path).unwrap_or(path));
    }
    let of_step = plan
        .env
        .iter()
        .rev()
        .find(|(name, _)| name.eq_ignore_ascii_case("PATH"))
        .map(|(_, value)| value.as_os_str());
    search_both(of_step, program).ok_or_else(|| StartError::ProgramNotFound {
        program: program.clone(),
    })
}

/// Returns the absolute path of a file that can be started: `program` itself if that is one, else the first of that name, if it has no
/// directory, in the directories of `search_path` and then of the host's own `PATH`.
pub fn which(program: &OsStr, search_path: Option<&OsStr>) -> Option<PathBuf> {
    if program.is_empty() {
        return None;
    }
    if has_directory(program) {
        let path = Path::new(program);
        return path.is_absolute().then(|| complete(path)).flatten();
    }
    search_both(search_path, program)
}

/// Whether more than a name was written: a separator of either kind, or a drive.
fn has_directory(program: &OsStr) -> bool {
    let bytes = program.as_encoded_bytes();
    bytes.iter().any(|byte| matches!(byte, b'/' | b'\\' | b':'))
}

/// A step that changes PATH chooses first; that the host's is searched too is what runners rely on (contract 5.2).
fn search_both(of_step: Option<&OsStr>, program: &OsStr) -> Option<PathBuf> {
    let found = of_step.and_then(|search_path| search(search_path, program));
    found.or_else(|| search(&env::var_os("PATH")?, program))
}

/// Returns the first file called `program` in the directories of `search_path`.
///
/// Relative ones, the empty one included, are skipped: what a job finds in its directory is not what a bare name means.
fn search(search_path: &OsStr, program: &OsStr) -> Option<PathBuf> {
    env::split_paths(search_path)
        .filter(|directory| directory.is_absolute())
        .find_map(|directory| complete(&directory.join(program)))
}

/// The file itself if it can be started, else the first that its name and an ending lead to.
fn complete(path: &Path) -> Option<PathBuf> {
    let with = |ending: &&str| {
        let mut name = OsString::from(path);
        name.push(".");
        name.push(ending);
        PathBuf::from(name)
    };
    let itself = is_program(path).then(|| path.to_owned());
    itself.or_else(|| ENDINGS.iter().map(with).find(|path| is_program(path)))
}

fn is_program(path: &Path) -> bool {
    path.is_file() && is_executable(path)
}

/// Returns whether we may execute the file, as far as its name tells, or enter the directory.
pub(crate) fn is_executable(path: &Path) -> bool {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => true,
        Ok(_) => path.extension().is_some_and(|extension| {
            ENDINGS
                .iter()
                .any(|ending| extension.eq_ignore_ascii_case(ending))
        }),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_with_or_without_its_ending_and_only_if_it_can_run() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["runs.exe", "batch.CMD", "lies.txt"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let path = |name: &str| dir.path().join(name).into_os_string();
        let search = Some(dir.path().as_os_str());
        let table = [
            ("a name", "runs.exe".into(), search, Some("runs.exe")),
            (
                "without its ending",
                "runs".into(),
                search,
                Some("runs.exe"),
            ),
            ("a name that nobody searches for", "runs".into(), None, None),
            ("a path", path("runs.exe"), None, Some("runs.exe")),
            (
                "a path without ending",
                path("runs"),
                None,
                Some("runs.exe"),
            ),
            ("no program", "lies.txt".into(), search, None),
            ("a path to no program", path("lies.txt"), search, None),
            ("a directory", dir.path().into(), search, None),
            ("a relative path", ".\\runs.exe".into(), search, None),
            (
                "a path on the current drive",
                "C:runs.exe".into(),
                search,
                None,
            ),
            ("nothing", "".into(), search, None),
        ];
        for (row, program, search_path, found) in table {
            let answer = which(&program, search_path);
            assert_eq!(answer, found.map(|name| dir.path().join(name)), "{row}");
        }
        let batch = which("batch".as_ref(), search).unwrap();
        assert!(batch.is_file(), "case means nothing: {batch:?}");
    }
}
