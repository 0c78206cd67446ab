//! The host itself on Windows, as a runner and as a person use it: the built program, its pipe, its jobs. Run under Wine by
//! `cargo xtask test --windows`; what Wine cannot show is named in docs/windows.md.
#![cfg(windows)]
#![allow(clippy::unwrap_used, reason = "a failed assumption is a failed test")]

mod fixture;

use std::fs::OpenOptions;
use std::os::windows::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use stephost_client::{Client, Kind, Request, State};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::fixture::{
    GUARD, Host, MARKER, Witnesses, all_end, command, entries, function, new_pipe, program, rooms,
    run, step, within,
};

#[tokio::test]
async fn version_check_and_explain_answer_as_elsewhere() {
    let temp = tempfile::tempdir().unwrap();
    let version = run(&temp, &["version"]).await;
    assert!(version.status.success(), "{}", version.err);
    assert!(version.out.contains("windows"), "{}", version.out);
    std::fs::write(temp.path().join("func.yml"), function(&["say", "x"])).unwrap();
    let good = run(&temp, &["check", "func.yml"]).await;
    assert!(good.status.success(), "{}{}", good.out, good.err);
    std::fs::write(temp.path().join("func.yml"), "spec: {}\n---\nexec: 1\n").unwrap();
    let bad = run(&temp, &["check", "func.yml"]).await;
    assert_eq!(bad.status.code(), Some(1), "{}{}", bad.out, bad.err);
    assert!(bad.err.contains("func.yml") || bad.out.contains("func.yml"));
}

#[tokio::test]
async fn a_function_with_a_program_and_a_builtin_runs_and_leaves_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let work = tempfile::tempdir().unwrap();
    let steps = "spec: {}\n---\nrun:\n  - name: native\n    func: ./native\n  - name: greet\n    func: builtin://hello\n    inputs:\n      name: Windows\n";
    std::fs::create_dir(work.path().join("native")).unwrap();
    let native = function(&["variable", "GREETING"]);
    std::fs::write(work.path().join("native/func.yml"), native).unwrap();
    std::fs::write(work.path().join("func.yml"), steps).unwrap();
    let done = run(&temp, &["run", work.path().to_str().unwrap()]).await;
    assert!(done.status.success(), "{}{}", done.out, done.err);
    assert!(done.out.contains("from the host\n"), "{}", done.out);
    assert!(done.out.contains("Hello, Windows!"), "{}", done.out);
    assert_eq!(entries(&temp), Vec::<String>::new(), "{}", done.err);
}

#[tokio::test]
async fn a_step_that_fails_says_with_which_code() {
    let temp = tempfile::tempdir().unwrap();
    std::fs::write(temp.path().join("func.yml"), function(&["fail", "7"])).unwrap();
    let done = run(&temp, &["run", "func.yml"]).await;
    assert!(!done.status.success());
    assert!(done.err.contains("exit status 7"), "{}", done.err);
}

#[tokio::test]
async fn a_job_over_the_pipe_is_run_followed_asked_about_and_closed() {
    let host = Host::start().await;
    host.begin("j", &function(&["say", "over a pipe"]), None)
        .await;
    let log = host.log("j").await;
    assert!(log.ends_with("\nover a pipe\n"), "{log}");
    let status = host.status("j").await;
    assert_eq!((status.state, status.kind), (State::Success, None));
    host.begin("k", &function(&["fail", "3"]), None).await;
    host.log("k").await;
    let status = host.status("k").await;
    assert_eq!(
        (status.state, status.kind),
        (State::Failure, Some(Kind::StepFailure))
    );
    assert!(
        status.message.ends_with("exit status 3"),
        "{}",
        status.message
    );
    for id in ["j", "k"] {
        host.close(id).await;
        assert!(within("Status", host.client.status(id)).await.is_err());
    }
    host.kill().await;
}

#[tokio::test]
async fn outputs_travel_through_their_files() {
    let host = Host::start().await;
    let step = step();
    let steps = format!(
        "spec:\n  outputs:\n    answer:\n      type: string\n---\nenv:\n  OUTPUT_FILE: ${{{{ output_file }}}}\nexec:\n  command: ['{step}', output, '{{\"name\": \"answer\", \"value\": \"42\"}}']\n"
    );
    host.begin("j", &steps, None).await;
    let log = host.log("j").await;
    let status = host.status("j").await;
    assert_eq!(status.state, State::Success, "{}\n{log}", status.message);
    host.close("j").await;
    host.kill().await;
}

#[tokio::test]
async fn many_clients_are_served_at_once() {
    let host = Host::start().await;
    let steps = function(&["say", "here"]);
    let mut calls = Vec::new();
    for number in 0..8 {
        let (pipe, steps) = (host.pipe.clone(), steps.clone());
        calls.push(tokio::spawn(async move {
            let client = Client::connect(Path::new(&pipe)).await.unwrap();
            let id = format!("job {number}");
            let request = Request {
                id: id.clone(),
                steps,
                ..Request::default()
            };
            client.run(request).await.unwrap();
            let mut follow = client.follow(&id, 0);
            while follow.next().await.unwrap().is_some() {}
            let state = client.status(&id).await.unwrap().state;
            client.close(&id).await.unwrap();
            state
        }));
    }
    for call in calls {
        assert_eq!(within("a job", call).await.unwrap(), State::Success);
    }
    host.kill().await;
}

#[tokio::test]
async fn a_cancelled_job_is_asked_first_and_says_its_last_words() {
    let host = Host::start().await;
    let (witnesses, address) = Witnesses::listen().await;
    let grace = Some(GUARD);
    host.begin("j", &function(&["polite", &address]), grace)
        .await;
    host.heard("j", "ready").await;
    let met = witnesses.met(1).await;
    within("Cancel", host.client.cancel("j")).await.unwrap();
    assert!(host.log("j").await.contains("asked to end\n"));
    let status = host.status("j").await;
    assert_eq!(
        (status.state, status.kind),
        (State::Cancelled, Some(Kind::Cancelled))
    );
    all_end(met).await;
    host.close("j").await;
    host.kill().await;
}

#[tokio::test]
async fn who_does_not_hear_is_killed_at_the_end_of_the_grace_with_all_his_children() {
    let host = Host::start().await;
    let (witnesses, address) = Witnesses::listen().await;
    let grace = Some(Duration::from_millis(500));
    host.begin("j", &function(&["stay", &address, "3"]), grace)
        .await;
    let met = witnesses.met(3).await;
    within("Cancel", host.client.cancel("j")).await.unwrap();
    all_end(met).await;
    host.log("j").await;
    assert_eq!(host.status("j").await.state, State::Cancelled);
    host.close("j").await;
    host.kill().await;
}

#[tokio::test]
async fn a_closed_job_leaves_nobody() {
    let host = Host::start().await;
    let (witnesses, address) = Witnesses::listen().await;
    let grace = Some(Duration::from_millis(100));
    host.begin("j", &function(&["stay", &address, "2"]), grace)
        .await;
    let met = witnesses.met(2).await;
    host.close("j").await;
    all_end(met).await;
    host.kill().await;
}

#[tokio::test]
async fn a_host_that_is_killed_leaves_nobody_and_the_next_one_removes_its_room() {
    let host = Host::start().await;
    let (witnesses, address) = Witnesses::listen().await;
    host.begin("j", &function(&["stay", &address, "2"]), None)
        .await;
    let met = witnesses.met(2).await;
    let living = Host::start_in(tempfile::tempdir_in(host.temp.path()).unwrap()).await;
    let temp = host.kill().await;
    all_end(met).await;
    let left = rooms(&temp);
    assert_eq!(left.len(), 1, "a host has one room");
    let next = Host::start_in(temp).await;
    let now = rooms(&next.temp);
    assert_eq!(now.len(), 1, "{now:?}");
    assert_ne!(
        now, left,
        "the dead one's is gone, the living one's is there"
    );
    living.kill().await;
    next.kill().await;
}

/// What others may do with an open file: anything but remove it (`FILE_SHARE_READ | FILE_SHARE_WRITE`).
const READ_OR_WRITE: u32 = 0x3;
/// Opens directories too (`FILE_FLAG_BACKUP_SEMANTICS`).
const DIRECTORIES_TOO: u32 = 0x0200_0000;

#[tokio::test]
async fn a_room_that_its_host_had_only_made_is_removed_by_the_next_one() {
    let temp = tempfile::tempdir().unwrap();
    let room = |name: &str| temp.path().join(format!("stephost-host-{name}"));
    for name in ["unfinished", "held", "strangers"] {
        std::fs::create_dir(room(name)).unwrap();
    }
    std::fs::write(room("strangers").join("theirs"), "").unwrap();
    // As a host does that is about to write its record.
    let held = OpenOptions::new()
        .read(true)
        .share_mode(READ_OR_WRITE)
        .custom_flags(DIRECTORIES_TOO)
        .open(room("held"))
        .unwrap();
    let [held_room, strangers] = [room("held"), room("strangers")];
    let host = Host::start_in(temp).await;
    assert!(held_room.is_dir() && strangers.join("theirs").is_file());
    // Those two, and its own.
    assert_eq!(rooms(&host.temp).len(), 3);
    drop(held);
    host.kill().await;
}

/// A host that listens at `pipe` as the step `j` of another: only who has a console hears a key, and every step has one.
async fn host_with_a_console(pipe: &str) -> Host {
    let outer = Host::start().await;
    let program = program().to_str().unwrap().replace('\\', "/");
    let steps = format!(
        "spec: {{}}\n---\nexec:\n  command: ['{program}', steps, serve, --drain-timeout, 100ms, --socket, '{pipe}']\n"
    );
    outer.begin("j", &steps, Some(GUARD)).await;
    outer.heard("j", MARKER).await;
    assert_eq!(rooms(&outer.temp).len(), 2);
    outer
}

/// Lets that host hear Ctrl-C, and sees that it ends by itself and takes its room along: one that is killed cannot tidy up.
async fn ends_by_itself(outer: Host) {
    within("Cancel", outer.client.cancel("j")).await.unwrap();
    let log = outer.log("j").await;
    assert_eq!(outer.status("j").await.state, State::Cancelled);
    assert_eq!(rooms(&outer.temp).len(), 1, "{log}");
    outer.kill().await;
}

#[tokio::test]
async fn a_host_that_hears_ctrl_c_ends_by_itself_and_leaves_nothing() {
    let outer = host_with_a_console(&new_pipe()).await;
    ends_by_itself(outer).await;
}

#[tokio::test]
async fn a_host_whose_log_somebody_has_not_read_to_its_end_leaves_nothing() {
    let pipe = new_pipe();
    let outer = host_with_a_console(&pipe).await;
    let client = within("connecting", Client::connect(Path::new(&pipe))).await;
    let client = client.unwrap();
    // More than all buffers on the way hold, so that its file stays open.
    let request = Request {
        id: "long".to_owned(),
        steps: function(&["fill", "2048"]),
        ..Request::default()
    };
    within("Run", client.run(request)).await.unwrap();
    let mut follow = client.follow("long", 0);
    let first = within("the log", follow.next()).await.unwrap();
    assert!(first.is_some());
    ends_by_itself(outer).await;
    drop(follow);
}

#[tokio::test]
async fn guests_that_trap_eat_memory_or_never_end_harm_nobody_else() {
    let host = Host::start_with_guests().await;
    let misbehave = |how: &str| {
        let call = "func: 'builtin://test/misbehave', inputs:";
        format!("spec: {{}}\n---\nrun: [{{name: m, {call} {{how: {how}}}}}]\n")
    };
    for (how, kind) in [
        ("panic", Kind::Internal),
        ("trap", Kind::Internal),
        ("recurse", Kind::Internal),
        ("oom", Kind::StepFailure),
        ("fail", Kind::StepFailure),
    ] {
        host.begin(how, &misbehave(how), None).await;
        host.log(how).await;
        let status = host.status(how).await;
        let ended = (status.state, status.kind);
        assert_eq!(ended, (State::Failure, Some(kind)), "{how}: {status:?}");
        host.close(how).await;
    }
    let grace = Some(Duration::from_millis(100));
    host.begin("spin", &misbehave("spin"), grace).await;
    host.heard("spin", "Running step").await;
    within("Cancel", host.client.cancel("spin")).await.unwrap();
    host.log("spin").await;
    assert_eq!(host.status("spin").await.state, State::Cancelled);
    host.close("spin").await;
    host.begin("fine", &misbehave("succeed"), None).await;
    host.log("fine").await;
    assert_eq!(host.status("fine").await.state, State::Success);
    host.close("fine").await;
    assert_eq!(host.jobs().await, 0);
    host.kill().await;
}

#[tokio::test]
async fn two_hosts_cannot_have_one_pipe() {
    let host = Host::start().await;
    let temp = tempfile::tempdir().unwrap();
    let second = run(&temp, &["steps", "serve", "--socket", &host.pipe]).await;
    assert_eq!(second.status.code(), Some(2), "{}", second.err);
    assert!(second.err.contains("somebody listens at"), "{}", second.err);
    let nowhere = run(&temp, &["steps", "serve", "--socket", "C:/steps.sock"]).await;
    assert_eq!(nowhere.status.code(), Some(2), "{}", nowhere.err);
    assert!(
        nowhere.err.contains("is no name of a pipe"),
        "{}",
        nowhere.err
    );
    assert_eq!(host.jobs().await, 0, "the first one still answers");
    host.kill().await;
}

#[tokio::test]
async fn health_asks_over_the_pipe() {
    let host = Host::start().await;
    let temp = tempfile::tempdir().unwrap();
    let asked = run(&temp, &["health", "--socket", &host.pipe]).await;
    assert_eq!((asked.status.code(), &*asked.out), (Some(0), "serving\n"));
    host.kill().await;
    let gone = run(&temp, &["health", "--socket", &new_pipe()]).await;
    assert_eq!(gone.status.code(), Some(69), "{}", gone.err);
}

#[tokio::test]
async fn the_proxy_carries_bytes_both_ways() {
    let host = Host::start().await;
    let temp = tempfile::tempdir().unwrap();
    let mut proxy = command(temp.path(), &["steps", "proxy", "--socket", &host.pipe])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut to, mut from) = (proxy.stdin.take().unwrap(), proxy.stdout.take().unwrap());
    // How a client of HTTP/2 begins, and the frame that a server answers with: type 4, settings.
    to.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await
        .unwrap();
    to.flush().await.unwrap();
    let mut head = [0; 9];
    within("an answer", from.read_exact(&mut head))
        .await
        .unwrap();
    assert_eq!(head[3], 4, "{head:?}");
    drop(to);
    let ended = within("the proxy", proxy.wait()).await.unwrap();
    assert_eq!(ended.code(), Some(0));
    host.kill().await;
}

#[tokio::test]
async fn the_doctor_finds_that_jobs_can_be_run() {
    let temp = tempfile::tempdir().unwrap();
    let told = run(&temp, &["doctor"]).await;
    assert_eq!(told.status.code(), Some(0), "{}{}", told.out, told.err);
    assert!(told.out.contains("job object"), "{}", told.out);
    assert!(!told.out.contains("fail "), "{}", told.out);
}
