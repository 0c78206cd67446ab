//! What a policy file must not say, and how that is told: place, message, advice.

use expect_test::{Expect, expect};
use stephost_policy::{Code, LimitName, Policy};

use crate::{policy, rule};

fn told(text: &str) -> String {
    let error = Policy::parse("p.toml", text).expect_err(text);
    let mut told = String::new();
    for problem in error.problems() {
        told.push_str(&format!("{}: {}", problem.place(), problem.message()));
        if let Some(help) = problem.help() {
            told.push_str(&format!(" ({help})"));
        }
        told.push('\n');
    }
    told
}

fn check(text: &str, expected: Expect) {
    expected.assert_eq(&told(text));
}

#[test]
fn an_unknown_key_is_told_with_its_place_and_its_neighbour() {
    check(
        "policy = 1\nname = \"t\"\nalow = []\n[host]\nmaximum = {}\nenvs = [\"A\"]\n[defaults]\nlimit = {}\nmode = \"audit\"\n\
         [[allow]]\nfunction = \"f\"\nreason = \"r\"\nprogram = [\"sh\"]\nlimits = { memroy = \"1 MiB\" }\nenv = [{ name = \"A\", reason = \"r\", why = 1 }]\n\
         [[allow.net]]\nto = \"x\"\n",
        expect![[r#"
            3:1: key "alow" is unknown in a policy (did you mean `allow`?)
            5:1: key "maximum" is unknown in [host]
            6:1: key "envs" is unknown in [host] (did you mean `env`?)
            8:1: key "limit" is unknown in [defaults] (did you mean `limits`?)
            9:1: key "mode" is unknown in [defaults]
            13:1: key "program" is unknown in a rule
            14:12: key "memroy" is unknown in a table of limits (did you mean `memory`?)
            15:36: key "why" is unknown in an entry of a list
            16:9: key "net" is unknown in a rule
        "#]],
    );
}

#[test]
fn a_policy_without_our_version_is_not_looked_at() {
    check(
        "",
        expect![[r#"
        1:1: a policy needs the key `policy` (begin the file with policy = 1, the version of the format)
    "#]],
    );
    check(
        "name = 5\nfoo = 1\n",
        expect![[r#"
        1:1: a policy needs the key `policy` (begin the file with policy = 1, the version of the format)
    "#]],
    );
    check(
        "policy = 2\nfoo = 1\n",
        expect![[r#"
        1:10: version "2" of the policy format is unknown, this host reads version 1 (write policy = 1)
    "#]],
    );
    check(
        "policy = \"1\"\n",
        expect![[r#"
        1:10: version "\"1\"" of the policy format is unknown, this host reads version 1 (write policy = 1)
    "#]],
    );
}

#[test]
fn what_must_be_there_is_missed() {
    check(
        "policy = 1\n[[allow]]\n[[allow]]\nfunction = \"f\"\n",
        expect![[r#"
            1:1: a policy needs the key `name`
            2:1: a rule needs the key `function`
            2:1: a rule needs the key `reason` (say why this is granted, for the one who reads it in a year)
            3:1: a rule needs the key `reason` (say why this is granted, for the one who reads it in a year)
        "#]],
    );
    check(
        "policy = 1\nname = \" \"\n[[allow]]\nfunction = \"f\"\nreason = \"\"\nexports = [{ name = \"PATH\" }, { reason = \"r\" }]\n",
        expect![[r#"
            2:8: `name` says nothing
            5:10: `reason` says nothing
            6:12: an entry of a list needs the key `reason` (say why this is granted, for the one who reads it in a year)
            6:31: an entry of a list needs the key `name`
        "#]],
    );
}

#[test]
fn a_second_rule_for_a_function_points_at_the_first() {
    let text = format!(
        "{}[[allow]]\nfunction = \"f\"\nreason = \"again\"\n",
        rule("")
    );
    check(
        &text,
        expect![[r#"
        8:12: a second rule for "f" (one function has one rule: join them, so that nothing depends on order)
    "#]],
    );
    let error = Policy::parse("p.toml", &text).expect_err("two rules");
    let problem = error.problems().next().expect("one problem");
    let (first, what) = problem.related().expect("the first rule");
    assert_eq!(
        (&text[first.clone()], what),
        ("\"f\"", "the first one is here")
    );
    assert!(first.start < problem.span().start);
    assert_eq!(&text[problem.span()], "\"f\"");
}

#[test]
fn values_of_the_wrong_kind_are_told_what_they_should_be() {
    check(
        "policy = 1\nname = 1\nhost = []\ndefaults = \"x\"\nallow = { function = \"f\" }\n",
        expect![[r#"
            2:8: `name` must be a string, not a number
            3:8: `host` must be a table, not a list
            4:12: `defaults` must be a table, not a string
            5:9: `allow` must be a list of rules, each under [[allow]], not a table
        "#]],
    );
    check(
        &rule("process = \"sh\"\nenv = [1, true]\nexports = {}\nlimits = [\"memory\"]"),
        expect![[r#"
            6:11: `process` must be a list, not a string
            7:8: `env` must be a list of strings or of { name = "…", reason = "…" }, not a number
            7:11: `env` must be a list of strings or of { name = "…", reason = "…" }, not a boolean
            8:11: `exports` must be a list, not a table
            9:10: `limits` must be a table, not a list
        "#]],
    );
}

#[test]
fn entries_that_name_nothing_grant_nothing_or_say_a_thing_twice_are_refused() {
    check(
        &rule(
            "process = [\"bin/sh\", \"sh\", \"sh\", \"git status\", \"*\"]\nenv = [\"*\", \"1A\", \"A-B\"]\nexports = []",
        ),
        expect![[r#"
            6:12: "bin/sh" is no program: a name such as `bash`, or an absolute path such as `/usr/bin/bash`
            6:28: "sh" stands in `process` twice
            6:34: "git status" is no program: a name such as `bash`, or an absolute path such as `/usr/bin/bash`
            6:48: "*" is no program: a name such as `bash`, or an absolute path such as `/usr/bin/bash`
            7:8: "*" opens everything, so it needs a reason of its own (write { name = "*", reason = "…" })
            7:13: "1A" is no variable: letters, digits and `_`, no digit first, and a `*` only as the last character
            7:19: "A-B" is no variable: letters, digits and `_`, no digit first, and a `*` only as the last character
            8:11: `exports` is empty (leave it out)
        "#]],
    );
    check(
        &rule("env = [\"CI_JOB_ID\", \"CI_*\", \"CI_JOB_*\", \"A\", \"A\"]"),
        expect![[r#"
            6:8: "CI_JOB_ID" adds nothing to "CI_*" in `env`
            6:29: "CI_JOB_*" adds nothing to "CI_*" in `env`
            6:46: "A" stands in `env` twice
        "#]],
    );
}

#[test]
fn a_loader_variable_is_exported_by_name_and_with_a_reason_or_not_at_all() {
    check(
        &rule(
            "exports = [\"LD_*\", \"GIT_CONFIG_*\", \"*\", \"PATH\", \"BASH_ENV\", { name = \"LD_PRELOAD\", reason = \"r\" }]",
        ),
        expect![[r#"
            6:12: "LD_*" matches loader variables only, which no pattern grants (name each variable, as { name = "…", reason = "…" })
            6:20: "GIT_CONFIG_*" matches loader variables only, which no pattern grants (name each variable, as { name = "…", reason = "…" })
            6:36: `*` is no export: a rule says which variables it lets through
            6:41: the export of "PATH" decides what later steps load or run, so it needs a reason of its own (write { name = "PATH", reason = "…" })
            6:49: the export of "BASH_ENV" decides what later steps load or run, so it needs a reason of its own (write { name = "BASH_ENV", reason = "…" })
        "#]],
    );
}

#[test]
fn no_entry_and_no_limit_is_written_beyond_the_ceiling() {
    check(
        "policy = 1\nname = \"t\"\n[host]\nprocess = [\"sh\"]\nenv = [\"CI_*\"]\nexports = [\"OUT_*\"]\nmax = { wall = \"1h\", memory = \"32 MiB\" }\n\
         [defaults.limits]\nmemory = \"64 MiB\"\n\
         [[allow]]\nfunction = \"f\"\nreason = \"r\"\nprocess = [\"bash\", \"sh\"]\nenv = [\"HOME\", \"CI_JOB_*\"]\n\
         exports = [\"OTHER_*\", { name = \"PATH\", reason = \"r\" }]\nlimits = { wall = \"none\", cpu = \"2h\" }\n",
        expect![[r#"
            9:10: `memory` of 64 MiB is above the ceiling of 32 MiB (raise it in [host] max, or lower it here)
            13:12: "bash" lies outside the ceiling, `process` of [host] (widen `process` in [host], or take the entry out)
            14:8: "HOME" lies outside the ceiling, `env` of [host] (widen `env` in [host], or take the entry out)
            15:12: "OTHER_*" lies outside the ceiling, `exports` of [host] (widen `exports` in [host], or take the entry out)
            15:23: "PATH" lies outside the ceiling, `exports` of [host] (widen `exports` in [host], or take the entry out)
            16:19: `wall` of none is above the ceiling of 1 h (raise it in [host] max, or lower it here)
        "#]],
    );
}

#[test]
fn limits_are_amounts_with_their_unit() {
    check(
        &rule(
            "[allow.limits]\nmemory = 64\nwall = \"5\"\ncpu = \"0s\"\nlog = \"1 GB\"\nhandles = \"4\"\ntables = 0x10\ninstances = -1\nmemories = 9999999999999\n\"table-elements\" = 1.5",
        ),
        expect![[r#"
            7:10: `memory` must be a size with its unit, such as "64 MiB" (bytes, KiB, MiB, GiB)
            8:8: `wall` must be a time with its unit, such as "90s" or "1h30m" (h, min, s, ms), or "none"
            9:7: `cpu` of nothing would refuse every run; to forbid a function, remove its rule
            10:7: `log` must be a size with its unit, such as "64 MiB" (bytes, KiB, MiB, GiB)
            11:11: `handles` must be a whole number, without quotes
            12:10: `tables` must be a whole number, without quotes
            13:13: `instances` must be a whole number, without quotes
            14:12: `memories` is more than any host has
            15:20: `table-elements` must be a whole number, without quotes
        "#]],
    );
    check(
        &rule("limits = {}"),
        expect![[r#"
            6:10: `limits` is empty (leave it out)
        "#]],
    );
}

#[test]
fn a_function_is_named_exactly() {
    let row = |name: &str| {
        format!("policy = 1\nname = \"t\"\n[[allow]]\nfunction = {name:?}\nreason = \"r\"\n")
    };
    for name in ["script", "docker/auth", "a.b-c_d/E2"] {
        policy(&row(name));
    }
    for name in [
        "",
        "*",
        "git/*",
        "/a",
        "a/",
        "a//b",
        "../a",
        "a b",
        "ä",
        &"a".repeat(129),
    ] {
        let error = told(&row(name));
        assert!(
            error.contains("cannot name a function"),
            "{name:?}: {error}"
        );
    }
}

#[test]
fn text_that_reads_otherwise_than_it_is_written_is_refused() {
    check(
        &rule("# a \u{202E}comment\nenv = [\"A\u{200B}\"]"),
        expect![[r#"
            6:5: the invisible character \u{202e} makes the policy read otherwise than it looks (remove it)
            7:8: "A\u{200b}" is no variable: letters, digits and `_`, no digit first, and a `*` only as the last character
            7:10: the invisible character \u{200b} makes the policy read otherwise than it looks (remove it)
        "#]],
    );
    check(
        "policy = 1\nname = \"a\\u202Eb\"\n[[allow]]\nfunction = \"f\"\nreason = \"\"\"\ntwo\nlines\"\"\"\n",
        expect![[r#"
            2:8: the invisible character \u{202e} makes the policy read otherwise than it looks (remove it)
            5:10: the invisible character \u{a} makes the policy read otherwise than it looks (remove it)
        "#]],
    );
}

#[test]
fn toml_that_is_none_is_told_where() {
    check(
        "policy = 1\nname = \n",
        expect![[r#"
        2:8: not valid TOML: string values must be quoted, expected literal string
    "#]],
    );
    check(
        "policy = 1\npolicy = 1\n",
        expect![[r#"
        2:1: not valid TOML: duplicate key
    "#]],
    );
    check(
        &rule("env = [\"A\"]\nenv = [\"B\"]"),
        expect![[r#"
        7:1: not valid TOML: duplicate key
    "#]],
    );
    check(
        "policy = 1\nname = \"\u{1b}[2J\"\n",
        expect![[r#"
        2:9: not valid TOML: invalid basic string, expected non-double-quote visible characters, `\\`
    "#]],
    );
}

#[test]
fn everything_has_a_bound() {
    let long = rule(&format!("# {}", "x".repeat(256 * 1024)));
    assert!(told(&long).contains("is too long, the limit is 262144"));
    let entries: Vec<String> = (0..257).map(|at| format!("\"V{at}\"")).collect();
    let many = rule(&format!("env = [{}]", entries.join(",")));
    assert!(told(&many).contains("more than 256 entries in `env`"));
    policy(&rule(&format!("env = [{}]", entries[1..].join(","))));
    let row = |at: usize| format!("[[allow]]\nfunction = \"f{at}\"\nreason = \"r\"\n");
    let rules: String = (0..1001).map(row).collect();
    let rules = format!("policy = 1\nname = \"t\"\n{rules}");
    assert!(told(&rules).contains("more than 1000 rules"));
    let reason = "policy = 1\nname = \"t\"\n[[allow]]\nfunction = \"f\"\nreason = \"".to_owned();
    policy(&format!("{reason}{}\"", "ü".repeat(300)));
    assert!(told(&format!("{reason}{}\"", "ü".repeat(301))).contains("longer than 300 characters"));
    let wrong: String = (0..100).map(|at| format!("k{at} = 1\n")).collect();
    let error =
        Policy::parse("p.toml", &format!("policy = 1\nname = \"t\"\n{wrong}")).expect_err("wrong");
    assert_eq!(error.problems().count(), 20);
}

#[test]
fn an_error_is_one_line_that_begins_with_its_place() {
    let error = Policy::parse("p\n.toml", &rule("prozess = []\nenvs = []\nexport = []"))
        .expect_err("wrong");
    assert_eq!(
        error.to_string(),
        "p\\n.toml:6:1: key \"prozess\" is unknown in a rule (did you mean `process`?); and 2 more problems"
    );
}

/// Each key of the format: where it may stand, it is known, and every limit is one.
#[test]
fn every_limit_may_be_written_where_limits_are_written() {
    for name in LimitName::ALL {
        let value = match name {
            LimitName::Memory | LimitName::Log | LimitName::Outputs | LimitName::HostCall => {
                "\"1 MiB\""
            }
            LimitName::Wall | LimitName::Cpu => "\"1 s\"",
            LimitName::Memories
            | LimitName::Tables
            | LimitName::TableElements
            | LimitName::Instances
            | LimitName::Handles => "1",
        };
        policy(&format!(
            "policy = 1\nname = \"t\"\n[host]\nmax = {{ {name} = {value} }}\n[defaults]\nlimits = {{ {name} = {value} }}\n\
             [[allow]]\nfunction = \"f\"\nreason = \"r\"\nlimits.{name} = {value}\n"
        ));
    }
}

#[test]
fn a_problem_has_the_code_of_its_kind_and_a_word_that_would_be_right_if_one_is_near() {
    let text = "policy = 1\nname = \"t\"\n[[allow]]\nfunction = \"f\"\nreason = \"r\"\nproces = [\"sh\"]\nwhatever = 1\nexports = [\"*\"]\nlimits = { memory = 5 }\n";
    let error = Policy::parse("p.toml", text).expect_err("four problems");
    let told: Vec<(&str, &str, Option<&str>)> = error
        .problems()
        .map(|problem| {
            (
                &text[problem.span()],
                problem.code().as_str(),
                problem.replacement(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("proces", "P006", Some("process")),
            ("whatever", "P006", None),
            ("\"*\"", "P016", None),
            ("5", "P018", None),
        ]
    );
}

#[test]
fn codes_are_written_as_they_are_called_and_ascend() {
    let written: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert!(written.is_sorted_by(|a, b| a < b), "{written:?}");
    for (code, text) in Code::ALL.iter().zip(written) {
        assert_eq!(format!("{code:?}"), text);
        assert!(text.starts_with('P'), "{text}");
    }
}
