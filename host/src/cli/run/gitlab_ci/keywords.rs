//! The keywords of `.gitlab-ci.yml`, and what becomes of each on this machine.

/// Keys of the top of a file that are no jobs.
pub(super) const GLOBAL: [&str; 11] = [
    "default",
    "include",
    "stages",
    "variables",
    "workflow",
    "spec",
    "image",
    "services",
    "cache",
    "before_script",
    "after_script",
];

/// Those of them that are not done.
pub(super) const GLOBAL_NOT_DONE: [(&str, &str); 2] = [
    ("include", "the files that it names are not read"),
    ("workflow", "its rules are not looked at"),
];

/// Keys that `default` sets for every job.
pub(super) const DEFAULT: [&str; 12] = [
    "after_script",
    "artifacts",
    "before_script",
    "cache",
    "hooks",
    "id_tokens",
    "image",
    "interruptible",
    "retry",
    "services",
    "tags",
    "timeout",
];

/// What becomes of a key of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Treatment {
    /// What it says is done, or makes no difference to one job on one machine.
    Done,
    /// A part of a script.
    Script,
    /// It is not done; the rest of the sentence.
    NotDone(&'static str),
    /// Nobody here knows it.
    Unknown,
}

const DONE: [&str; 13] = [
    "coverage",
    "description",
    "extends",
    "inherit",
    "interruptible",
    "name",
    "resource_group",
    "run",
    "script",
    "stage",
    "tags",
    "trigger",
    "variables",
];

const NOT_SELECTED: &str = "not looked at, the job runs";
const NO_OTHER_JOBS: &str = "other jobs are not run, and nothing comes from them";

const NOT_DONE: [(&str, &str); 23] = [
    ("allow_failure", "a failure is a failure here"),
    (
        "artifacts",
        "nothing is collected, files stay where they are",
    ),
    ("cache", "neither restored nor saved"),
    ("dast_configuration", "not looked at"),
    ("dependencies", NO_OTHER_JOBS),
    (
        "environment",
        "no deployment is recorded, its variables are not set",
    ),
    ("except", NOT_SELECTED),
    ("hooks", "not run"),
    ("id_tokens", "no tokens are made, give them with --var"),
    ("identity", "not looked at"),
    ("image", "the job runs on this machine, in no container"),
    ("manual_confirmation", "not asked for"),
    ("needs", NO_OTHER_JOBS),
    ("only", NOT_SELECTED),
    ("pages", "nothing is published"),
    (
        "parallel",
        "the job runs once, and no variables of a matrix are set",
    ),
    ("publish", "nothing is published"),
    ("release", "nothing is released"),
    ("retry", "the job runs once"),
    ("rules", NOT_SELECTED),
    ("secrets", "not fetched, give them with --var"),
    ("services", "not started"),
    ("timeout", "not kept, give it with --timeout"),
];

/// What becomes of `key`.
pub(super) fn treatment(key: &str) -> Treatment {
    if DONE.contains(&key) {
        return Treatment::Done;
    }
    if matches!(key, "before_script" | "after_script") {
        return Treatment::Script;
    }
    if matches!(key, "when" | "start_in") {
        return Treatment::NotDone(NOT_SELECTED);
    }
    NOT_DONE
        .iter()
        .find(|(known, _)| *known == key)
        .map_or(Treatment::Unknown, |(_, sentence)| {
            Treatment::NotDone(sentence)
        })
}
