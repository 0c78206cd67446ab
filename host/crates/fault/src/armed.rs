//! What happens at a point: nothing, or what a file says.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Environment variable that names the directory of the armed points.
pub const DIRECTORY: &str = "STEPHOST_FAULT_DIRECTORY";
/// Bytes that are in every program that has points, and in no other.
pub const MARKER: &str = "this program has points at which a test can make it fail";
/// What every injected panic says, so that tests can look for it where it must not be: a secret, a path, the words
/// that a runner reads a number behind, a control character.
pub const PAYLOAD: &str = "injected: s3cr3t-of-a-job in /etc/host \u{1b}[31m exit status 77";

/// How long a `delay` takes.
const DELAY: Duration = Duration::from_millis(20);
/// Longest `hold` of a point that cannot wait, and so keeps a thread.
const HOLD_THREAD_MAX: Duration = Duration::from_millis(250);
/// Longest `hold` of any other, so that a test that died leaves no host behind that waits for it.
const HOLD_MAX: Duration = Duration::from_secs(20);
/// How often a `hold` looks whether it is over.
const LOOK: Duration = Duration::from_millis(2);

enum Action {
    Nothing,
    Panic,
    Error,
    Delay,
    Hold(PathBuf),
}

/// Reaches a point that can neither wait nor fail.
///
/// # Panics
///
/// When it is told to.
pub fn reach(name: &str) {
    fails(name);
}

/// Reaches a point that cannot wait; returns whether it fails.
///
/// # Panics
///
/// When it is told to.
pub fn fails(name: &str) -> bool {
    match take(name) {
        Action::Nothing => false,
        Action::Panic => injected(),
        Action::Error => true,
        Action::Delay => {
            sleep(DELAY);
            false
        }
        Action::Hold(fired) => {
            let give_up = Instant::now() + HOLD_THREAD_MAX;
            while fired.exists() && Instant::now() < give_up {
                sleep(LOOK);
            }
            false
        }
    }
}

/// Reaches a point that can wait; returns whether it fails.
///
/// # Panics
///
/// When it is told to.
pub async fn pass(name: &str) -> bool {
    match take(name) {
        Action::Nothing => false,
        Action::Panic => injected(),
        Action::Error => true,
        Action::Delay => {
            tokio::time::sleep(DELAY).await;
            false
        }
        Action::Hold(fired) => {
            let give_up = Instant::now() + HOLD_MAX;
            while fired.exists() && Instant::now() < give_up {
                tokio::time::sleep(LOOK).await;
            }
            false
        }
    }
}

fn injected() -> ! {
    panic!("{PAYLOAD}")
}

#[expect(
    clippy::disallowed_methods,
    reason = "to keep a thread is what a test asks for"
)]
fn sleep(time: Duration) {
    std::thread::sleep(time);
}

/// Takes what is armed at this point, so that nobody else meets it.
fn take(name: &str) -> Action {
    static ROOT: OnceLock<Option<PathBuf>> = OnceLock::new();
    let root = ROOT.get_or_init(|| std::env::var_os(DIRECTORY).map(PathBuf::from));
    match root {
        Some(root) => taken(root, name),
        None => Action::Nothing,
    }
}

fn taken(root: &Path, name: &str) -> Action {
    let fired = root.join("fired").join(name);
    // One of many who come at once succeeds.
    if fs::rename(root.join("armed").join(name), &fired).is_err() {
        return Action::Nothing;
    }
    // Gone when who armed it has changed his mind.
    match fs::read_to_string(&fired).unwrap_or_default().as_str() {
        "" => Action::Nothing,
        "panic" => Action::Panic,
        "error" => Action::Error,
        "delay" => Action::Delay,
        "hold" => Action::Hold(fired),
        "count" => {
            let handle = tokio::runtime::Handle::try_current();
            let tasks = handle.map_or(0, |handle| handle.metrics().num_alive_tasks());
            // That it could not be written is what the test sees.
            let _ = fs::write(root.join("fired").join("tasks"), tasks.to_string());
            Action::Nothing
        }
        unknown => panic!("{name} is armed with {unknown:?}, which is nothing"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_armed_point_does_what_it_says_once_and_to_whoever_comes_first() {
        let root = std::env::temp_dir().join(format!("points-{}", std::process::id()));
        for sub in ["armed", "fired"] {
            fs::create_dir_all(root.join(sub)).unwrap();
        }
        fs::write(root.join("armed/here"), "error").unwrap();
        assert!(matches!(taken(&root, "elsewhere"), Action::Nothing));
        assert!(matches!(taken(&root, "here"), Action::Error));
        assert!(matches!(taken(&root, "here"), Action::Nothing));
        fs::remove_dir_all(root).unwrap();
    }
}
