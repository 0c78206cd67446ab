//! A program that can only supervise: the host of this crate's tests.

fn main() -> std::process::ExitCode {
    stephost_process::supervise_if_asked().unwrap_or(std::process::ExitCode::FAILURE)
}
