//! A log of the host that nobody reads, or that cannot be written: no job notices, and the lines that are missing are counted and named.

use futures_util::FutureExt as _;
use serde_json::Value;
use stephost_tests::{State, block_on};
use tokio::io::AsyncBufReadExt as _;
use tokio::process::Command;

use super::{INTERNAL, Place, Watched};
use crate::hosting::daemon::HELLO;
use crate::hosting::{Running, run_job, spawn};

const LOST: &str = "stephost_operator_log_lost_lines_total";

async fn lost(host: &Watched) -> f64 {
    host.figures().await.counts()[LOST]
}

/// Runs jobs, and sees that they end well, until the host has lost a line.
async fn run_until_lost(host: &Watched) {
    let client = host.client().await;
    loop {
        assert_eq!(run_job(&client, HELLO).await, State::Success);
        if lost(host).await > 0.0 {
            return;
        }
    }
}

/// Reads what there is by now.
async fn read_up(daemon: &mut Running) -> String {
    let mut text = Vec::new();
    let mut piece = daemon.stderr.fill_buf().await.ok().map(<[u8]>::to_vec);
    while let Some(bytes) = piece {
        assert!(!bytes.is_empty(), "it has ended");
        daemon.stderr.consume(bytes.len());
        text.extend(bytes);
        let more = daemon.stderr.fill_buf().now_or_never();
        piece = more.map(|more| more.expect("it can be read").to_vec());
    }
    String::from_utf8(text).expect("a log is text")
}

#[test]
fn a_log_that_nobody_reads_holds_up_no_job_and_says_later_what_is_missing() {
    block_on(async {
        let arguments = ["--log-format", "json", "--log-level", "debug"];
        let mut host = Watched::start(&arguments).await;
        run_until_lost(&host).await;
        let client = host.client().await;
        assert_eq!(run_job(&client, HELLO).await, State::Success);
        let lost = lost(&host).await;
        let begun = read_up(&mut host.daemon).await;
        let log = begun + &host.end().await;
        let events: Vec<Value> = log
            .lines()
            .map(|line| serde_json::from_str(line).expect(line))
            .collect();
        let told = events.iter().filter_map(|event| event["lost"].as_f64());
        assert_eq!(told.collect::<Vec<_>>(), [lost], "{log}");
        let last = events.last().expect("there are lines");
        assert_eq!(last["message"], "ended");
    });
}

#[test]
fn a_log_whose_reader_has_gone_breaks_no_job() {
    block_on(async {
        let Watched { place, mut daemon } = Watched::start(&[]).await;
        // The other end of the daemon's is closed with it.
        daemon.stderr = spawn(&mut Command::new("true")).stderr;
        let host = Watched { place, daemon };
        run_until_lost(&host).await;
        assert_eq!(host.figures().await.counts()[INTERNAL], 0.0);
        assert_eq!(host.end().await, "");
    });
}

#[test]
fn a_log_that_the_disk_has_no_room_for_breaks_no_job() {
    block_on(async {
        let host = Watched::start_at(Place::new(), &["--log-file", "/dev/full"]).await;
        run_until_lost(&host).await;
        assert_eq!(host.figures().await.counts()[INTERNAL], 0.0);
        assert_eq!(host.end().await, "", "nothing else is told either");
    });
}
