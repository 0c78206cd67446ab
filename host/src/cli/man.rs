//! `man`: the manual pages, made of the same words as `--help`.

use std::path::Path;

use anyhow::Context as _;
use clap::CommandFactory as _;
use clap_mangen::Man;

use super::exit::{self, Failure};
use super::{Arguments, print};

/// Prints the page of the program, or writes that of every command into a directory.
pub(super) fn man(dir: Option<&Path>) -> Result<u8, Failure> {
    let command = Arguments::command();
    match dir {
        Some(dir) => clap_mangen::generate_to(command, dir)
            .with_context(|| format!("writing the manual pages to {}", dir.display()))
            .map_err(Failure::cannot_create)?,
        None => {
            let mut page = Vec::new();
            Man::new(command)
                .render(&mut page)
                .context("writing the manual page")
                .map_err(Failure::internal)?;
            print(&String::from_utf8_lossy(&page))?;
        }
    }
    Ok(exit::FINE)
}
