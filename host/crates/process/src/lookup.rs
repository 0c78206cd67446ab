//! Which file is the program? Asked before the spawn, so that the spawn gets an absolute path and never searches (design D8).

use std::{
    env,
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{self, Path, PathBuf},
};

use rustix::fs::{Access, access};

use crate::{Plan, StartError};

/// Returns the absolute path of the plan's program. With a slash it is not checked: the spawn will say what is wrong with it.
///
/// # Errors
///
/// [`StartError::NoProgram`] for an empty name, [`StartError::ProgramNotFound`] for one that no search path leads to.
pub(crate) fn program_of(plan: &Plan) -> Result<PathBuf, StartError> {
    let program = &plan.program;
    if program.is_empty() {
        return Err(StartError::NoProgram);
    }
    if program.as_bytes().contains(&b'/') {
        // Fails only for an empty directory or when the host's own is gone; the spawn will fail for the same reason.
        return Ok(path::absolute(&plan.work_dir)
            .unwrap_or_default()
            .join(program));
    }
    let of_step = plan
        .env
        .iter()
        .rev()
        .find(|(name, _)| name == "PATH")
        .map(|(_, value)| value.as_os_str());
    search_both(of_step, program).ok_or_else(|| StartError::ProgramNotFound {
        program: program.clone(),
    })
}

/// Returns the absolute path of an executable file: `program` itself if that is one, else the first of that name, if it has no
/// slash, in the directories of `search_path` and then of the host's own `PATH`.
pub fn which(program: &OsStr, search_path: Option<&OsStr>) -> Option<PathBuf> {
    if program.is_empty() {
        return None;
    }
    if program.as_bytes().contains(&b'/') {
        let path = Path::new(program);
        return (path.is_absolute() && path.is_file() && is_executable(path))
            .then(|| path.to_owned());
    }
    search_both(search_path, program)
}

/// A step that changes PATH chooses first; that the host's is searched too is what runners rely on (contract 5.2).
fn search_both(of_step: Option<&OsStr>, program: &OsStr) -> Option<PathBuf> {
    let found = of_step.and_then(|search_path| search(search_path, program));
    found.or_else(|| search(&env::var_os("PATH")?, program))
}

/// Returns the first executable file called `program` in the directories of `search_path`.
///
/// Relative ones, the empty one included, are skipped: what a job finds in its directory is not what a bare name means.
fn search(search_path: &OsStr, program: &OsStr) -> Option<PathBuf> {
    env::split_paths(search_path)
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(program))
        .find(|candidate| candidate.is_file() && is_executable(candidate))
}

/// Returns whether we may execute the file, or enter the directory.
pub(crate) fn is_executable(path: &Path) -> bool {
    access(path, Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    #[test]
    fn a_program_is_found_by_name_or_by_an_absolute_path_and_only_if_it_can_run() {
        let dir = tempfile::tempdir().unwrap();
        for (name, mode) in [("runs", 0o755), ("lies", 0o644)] {
            let file = dir.path().join(name);
            fs::write(&file, "").unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        }
        let path = |name: &str| dir.path().join(name).into_os_string();
        let search = Some(dir.path().as_os_str());
        let table = [
            ("a name", "runs".into(), search, Some(path("runs"))),
            ("a name that nobody searches for", "runs".into(), None, None),
            ("a path", path("runs"), None, Some(path("runs"))),
            ("no program", "lies".into(), search, None),
            ("a path to no program", path("lies"), search, None),
            ("a directory", dir.path().into(), search, None),
            ("a relative path", "./runs".into(), search, None),
            ("nothing", "".into(), search, None),
        ];
        for (row, program, search_path, found) in table {
            let answer = which(&program, search_path).map(PathBuf::into_os_string);
            assert_eq!(answer, found, "{row}");
        }
    }
}
