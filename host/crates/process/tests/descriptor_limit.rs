//! The host's descriptor limit goes up, a step's does not. A process of its own: the limit belongs to the whole process.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a failed assumption is a failed test")]

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use stephost_process::raise_descriptor_limit;

use crate::fixture::{begin, shell, within};

#[path = "all/fixture.rs"]
mod fixture;

#[tokio::test]
async fn a_step_gets_the_limit_that_the_host_was_started_with() {
    let hard = getrlimit(Resource::Nofile).maximum;
    let original = 200;
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(original),
            maximum: hard,
        },
    )
    .unwrap();
    raise_descriptor_limit().unwrap();
    raise_descriptor_limit().unwrap();
    assert_eq!(getrlimit(Resource::Nofile).current, hard);
    // The limit is put back right after the start: what a later program sees is what counts, so wait for one.
    let (running, output) = begin(shell("sleep 0.05; sh -c 'ulimit -Sn; ulimit -Hn'")).await;
    assert!(within("the end", running.ended()).await.exit.is_success());
    let hard = hard.map_or_else(|| "unlimited".to_owned(), |hard| hard.to_string());
    assert_eq!(output.out(), format!("{original}\n{hard}\n"));
}
