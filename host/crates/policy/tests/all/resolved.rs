//! What is in force: the resolved form, its digest, and the policy that comes along.

use expect_test::{expect, expect_file};
use stephost_policy::{Needs, Policy};

use crate::{anything, policy, rule};

const ORDERED: &str = "policy = 1\nname = \"t\"\n[host]\nmax = { wall = \"1h\" }\nenv = [\"CI_JOB_*\", \"HOME\"]\n[defaults.limits]\nmemory = \"32MiB\"\n\
    [[allow]]\nfunction = \"b\"\nreason = \"says \\\"hi\\\" \\\\o/\"\nenv = [\"HOME\", { name = \"CI_*\", reason = \"where\" }]\n\
    [[allow]]\nfunction = \"a\"\nreason = \"r\"\nprocess = [\"sh\", \"bash\"]\n[allow.limits]\ncpu = \"90s\"\n";

#[test]
fn the_resolved_form_is_sorted_and_leaves_nothing_to_inherit() {
    expect![[r#"
        policy = 1
        name = "t"

        [[allow]]
        function = "a"
        reason = "r"
        process = [
          "bash",
          "sh",
        ]
        limits.memory = "32 MiB"
        limits.wall = "1 h"
        limits.cpu = "90 s"
        limits.log = "1 GiB"
        limits.outputs = "4 MiB"
        limits.host-call = "8 MiB"
        limits.memories = 4
        limits.tables = 8
        limits.table-elements = 100000
        limits.instances = 16
        limits.handles = 512

        [[allow]]
        function = "b"
        reason = "says \"hi\" \\o/"
        env = [
          { name = "CI_JOB_*", reason = "where" },
          "HOME",
        ]
        limits.memory = "32 MiB"
        limits.wall = "1 h"
        limits.cpu = "20 min"
        limits.log = "1 GiB"
        limits.outputs = "4 MiB"
        limits.host-call = "8 MiB"
        limits.memories = 4
        limits.tables = 8
        limits.table-elements = 100000
        limits.instances = 16
        limits.handles = 512
    "#]]
    .assert_eq(&policy(ORDERED).render());
}

#[test]
fn the_resolved_form_is_a_policy_that_means_the_same() {
    for text in [ORDERED.to_owned(), rule(""), Policy::shipped().render()] {
        let first = policy(&text);
        let again = policy(&first.render());
        assert_eq!(again.render(), first.render());
        assert_eq!(again.digest(), first.digest());
    }
}

#[test]
fn the_digest_stands_for_what_is_decided_and_for_nothing_else() {
    let digest = |text: &str| policy(text).digest();
    let base = rule("process = [\"sh\", \"bash\"]\nlimits.wall = \"60s\"");
    let alike = "# another text\npolicy = 1\nname = \"other\"\n\n[[allow]]\nreason = \"another\"\nlimits = { wall = \"1min\" }\nfunction = \"f\"\nprocess = [\"bash\", { name = \"sh\", reason = \"x\" }]\n";
    assert_eq!(digest(&base), digest(alike));
    let others = [
        rule("process = [\"sh\"]\nlimits.wall = \"60s\""),
        rule("process = [\"sh\", \"bash\"]\nlimits.wall = \"61s\""),
        rule("process = [\"sh\", \"bash\"]\nlimits.wall = \"60s\"\nenv = [\"A\"]"),
        rule("process = [\"sh\", \"bash\"]\nlimits.wall = \"60s\"\nexports = [\"A\"]"),
        rule("process = [\"sh\", \"bash\"]\nlimits.wall = \"60s\"").replace("\"f\"", "\"g\""),
        format!("{base}[[allow]]\nfunction = \"g\"\nreason = \"r\"\n"),
    ];
    for other in others {
        assert_ne!(digest(&base), digest(&other), "{other}");
    }
    assert_eq!(digest(&base).len(), 64);
}

#[test]
fn the_canonical_form_is_sorted_whoever_else_uses_the_json_library() {
    expect![[r#"{"allow":{"f":{"env":[],"exports":["A_*","B"],"limits":{"cpu":null,"handles":512,"host-call":8388608,"instances":16,"log":1073741824,"memories":4,"memory":67108864,"outputs":4194304,"table-elements":100000,"tables":8,"wall":3600000000000},"process":["sh"]}},"policy":1}"#]].assert_eq(
        &policy(&rule(
            "process = [\"sh\"]\nexports = [\"B\", \"A_*\"]\nlimits.cpu = \"none\"",
        ))
        .canonical(),
    );
}

/// The snapshot beside the policy: whoever changes what is granted changes this file too, and a reviewer sees
/// by how much.
#[test]
fn the_shipped_policy_in_force_is_the_one_that_was_reviewed() {
    let shipped = Policy::shipped();
    let text = format!("# sha256:{}\n{}", shipped.digest(), shipped.render());
    expect_file!["../../../../../policies/default.resolved.toml"].assert_eq(&text);
}

#[test]
fn the_shipped_builtins_get_what_they_need_and_nothing_else() {
    let shipped = Policy::shipped();
    assert_eq!(
        shipped.functions().collect::<Vec<_>>(),
        ["hello", "script", "script_legacy"]
    );
    let grant = |function| shipped.resolve(function, &anything()).unwrap();
    let hello = grant("hello");
    assert!(hello.programs.is_empty() && hello.environment.is_empty());
    assert_eq!(hello.exports.to_string(), "HELLO_GREETED");
    for function in ["script", "script_legacy"] {
        let grant = grant(function);
        for shell in ["/bin/bash", "/usr/bin/sh", "/usr/local/bin/bash"] {
            assert_eq!(grant.program(shell), Ok(()), "{function}: {shell}");
        }
        assert_eq!(
            grant.limits.wall_max, None,
            "{function} takes a shell's time"
        );
        for other in ["python3", "/tmp/sh", "curl"] {
            assert!(grant.program(other).is_err(), "{function}: {other}");
        }
        assert!(
            grant.exports.is_empty(),
            "{function} exports through its shell"
        );
    }
    // Only the legacy one looks in the `PATH`, which a job chooses.
    assert!(grant("script").program("bash").is_err());
    assert_eq!(grant("script_legacy").program("bash"), Ok(()));
    assert!(!grant("script").environment("CI_JOB_ID"));
    assert!(grant("script_legacy").environment("CI_JOB_ID"));
    assert!(shipped.resolve("test/misbehave", &Needs::none()).is_err());
}

/// Every example of the page is a policy, so that copying one works.
#[test]
fn the_examples_of_the_policy_page_are_policies() {
    let page = include_str!("../../../../../docs/policy.md");
    let blocks = page
        .split("```toml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next());
    let mut examples = 0;
    for block in blocks {
        policy(block);
        examples += 1;
    }
    assert!(examples > 0, "the page has examples");
}
