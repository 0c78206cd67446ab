//! `cargo xtask mutate [NAME…]`: breaks containment on purpose, one promise at a time, and shows which test notices.
//!
//! Each mutation is a small change of the process crate in a copy of the tree, and the test that must turn red by it. A test
//! that does not is no test. Not part of the gate, for it takes minutes; that every mutation still applies is.
//! Tests of broken code may leave processes, so they run in a pid namespace that ends with them. Those of Windows run under Wine,
//! in a Windows of their own; where there is no Wine they are skipped aloud.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context as _, bail, ensure};

use crate::cargo::{root, target_dir};
use crate::systems::{WINDOWS, wine};

/// A promise, broken.
struct Mutation {
    name: &'static str,
    system: System,
    /// What is changed: file, text that stands there once, what stands there instead.
    changes: &'static [(&'static str, &'static str, &'static str)],
    /// Target of the tests (`lib` or a file of `tests/`), and the test that must fail.
    test: (&'static str, &'static str),
}

/// Where the broken code runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum System {
    Linux,
    Windows,
}

const SUPERVISOR: &str = "host/crates/process/src/supervisor.rs";
const FAMILY: &str = "host/crates/process/src/supervisor/family.rs";
const HEARING: &str = "host/crates/process/src/supervisor/host.rs";
const PHASES: &str = "host/crates/process/src/phases.rs";
const LINK: &str = "host/crates/process/src/link.rs";
const LEFTOVERS: &str = "host/crates/process/src/leftovers.rs";
const READING: &str = "host/crates/process/src/reading.rs";
const WINDOWS_SUPERVISOR: &str = "host/crates/process/src/windows/supervisor.rs";
const WINDOWS_CALLS: &str = "host/crates/process/src/windows/sys.rs";

/// A supervisor that panics when it cannot write is none of them: its step ends all the same, by the host.
const MUTATIONS: [Mutation; 12] = [
    Mutation {
        name: "no-first-cont",
        system: System::Linux,
        changes: &[(
            FAMILY,
            "[Signal::CONT, Signal::TERM, Signal::CONT]",
            "[Signal::TERM, Signal::CONT]",
        )],
        test: (
            "all",
            "stopping::scenario_06_a_stopped_job_of_another_session_runs_its_handler_for_term",
        ),
    },
    Mutation {
        name: "kill-after-reap",
        system: System::Linux,
        changes: &[(
            FAMILY,
            "                    self.exit = Some(exit);\n                    self.usage.add(&usage);\n",
            "                    self.exit = Some(exit);\n                    self.usage.add(&usage);\n                    let _ = sys::reap(Some(pid));\n",
        )],
        test: (
            "pid_reuse",
            "scenario_17_a_stranger_with_the_number_of_a_step_is_not_signalled",
        ),
    },
    Mutation {
        name: "the-leaders-end-is-the-end",
        system: System::Linux,
        changes: &[(PHASES, "(Some(_), _) if !others => {", "(Some(_), _) => {")],
        test: (
            "all",
            "stopping::scenario_04_the_leaders_end_does_not_end_the_stop",
        ),
    },
    Mutation {
        name: "one-look-is-enough",
        system: System::Linux,
        changes: &[(
            SUPERVISOR,
            "Due::Sweep => family.sweep(),",
            "Due::Sweep => {}",
        )],
        test: (
            "all",
            "stopping::scenario_05_who_left_the_group_of_a_leader_that_lives_is_killed_too",
        ),
    },
    Mutation {
        name: "the-host-forks",
        system: System::Linux,
        changes: &[(
            LINK,
            "        let child = command.spawn()?;\n        let process = Arc::new",
            "        #[expect(unsafe_code, clippy::undocumented_unsafe_blocks)]\n        unsafe {\n            command.pre_exec(|| Ok(()));\n        }\n        let child = command.spawn()?;\n        let process = Arc::new",
        )],
        test: ("spawning", "a_start_leaves_the_hosts_pages_alone"),
    },
    Mutation {
        name: "no-subreaper",
        system: System::Linux,
        changes: &[(
            SUPERVISOR,
            "        set_child_subreaper(Some(getpid())).ok()?;\n",
            "        let _ = set_child_subreaper;\n",
        )],
        test: (
            "all",
            "leftovers::scenario_05_who_left_the_group_is_found_and_ends_with_the_leftovers",
        ),
    },
    Mutation {
        name: "descriptors-are-inherited",
        system: System::Linux,
        changes: &[(HEARING, "flags | RecvFlags::CMSG_CLOEXEC,", "flags,")],
        test: ("all", "starting::a_step_has_three_descriptors_and_no_other"),
    },
    Mutation {
        name: "a-held-pipe-is-closed",
        system: System::Linux,
        changes: &[(
            LEFTOVERS,
            "(pump.held() > 0).then(|| {",
            "(pump.held() > 2).then(|| {",
        )],
        test: (
            "all",
            "output::a_writer_that_was_given_up_never_sees_a_closed_pipe",
        ),
    },
    Mutation {
        name: "last-words-are-dropped",
        system: System::Linux,
        changes: &[(
            READING,
            "        if killed.is_ok() {\n            self.read_what_is_there();\n",
            "        if killed.is_err() {\n            self.read_what_is_there();\n",
        )],
        test: (
            "lib",
            "pump::tests::who_was_killed_is_read_to_the_last_byte_and_who_was_let_go_of_is_not",
        ),
    },
    Mutation {
        name: "a-breakaway-is-allowed",
        system: System::Windows,
        changes: &[(
            WINDOWS_CALLS,
            "LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE;",
            "LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE | 0x800;",
        )],
        test: ("windows", "scenario_24_nobody_leaves_the_job"),
    },
    Mutation {
        name: "any-packet-is-the-end",
        system: System::Windows,
        changes: &[(
            WINDOWS_SUPERVISOR,
            "(Some(_), 1) => self.job.members() != [step.pid],",
            "(Some(_), 1) => false,",
        )],
        test: (
            "windows",
            "scenario_24_who_outlives_the_leader_is_kept_until_the_job_lets_go",
        ),
    },
    Mutation {
        name: "nobody-is-asked-to-end",
        system: System::Windows,
        changes: &[(
            WINDOWS_SUPERVISOR,
            "                let _ = sys::press(Key::C);\n",
            "                let _ = (sys::press, Key::C);\n",
        )],
        test: (
            "windows",
            "scenario_24_a_polite_stop_reaches_every_generation",
        ),
    },
];

/// Tries the mutations of these names, or all.
pub(crate) fn mutate(names: &[String]) -> anyhow::Result<()> {
    for name in names {
        let known = MUTATIONS.iter().any(|mutation| mutation.name == name);
        let all = MUTATIONS.map(|mutation| mutation.name).join(", ");
        ensure!(known, "there is no mutation {name:?}, only: {all}");
    }
    let wanted =
        |mutation: &&Mutation| names.is_empty() || names.iter().any(|name| name == mutation.name);
    let mut wanted: Vec<&Mutation> = MUTATIONS.iter().filter(wanted).collect();
    let is_of_windows = |mutation: &&Mutation| mutation.system == System::Windows;
    if wanted.iter().any(is_of_windows)
        && let Err(reason) =
            wine::prepare(&wine_prefix(), false).and_then(|()| wine::settle(&wine_prefix()))
    {
        println!("SKIPPED: the mutations of Windows are not tried: {reason}");
        wanted.retain(|mutation| !is_of_windows(mutation));
    }
    let tree = copy_of_the_tree().context("copying the tree")?;
    // Else a red test would say nothing.
    for mutation in &wanted {
        let healthy = run(tree.path(), mutation)?;
        ensure!(
            healthy.status.success(),
            "{} is red before anything was broken:\n{}",
            mutation.test.1,
            text(&healthy)
        );
    }
    let mut unnoticed = Vec::new();
    for mutation in wanted {
        let red = broken(tree.path(), mutation)
            .with_context(|| format!("the mutation {}", mutation.name))?;
        let verdict = if red { "noticed by" } else { "NOT noticed by" };
        println!("{:<28} {verdict} {}", mutation.name, mutation.test.1);
        if !red {
            unnoticed.push(mutation.name);
        }
    }
    ensure!(
        unnoticed.is_empty(),
        "not noticed: {}",
        unnoticed.join(", ")
    );
    Ok(())
}

/// Breaks the copy, runs the test, and mends it; returns whether the test turned red.
fn broken(tree: &Path, mutation: &Mutation) -> anyhow::Result<bool> {
    let mut originals = Vec::new();
    for (file, old, new) in mutation.changes {
        let path = tree.join(file);
        let content = fs::read_to_string(&path).with_context(|| format!("reading {file}"))?;
        fs::write(
            &path,
            changed(&content, old, new).with_context(|| format!("in {file}"))?,
        )
        .with_context(|| format!("writing {file}"))?;
        originals.push((path, content));
    }
    let built = cargo(tree, mutation)
        .arg("--no-run")
        .output()
        .context("starting cargo")?;
    ensure!(
        built.status.success(),
        "it does not compile:\n{}",
        text(&built)
    );
    let done = run(tree, mutation)?;
    // The first of several changes of a file is the one that knows how it was.
    for (path, content) in originals.into_iter().rev() {
        fs::write(&path, content).with_context(|| format!("writing {}", path.display()))?;
    }
    let failed = format!("test {} ... FAILED", mutation.test.1);
    if done.status.success() {
        return Ok(false);
    }
    ensure!(
        text(&done).contains(&failed),
        "the test did not fail, but did not pass either:\n{}",
        text(&done)
    );
    Ok(true)
}

/// `content` with `new` in the one place of `old`.
fn changed(content: &str, old: &str, new: &str) -> anyhow::Result<String> {
    match content.matches(old).count() {
        1 => Ok(content.replace(old, new)),
        0 => bail!("there is no {old:?} any more; say anew what is broken"),
        count => bail!("{old:?} is there {count} times; say more of it"),
    }
}

/// Runs the test of a mutation alone, to its end and that of everything it started.
fn run(tree: &Path, mutation: &Mutation) -> anyhow::Result<Output> {
    cargo(tree, mutation)
        .args(["--", "--exact", mutation.test.1])
        .output()
        .context("starting unshare(1), which is part of util-linux")
}

/// The Windows of broken code.
fn wine_prefix() -> PathBuf {
    target_dir().join("mutants/wine")
}

fn cargo(tree: &Path, mutation: &Mutation) -> Command {
    let mut command = Command::new("unshare");
    command
        .args([
            "--user",
            "--map-root-user",
            "--pid",
            "--fork",
            "--mount-proc",
            "--kill-child",
        ])
        .arg(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["test", "--package", "stephost-process"])
        .current_dir(tree)
        // Broken code must not end up among what was built from the tree itself.
        .env("CARGO_TARGET_DIR", target_dir().join("mutants"))
        .env("RUST_BACKTRACE", "0");
    if mutation.system == System::Windows {
        command.args(["--target", WINDOWS]);
        command.envs(wine::environment(&wine_prefix()));
    }
    match mutation.test.0 {
        "lib" => command.arg("--lib"),
        target => command.args(["--test", target]),
    };
    command
}

fn text(output: &Output) -> String {
    let both = [output.stdout.as_slice(), &output.stderr].concat();
    String::from_utf8_lossy(&both).into_owned()
}

/// Every file that git knows or would know, as it is now.
fn copy_of_the_tree() -> anyhow::Result<tempfile::TempDir> {
    let listed = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(root())
        .output()
        .context("starting git")?;
    ensure!(listed.status.success(), "{}", text(&listed));
    let copy = tempfile::tempdir().context("making a directory")?;
    for name in String::from_utf8(listed.stdout)?.split_terminator('\0') {
        let (from, to) = (root().join(name), copy.path().join(name));
        if !from.is_file() {
            continue; // deleted, and not told to git
        }
        let dir: PathBuf = to.parent().map(Path::to_owned).unwrap_or_default();
        fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
        fs::copy(&from, &to).with_context(|| format!("copying {name}"))?;
    }
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mutation_applies_and_its_test_is_there() {
        for mutation in &MUTATIONS {
            let name = mutation.name;
            for (file, old, new) in mutation.changes {
                let content = fs::read_to_string(root().join(file)).unwrap();
                let changed = changed(&content, old, new);
                assert!(
                    changed.is_ok_and(|changed| changed != content),
                    "{name}: {old}"
                );
            }
            let (target, test) = mutation.test;
            let (module, function) = test.rsplit_once("::").unwrap_or(("", test));
            let file = match (target, module) {
                ("windows", _) => "tests/windows/main.rs".to_owned(),
                ("lib", module) => format!("src/{}.rs", module.trim_end_matches("::tests")),
                (target, "") => format!("tests/{target}.rs"),
                (target, module) => format!("tests/{target}/{module}.rs"),
            };
            let tests = root().join("host/crates/process").join(file);
            let tests = fs::read_to_string(tests).unwrap();
            assert!(tests.contains(&format!("fn {function}(")), "{name}: {test}");
        }
    }

    #[test]
    fn a_mutation_that_does_not_apply_is_an_error() {
        assert_eq!(changed("one two", "two", "three").unwrap(), "one three");
        for content in ["one", "two two"] {
            assert!(changed(content, "two", "three").is_err(), "{content}");
        }
    }
}
