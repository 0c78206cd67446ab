//! `completions SHELL`: what a shell needs to complete our command line.

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::exit::{self, Failure};
use super::{Arguments, print};

/// Prints the completions.
pub(super) fn completions(shell: Shell) -> Result<u8, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "stephost", &mut script);
    print(&String::from_utf8_lossy(&script))?;
    Ok(exit::FINE)
}
