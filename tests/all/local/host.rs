//! A local run is a host too: what it does about hosts that died, and how it tells of its own faults.

use std::fs;

use rustix::process::Signal;
use stephost_tests::{Host, Kind, Options, PAYLOAD, Points, block_on, rooms_in};

use super::{Place, is_gone};

#[tokio::test]
async fn what_a_killed_run_left_is_removed_by_the_next_one() {
    let place = Place::with_greet();
    let long = "{}\n---\nexec: {command: [sh, -c, 'sleep 300 & echo \"child $!\"; sleep 300']}\n";
    place.file("long/func.yml", long);
    let mut run = place.start(&["long"]);
    let child = run.wait_for("child ").await;
    run.signal(Signal::KILL);
    run.child.wait().await.expect("it was started");
    assert_eq!(rooms_in(place.temp.path()).len(), 1, "nobody was there");
    // Which looks into the directory for temporary files when it is over.
    let next = place.run(&["greet", "-i", "name=you"]).await;
    assert_eq!(next.status.code(), Some(0), "{}", next.err);
    assert!(is_gone(&child), "the janitor ends who carries the mark");
    assert!(!next.err.contains("removed"), "{}", next.err);
}

/// Nobody can ask the run for them.
#[test]
fn a_run_leaves_the_jobs_of_a_dead_host_to_one_that_is_asked() {
    block_on(async {
        let place = Place::with_greet();
        let start = || {
            Host::start(Options {
                env: vec![("TMPDIR".into(), place.temp.path().into())],
                ..Options::default()
            })
        };
        let dead = start().await;
        let job = dead
            .script("echo ready; sleep 300")
            .id("asked")
            .start()
            .await;
        job.wait_for("ready").await;
        dead.signal(Signal::KILL);
        dead.exited().await;
        let ran = place.command(&["greet", "-i", "name=you"]).output().await;
        assert!(ran.expect("it starts").status.success());
        let heir = start().await;
        let status = heir.client().status("asked").await.expect("it is known");
        assert_eq!(status.kind, Some(Kind::Internal), "{status:?}");
        heir.finish().await;
        assert_eq!(rooms_in(place.temp.path()).len(), 0);
    });
}

#[tokio::test]
async fn a_panic_is_told_with_the_number_that_the_card_has() {
    let place = Place::with_greet();
    let points = Points::new();
    points.arm("walk.entered", "panic");
    let mut command = place.command(&["greet", "-i", "name=you"]);
    let output = command.envs(points.options().env).output().await;
    let ran = super::text(output.expect("it starts"));
    place.is_clean();
    assert_eq!(ran.status.code(), Some(70), "{}", ran.err);
    let (_, rest) = ran.err.rsplit_once("(incident ").expect("the card has one");
    let (number, _) = rest.split_once(')').expect("it is closed");
    let told: Vec<&str> = ran
        .err
        .lines()
        .filter(|line| line.contains("the host panicked"))
        .collect();
    let [line] = told[..] else {
        panic!("one line: {}", ran.err);
    };
    assert!(line.contains(number), "{number}: {line}");
    assert!(PAYLOAD.iter().all(|part| line.contains(part)), "{line}");
    assert!(!ran.err.contains('\u{1b}'), "nothing raw: {}", ran.err);
}

#[tokio::test]
async fn that_a_job_cannot_be_stored_is_said_once() {
    let place = Place::with_greet();
    let gone = place.temp.path().join("gone");
    fs::create_dir(&gone).expect("a directory can be made");
    let mut command = place.command(&["greet", "-i", "name=you"]);
    command.env("TMPDIR", &gone);
    fs::remove_dir(&gone).expect("it is empty");
    let ran = super::text(command.output().await.expect("it starts"));
    assert_eq!(ran.status.code(), Some(73), "{}", ran.err);
    let [line] = ran.err.lines().collect::<Vec<_>>()[..] else {
        panic!("one line: {}", ran.err);
    };
    assert!(
        line.starts_with("error: the step host cannot store the job: No such file"),
        "{line}"
    );
    assert!(!line.contains("entity not found"), "{line}");
}
