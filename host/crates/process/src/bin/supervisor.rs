//! A program that can supervise: the host of this crate's tests. On Windows it is what they start too, for there is no shell to rely on.

#[cfg(windows)]
#[path = "../../tests/windows/actor.rs"]
mod actor;

fn main() -> std::process::ExitCode {
    let supervised = stephost_process::supervise_if_asked();
    #[cfg(windows)]
    let supervised = supervised.or_else(actor::act);
    supervised.unwrap_or(std::process::ExitCode::FAILURE)
}
