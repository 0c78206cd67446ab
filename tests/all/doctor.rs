//! `doctor`: what an operator learns about a machine, and that looking changes nothing.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use stephost_tests::{Installation, Program, block_on, program, run_program};
use tempfile::TempDir;
use tokio::process::Command;

const CHECKS: [&str; 18] = [
    "kernel",
    "proc",
    "pidfd",
    "subreaper",
    "pid-namespace",
    "cgroup",
    "page-maps",
    "open-files",
    "processes",
    "shell",
    "temp-dir",
    "socket",
    "policy",
    "own-builtins",
    "containment",
    "address-space",
    "sandbox",
    "job",
];

fn directory() -> TempDir {
    TempDir::with_prefix_in("sh", "/tmp").expect("a directory can be made")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("our paths are text")
}

async fn doctor(temp: &Path, arguments: &[&str]) -> Program {
    let arguments: Vec<&str> = ["doctor"]
        .into_iter()
        .chain(arguments.iter().copied())
        .collect();
    let env = [
        ("TMPDIR", text(temp)),
        ("PATH", "/usr/local/bin:/usr/bin:/bin"),
    ];
    run_program(&arguments, &env).await
}

/// Verdict and rest of the line of a check.
#[track_caller]
fn line<'a>(report: &'a str, name: &str) -> (&'a str, &'a str) {
    let mut lines = report.lines().filter_map(|line| {
        let (verdict, rest) = line.split_once(' ')?;
        let rest = rest.trim_start();
        let (found, detail) = rest.split_once(' ')?;
        (found == name).then_some((verdict, detail.trim_start()))
    });
    lines
        .next()
        .unwrap_or_else(|| panic!("no {name} in:\n{report}"))
}

fn entries(dir: &Path) -> usize {
    std::fs::read_dir(dir).expect("it is there").count()
}

#[test]
fn every_check_is_a_line_and_the_last_one_is_a_job() {
    block_on(async {
        let temp = directory();
        let report = doctor(temp.path(), &[]).await;
        assert_eq!(
            (report.status.code(), report.err.as_str()),
            (Some(0), ""),
            "{}",
            report.out
        );
        let names: Vec<&str> = report
            .out
            .lines()
            .filter_map(|line| line.split_whitespace().nth(1))
            .collect();
        assert_eq!(names, CHECKS);
        assert!(
            !report.out.contains('\u{1b}'),
            "nobody looks, so there is no colour"
        );
        let (verdict, job) = line(&report.out, "job");
        assert_eq!(verdict, "ok");
        let (cgroup, layers) = (
            line(&report.out, "cgroup"),
            line(&report.out, "containment"),
        );
        assert_eq!((cgroup.0, layers.0), ("ok", "ok"), "nothing fails without");
        let has_cgroup = cgroup
            .1
            .starts_with("each step gets one of its own below /");
        let could_have = cgroup
            .1
            .starts_with("each step of a job with limits gets one of its own below /");
        let says_why = cgroup
            .1
            .starts_with("steps get none, and jobs cannot be limited: ");
        let told = [has_cgroup, could_have, says_why];
        assert_eq!(told.iter().filter(|told| **told).count(), 1, "{}", cgroup.1);
        assert_eq!(
            layers.1.starts_with("process group, supervisor, cgroup: "),
            has_cgroup,
            "{}",
            layers.1
        );
        assert!(
            job.starts_with("an exec step and a builtin") && job.ends_with(" ms"),
            "{job}"
        );
        assert_eq!(
            entries(temp.path()),
            0,
            "nothing is left, and no socket was made"
        );
    });
}

/// What is different on every machine is `…`, and so is every number.
#[test]
fn a_report_looks_like_this() {
    const OF_THE_MACHINE: [&str; 9] = [
        "kernel",
        "pidfd",
        "pid-namespace",
        "cgroup",
        "page-maps",
        "open-files",
        "processes",
        "containment",
        "address-space",
    ];
    block_on(async {
        let temp = directory();
        let report = doctor(temp.path(), &[]).await;
        let user = format!("stephost-{}", rustix::process::geteuid().as_raw());
        let mut shown = String::new();
        for line in report.out.lines() {
            let (head, detail) = line.split_at(22);
            let name = head.split_whitespace().nth(1).unwrap_or_default();
            if OF_THE_MACHINE.contains(&name) {
                shown.push_str(&format!("…{}…\n", &head[4..]));
                continue;
            }
            let detail = detail
                .replace(text(temp.path()), "TMPDIR")
                .replace(&user, "stephost-USER");
            let mut plain = String::new();
            for word in detail.split(' ') {
                let is_figure = word
                    .trim_end_matches(':')
                    .bytes()
                    .all(|byte| byte.is_ascii_digit() || byte == b'.');
                let word = match word.split_once("sha256:") {
                    Some((before, _)) => format!("{before}sha256:…"),
                    None if is_figure => "…".to_owned(),
                    None if word.ends_with("/bash") || word.ends_with("/sh") => "SHELL".to_owned(),
                    None => word.to_owned(),
                };
                plain.push_str(&format!(" {word}"));
            }
            shown.push_str(&format!("{}{}\n", &head[..21], plain));
        }
        expect_test::expect![[r#"
            …  kernel          …
            ok    proc            /proc is there
            …  pidfd           …
            ok    subreaper       orphans of a step come back to its supervisor
            …  pid-namespace   …
            …  cgroup          …
            …  page-maps       …
            …  open-files      …
            …  processes       …
            ok    shell           scripts run in SHELL
            ok    temp-dir        TMPDIR can be written
            ok    socket          TMPDIR/stephost-USER/steps.sock is free
            ok    policy          "shipped", shipped with this program, sha256:…
            ok    own-builtins    none beside this program
            …  containment     …
            …  address-space   …
            ok    sandbox         wasmtime … limits of memory, time and tables, a kill that nothing ignores, a fresh instance for each step; hello, script, script_legacy (compiled on first use)
            ok    job             an exec step and a builtin, sent, followed and closed over a socket, took … ms
        "#]].assert_eq(&shown);
    });
}

#[test]
fn the_json_form_says_the_same() {
    block_on(async {
        let temp = directory();
        let report = doctor(temp.path(), &["--json"]).await;
        assert_eq!(report.status.code(), Some(0), "{report:?}");
        assert!(
            report.out.starts_with("{\"schema\":\"stephost.doctor/1\","),
            "{}",
            report.out
        );
        let json: Value = serde_json::from_str(&report.out).expect("JSON");
        let checks = json["checks"].as_array().expect("a list");
        let names: Vec<&str> = checks
            .iter()
            .filter_map(|check| check["name"].as_str())
            .collect();
        assert_eq!(names, CHECKS);
        for check in checks {
            let advised = check["advice"].is_string();
            assert_eq!(advised, check["verdict"] != "ok", "{check}");
            assert!(
                check["detail"]
                    .as_str()
                    .is_some_and(|detail| !detail.is_empty()),
                "{check}"
            );
        }
    });
}

#[test]
fn what_is_in_the_way_of_a_host_fails_and_says_what_to_do() {
    block_on(async {
        let temp = directory();
        let gone = temp.path().join("gone");
        let report = doctor(&gone, &[]).await;
        assert_eq!(report.status.code(), Some(1), "{report:?}");
        let (verdict, advice) = line(&report.out, "temp-dir");
        assert_eq!(verdict, "fail");
        assert!(
            advice.ends_with("→ set TMPDIR to a directory that can"),
            "{advice}"
        );
        assert_eq!(line(&report.out, "job").0, "fail");

        let user = rustix::process::geteuid().as_raw();
        let of_sockets = temp.path().join(format!("stephost-{user}"));
        std::fs::create_dir(&of_sockets).expect("a directory can be made");
        let usual = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&of_sockets, usual).expect("it is ours");
        let report = doctor(temp.path(), &[]).await;
        let (verdict, detail) = line(&report.out, "socket");
        assert_eq!(
            (report.status.code(), verdict),
            (Some(1), "fail"),
            "others can get in"
        );
        assert!(detail.contains("others may write to"), "{detail}");
    });
}

#[test]
fn a_host_that_listens_already_is_no_fault() {
    block_on(async {
        let temp = directory();
        let mut host = Command::new(program())
            .args(["steps", "serve"])
            .env_clear()
            .env("TMPDIR", temp.path())
            .stdin(std::process::Stdio::null())
            .stderr(std::process::Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the program under test starts");
        let mut marker = String::new();
        let mut stderr = tokio::io::BufReader::new(host.stderr.take().expect("stderr is piped"));
        tokio::io::AsyncBufReadExt::read_line(&mut stderr, &mut marker)
            .await
            .expect("stderr can be read");
        let report = doctor(temp.path(), &[]).await;
        let (verdict, detail) = line(&report.out, "socket");
        assert_eq!(
            (report.status.code(), verdict),
            (Some(0), "ok"),
            "{}",
            report.out
        );
        assert!(detail.starts_with("a host listens at"), "{detail}");
        let health = run_program(&["health"], &[("TMPDIR", text(temp.path()))]).await;
        assert_eq!(
            (health.status.code(), health.out.as_str()),
            (Some(0), "serving\n"),
            "it is unharmed"
        );
    });
}

#[test]
fn a_policy_that_cannot_be_used_fails() {
    block_on(async {
        let dir = directory();
        let copy = dir.path().join("copy");
        let done = run_program(&["steps", "bootstrap", text(&copy)], &[]).await;
        assert!(done.status.success(), "{done:?}");
        let beside = dir.path().join("copy.d");
        std::fs::create_dir(&beside).expect("a directory can be made");
        std::fs::write(beside.join("policy.toml"), "policy = 2\n").expect("a file can be written");
        let output = Command::new(&copy)
            .arg("doctor")
            .output()
            .await
            .expect("the copy starts");
        let report = String::from_utf8_lossy(&output.stdout);
        let (verdict, detail) = line(&report, "policy");
        assert_eq!(
            (output.status.code(), verdict),
            (Some(1), "fail"),
            "{report}"
        );
        assert_eq!(line(&report, "job").0, "fail", "a host would not start");
        assert!(
            detail.contains("copy.d/policy.toml") && detail.contains("policy check"),
            "{detail}"
        );
    });
}

#[test]
fn the_job_runs_under_the_policy_in_force() {
    block_on(async {
        let own = Installation::with_policy("policy = 1\nname = \"own\"\n");
        let output = Command::new(own.program())
            .arg("doctor")
            .output()
            .await
            .expect("the copy starts");
        let report = String::from_utf8_lossy(&output.stdout);
        assert!(
            line(&report, "policy").1.starts_with("\"own\", from "),
            "{report}"
        );
        assert!(
            line(&report, "own-builtins").1.contains("test/misbehave"),
            "{report}"
        );
        let (verdict, job) = line(&report, "job");
        assert_eq!(verdict, "ok");
        assert!(
            job.starts_with("an exec step (the policy has no rule"),
            "{job}"
        );
    });
}

#[test]
fn little_address_space_is_told_and_jobs_run_all_the_same() {
    block_on(async {
        let temp = directory();
        let limited = format!("ulimit -v 4000000; exec {} doctor", program().display());
        let output = Command::new("/bin/sh")
            .args(["-c", &limited])
            .env("TMPDIR", temp.path())
            .output()
            .await
            .expect("a shell starts");
        let report = String::from_utf8_lossy(&output.stdout);
        let (verdict, detail) = line(&report, "address-space");
        assert_eq!(
            (output.status.code(), verdict),
            (Some(0), "warn"),
            "{report}"
        );
        assert!(detail.contains("a limit of 3906 MiB"), "{detail}");
        assert_eq!(line(&report, "job").0, "ok");
    });
}

#[test]
fn nobody_may_look_into_the_host_of_the_job() {
    const NOBODY: u32 = 65_534;
    block_on(async {
        let dir = directory();
        let copy = dir.path().join("copy");
        let done = run_program(&["steps", "bootstrap", text(&copy)], &[]).await;
        assert!(done.status.success(), "{done:?}");
        // What a process that may not be looked into has in /proc is root's, so somebody else has to run it.
        let user = if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(dir.path(), Some(NOBODY), Some(NOBODY)).expect("root may");
            NOBODY
        } else {
            rustix::process::geteuid().as_raw()
        };
        // Its report waits in a pipe that is full, so that there is time to look.
        let (reader, writer) = std::io::pipe().expect("a pipe can be made");
        let usual = rustix::fs::fcntl_getfl(&writer).expect("a pipe has flags");
        rustix::fs::fcntl_setfl(&writer, usual | rustix::fs::OFlags::NONBLOCK).expect("it can");
        while rustix::io::write(&writer, &[0; 4096]).is_ok() {}
        rustix::fs::fcntl_setfl(&writer, usual).expect("it can");
        let mut command = Command::new(&copy);
        command
            .arg("doctor")
            .env("TMPDIR", dir.path())
            .current_dir(dir.path())
            .stdout(writer)
            .kill_on_drop(true);
        if user == NOBODY {
            command.uid(NOBODY).gid(NOBODY);
        }
        let mut doctor = command.spawn().expect("the copy starts");
        drop(command);
        let place = format!("/proc/{}/environ", doctor.id().expect("it runs"));
        let hidden = async {
            while std::fs::metadata(&place).expect("it is there").uid() == user {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            () = hidden => {}
            ended = doctor.wait() => panic!("it ended: {ended:?}"),
            () = tokio::time::sleep(Duration::from_secs(60)) => panic!("others may look into it"),
        }
        drop(reader);
        doctor.wait().await.expect("it ends");
    });
}
