//! docs/failures.md, row by row, against a real host and what a runner makes of it. A row that nobody causes here fails,
//! and so does a cause without a row.

mod unanswered;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use stephost_client::reason::{FailureReason, Report, Seen, report};
use stephost_tests::{Ended, Host, Kind, Points, State, block_on, rows_below};

const PAGE: &str = include_str!("../../docs/failures.md");
/// The head of the first table's first column is the same as the second's; the second column tells them apart.
const ENDINGS: &str = "| what happened | last line";

/// The rows below the head that begins so: the first cell, and the others.
fn rows(head: &str) -> BTreeMap<&'static str, Vec<&'static str>> {
    let rows = rows_below(PAGE, head).into_iter();
    rows.map(|mut row| (row.remove(0), row)).collect()
}

/// What a runner reports, as the page writes it.
fn reported(seen: Seen<'_>) -> String {
    match report(seen) {
        None => "success".to_owned(),
        Some(Report { reason, exit_code }) => {
            let code = exit_code.map(|code| format!(", exit code {code}"));
            format!("`{}`{}", reason.as_str(), code.unwrap_or_default())
        }
    }
}

fn words(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// Whether a cell's words are those of a line; `…` stands for anything, `–` for no line at all.
fn is(cell: &str, line: &str) -> bool {
    if cell == "–" {
        return line.is_empty();
    }
    let cell = cell.trim_matches('`');
    match cell.strip_suffix('…') {
        Some(beginning) => line.starts_with(beginning),
        None => line == cell,
    }
}

/// A host, its points, and what it has told its operator since the last question.
struct World {
    host: Host,
    points: Points,
    log: PathBuf,
    _dir: tempfile::TempDir,
}

impl World {
    async fn new() -> World {
        let points = Points::new();
        let dir = tempfile::tempdir().expect("a directory can be made");
        let log = dir.path().join("operator.log");
        World {
            host: Host::start(points.options().with_log(&log)).await,
            points,
            log,
            _dir: dir,
        }
    }
}

/// Every word of the cell is in the operator's log behind what was there before.
fn told_to_the_operator(row: &str, cell: &str, log: &Path, before: usize) {
    let text = std::fs::read_to_string(log).expect("there is a log");
    for words in words(cell) {
        assert!(
            text[before..].contains(words),
            "{row}: no {words:?} in\n{}",
            &text[before..]
        );
    }
}

fn length(log: &Path) -> usize {
    std::fs::read_to_string(log).map_or(0, |text| text.len())
}

/// Makes it happen.
async fn cause(world: &World, row: &str) -> Ended {
    let World { host, points, .. } = world;
    let misbehave = |how: &str| {
        host.job(&format!(
            "run: [{{name: it, func: 'builtin://test/misbehave', inputs: {{how: {how}}}}}]"
        ))
    };
    let job = match row {
        "a program fails" => host.script("echo no such header >&2; exit 7"),
        "a signal ends a program" => {
            host.job("exec: {command: [sh, -c, 'echo about to fall; kill -9 $$']}")
        }
        "a program is not there" => {
            host.file(
                "it/func.yml",
                "spec: {}\n---\nexec: {command: [no-such-program]}\n",
            );
            host.job("run: [{name: it, func: ./it}]")
        }
        "an expression cannot be evaluated" => {
            host.job("run: [{name: it, script: 'echo ${{ job.MISSING + 1 }}'}]")
        }
        "a builtin says that it failed" => misbehave("fail-with-code"),
        "a builtin asks for what it may not have" => host.job(
            "run: [{name: it, func: 'builtin://test/launch', inputs: {how: stop, program: reboot}}]",
        ),
        "a builtin meets a limit" => misbehave("oom"),
        "a builtin breaks" => misbehave("panic"),
        "the host breaks under a builtin" => {
            points.arm("guest.log", "panic");
            misbehave("emit")
        }
        "somebody cancels" | "the job takes too long" => {
            let job = host.job("exec: {command: [sh, -c, 'echo ready; exec sleep 300']}");
            if row == "the job takes too long" {
                job.timeout_ms(1_000)
            } else {
                let job = job.start().await;
                job.wait_for("ready").await;
                job.cancel().await;
                return job.ended().await;
            }
        }
        unknown => panic!("{unknown:?} is a new row: say here how it happens"),
    };
    job.run().await
}

#[test]
fn every_ending_of_the_page_is_as_the_page_says() {
    let rows = rows(ENDINGS);
    assert_eq!(rows.len(), 11, "{rows:?}");
    block_on(async {
        let world = World::new().await;
        for (row, cells) in rows {
            let [last_line, status, kind, runner, operator] = cells[..] else {
                panic!("{row}: six cells");
            };
            let before = length(&world.log);
            let ended = cause(&world, row).await;
            let text = ended.text();
            let found = text.lines().last().unwrap_or_default();
            assert!(is(last_line, found), "{row}: {found:?} is not {last_line}");
            let state = match ended.status.state {
                State::Failure => "`failure`",
                State::Cancelled => "`cancelled`",
                other => panic!("{row}: {other:?}"),
            };
            assert_eq!(state, status, "{row}");
            let kind_word = match ended.status.kind {
                Some(Kind::StepFailure) => "`step_failure`",
                Some(Kind::Internal) => "`internal`",
                Some(Kind::Cancelled) => "`cancelled`",
                Some(Kind::Timeout) => "`timeout`",
                other => panic!("{row}: {other:?}"),
            };
            assert_eq!(kind_word, kind, "{row}");
            assert_eq!(reported(Seen::Status(&ended.status)), runner, "{row}");
            told_to_the_operator(row, operator, &world.log, before);
            world.points.release("guest.log");
        }
        world.host.finish().await;
    });
}

#[test]
fn every_reason_of_a_runner_is_on_the_page_or_is_not_ours() {
    let reasons = [
        FailureReason::ScriptFailure,
        FailureReason::JobCanceled,
        FailureReason::JobExecutionTimeout,
        FailureReason::RunnerSystemFailure,
    ];
    for reason in reasons {
        assert!(
            PAGE.contains(&format!("`{}`", reason.as_str())),
            "{reason:?}"
        );
    }
    // What a host says that does not say how a job ended: this one always does.
    assert!(!PAGE.contains(FailureReason::UnknownFailure.as_str()));
}

#[test]
fn the_figures_that_the_page_names_are_those_of_the_other_page() {
    let figures = include_str!("../../docs/metrics.md");
    let named: Vec<&str> = words(PAGE)
        .filter(|word| word.starts_with("stephost_"))
        .collect();
    assert!(named.len() >= 5, "{named:?}");
    for name in named {
        assert!(figures.contains(&format!("| `{name}` |")), "{name}");
    }
}
