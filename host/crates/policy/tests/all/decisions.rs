//! What a policy grants, key by key: each test fails when its key stops biting.

use stephost_policy::{Amount, Capability, Denial, Grant, LimitName, Needs, Policy, ReasonCode};

use crate::{anything, needs, policy, rule};

fn grant(text: &str, needs: &Needs) -> Grant {
    policy(text)
        .resolve("f", needs)
        .unwrap_or_else(|denial| panic!("{denial}"))
}

fn code(decision: Result<(), Denial>) -> Option<ReasonCode> {
    decision.err().map(|denial| denial.code())
}

#[test]
fn without_a_rule_nothing_runs() {
    let denial = policy(&rule(""))
        .resolve("g", &anything())
        .expect_err("no rule");
    assert_eq!(denial.code(), ReasonCode::NoRule);
    assert_eq!(denial.capability(), Capability::Function);
    assert_eq!(denial.rule(), None);
    assert_eq!(
        denial.to_string(),
        "function \"g\" is denied (no-rule in policy \"t\")"
    );
    let empty = policy("policy = 1\nname = \"t\"\n");
    assert!(
        empty.resolve("f", &Needs::none()).is_err(),
        "a policy without rules grants nothing"
    );
    for near in ["F", "f/", "", "f\0", "*"] {
        assert!(
            policy(&rule("")).resolve(near, &anything()).is_err(),
            "{near:?}"
        );
    }
}

#[test]
fn a_rule_without_lists_grants_nothing_but_to_run() {
    let grant = grant(&rule(""), &anything());
    assert_eq!(
        code(grant.program("sh")),
        Some(ReasonCode::ProgramNotListed)
    );
    assert!(!grant.environment("HOME"));
    assert_eq!(code(grant.export("A")), Some(ReasonCode::ExportNotListed));
    assert!(grant.programs.is_empty() && grant.environment.is_empty() && grant.exports.is_empty());
}

#[test]
fn a_component_that_asks_for_nothing_gets_nothing() {
    let text = rule("process = [\"sh\"]\nenv = [\"HOME\"]\nexports = [\"A\"]");
    let grant = grant(&text, &Needs::none());
    assert_eq!(code(grant.program("sh")), Some(ReasonCode::NotDeclared));
    assert!(!grant.environment("HOME"));
    assert_eq!(
        grant.environment_denial("HOME").map(|denial| denial.code()),
        Some(ReasonCode::NotDeclared)
    );
    assert_eq!(code(grant.export("A")), Some(ReasonCode::NotDeclared));
    assert_eq!(
        code(grant.program("bash")),
        Some(ReasonCode::ProgramNotListed)
    );
}

#[test]
fn a_program_is_granted_letter_by_letter() {
    let text = rule("process = [\"sh\", \"/bin/bash\"]");
    let grant = grant(
        &text,
        &needs(r#"{"version":1,"process":["sh","/bin/bash","curl"]}"#),
    );
    for program in ["sh", "/bin/bash"] {
        assert_eq!(grant.program(program), Ok(()), "{program}");
    }
    for program in [
        "bash",
        "/bin/sh",
        "/bin/../bin/bash",
        "/bin//bash",
        "SH",
        "sh ",
        "./sh",
        "",
        "curl",
        "sh\0",
    ] {
        assert_eq!(
            code(grant.program(program)),
            Some(ReasonCode::ProgramNotListed),
            "{program:?}"
        );
    }
}

#[test]
fn a_variable_is_read_if_rule_and_component_name_it() {
    let text = rule("env = [\"CI_*\", \"HOME\"]");
    let grant = grant(
        &text,
        &needs(r#"{"version":1,"env":["CI_JOB_*","HOME","SECRET"]}"#),
    );
    let table = [
        ("CI_JOB_ID", None),
        ("HOME", None),
        ("CI_COMMIT", Some(ReasonCode::NotDeclared)),
        ("SECRET", Some(ReasonCode::EnvNotListed)),
        ("CI_JOB_A B", Some(ReasonCode::EnvNotListed)),
    ];
    for (name, expected) in table {
        assert_eq!(grant.environment(name), expected.is_none(), "{name}");
        let denial = grant.environment_denial(name);
        assert_eq!(denial.map(|denial| denial.code()), expected, "{name}");
    }
}

#[test]
fn a_variable_is_exported_if_rule_and_component_name_it() {
    let text = rule("exports = [\"OUT_*\", \"P*\", { name = \"LD_PRELOAD\", reason = \"r\" }]");
    let grant = grant(
        &text,
        &needs(r#"{"version":1,"exports":["OUT_A","P*","LD_*","OTHER"]}"#),
    );
    let table = [
        ("OUT_A", None),
        ("PLAIN", None),
        ("OUT_B", Some(ReasonCode::NotDeclared)),
        ("OTHER", Some(ReasonCode::ExportNotListed)),
        ("PATH", Some(ReasonCode::LoaderVariable)),
        // The rule names it, the component only has a pattern.
        ("LD_PRELOAD", Some(ReasonCode::NotDeclared)),
        ("LD_LIBRARY_PATH", Some(ReasonCode::LoaderVariable)),
        ("P=1", Some(ReasonCode::ExportNotListed)),
    ];
    for (name, expected) in table {
        assert_eq!(code(grant.export(name)), expected, "{name}");
    }
}

#[test]
fn a_loader_variable_is_exported_when_both_sides_say_its_name() {
    let text =
        rule("exports = [{ name = \"PATH\", reason = \"installs a tool for later steps\" }]");
    let named = needs(r#"{"version":1,"exports":["PATH"]}"#);
    assert_eq!(grant(&text, &named).export("PATH"), Ok(()));
    assert_eq!(
        grant(&text, &anything()).export("PATH"),
        Ok(()),
        "a component without needs"
    );
    let pattern = needs(r#"{"version":1,"exports":["*"]}"#);
    assert_eq!(
        code(grant(&text, &pattern).export("PATH")),
        Some(ReasonCode::NotDeclared)
    );
}

#[test]
fn the_ceiling_narrows_every_list() {
    let text = "policy = 1\nname = \"t\"\n[host]\nprocess = [\"sh\"]\nenv = [\"CI_JOB_*\"]\nexports = [\"OUT_A\"]\n\
                [[allow]]\nfunction = \"f\"\nreason = \"r\"\nprocess = [\"sh\"]\nenv = [\"CI_*\"]\nexports = [\"OUT_*\"]\n";
    let grant = grant(text, &anything());
    assert_eq!(grant.program("sh"), Ok(()));
    assert!(grant.environment("CI_JOB_ID"));
    assert!(!grant.environment("CI_COMMIT"));
    let denial = grant
        .environment_denial("CI_COMMIT")
        .expect("above the ceiling");
    assert_eq!(denial.code(), ReasonCode::AboveCeiling);
    assert_eq!(grant.export("OUT_A"), Ok(()));
    assert_eq!(code(grant.export("OUT_B")), Some(ReasonCode::AboveCeiling));
    assert_eq!(
        (grant.environment.to_string(), grant.exports.to_string()),
        ("CI_JOB_*".to_owned(), "OUT_A".to_owned())
    );
}

/// A small amount of each limit, and a smaller one, as they are written in TOML and in JSON.
fn amounts(name: LimitName) -> (&'static str, &'static str) {
    match name {
        LimitName::Memory | LimitName::Log | LimitName::Outputs | LimitName::HostCall => {
            ("\"2 KiB\"", "\"1 KiB\"")
        }
        LimitName::Wall | LimitName::Cpu => ("\"2 s\"", "\"1 s\""),
        LimitName::Memories
        | LimitName::Tables
        | LimitName::TableElements
        | LimitName::Instances
        | LimitName::Handles => ("2", "1"),
    }
}

fn text(grant: &Grant, name: LimitName) -> String {
    match grant.limits.amount(name) {
        amount @ Amount::Count(_) => amount.to_string(),
        amount @ (Amount::Bytes(_) | Amount::Time(_)) => format!("\"{amount}\""),
    }
}

#[test]
fn of_each_limit_the_smallest_of_ceiling_rule_and_needs_counts() {
    for name in LimitName::ALL {
        let (more, less) = amounts(name);
        let file = |host: &str, defaults: &str, rule: &str| {
            let table = |key: &str, value: &str| match value {
                "" => String::new(),
                value => format!("{key} = {{ {name} = {value} }}\n"),
            };
            let (host, defaults, rule) = (
                table("max", host),
                table("limits", defaults),
                table("limits", rule),
            );
            format!(
                "policy = 1\nname = \"t\"\n[host]\n{host}[defaults]\n{defaults}[[allow]]\nfunction = \"f\"\nreason = \"r\"\n{rule}"
            )
        };
        let wish = needs(&format!(r#"{{"version":1,"limits":{{"{name}":{less}}}}}"#));
        let wish_more = needs(&format!(r#"{{"version":1,"limits":{{"{name}":{more}}}}}"#));
        let shipped = text(&grant(&rule(""), &Needs::none()), name);
        let none = Needs::none();
        // ceiling, defaults, rule, needs -> in force
        let table = [
            ("", "", "", &none, shipped.as_str(), "nobody chose"),
            (
                less,
                "",
                "",
                &none,
                less,
                "the ceiling lowers what nobody wrote",
            ),
            (more, less, "", &none, less, "defaults below the ceiling"),
            ("", more, "", &none, more, "defaults"),
            ("", less, more, &none, more, "the rule before the defaults"),
            (more, "", less, &none, less, "the rule below the ceiling"),
            (
                "",
                "",
                more,
                &wish,
                less,
                "a component is content with less",
            ),
            ("", "", less, &wish_more, less, "a wish never raises"),
        ];
        for (host, defaults, rule, needs, expected, why) in table {
            let grant = grant(&file(host, defaults, rule), needs);
            assert_eq!(text(&grant, name), expected, "{name}: {why}");
        }
        assert!(
            Policy::parse("p", &file(less, "", more)).is_err(),
            "{name}: the rule above the ceiling"
        );
        assert!(
            Policy::parse("p", &file(less, more, "")).is_err(),
            "{name}: defaults above the ceiling"
        );
    }
}

#[test]
fn a_time_without_limit_must_be_written() {
    let wall = |lines| grant(&rule(lines), &Needs::none()).limits.wall_max;
    assert_eq!(wall("limits.wall = \"none\""), None);
    assert!(wall("").is_some());
}

#[test]
fn what_a_component_needs_and_does_not_get_is_listed() {
    let text = rule("process = [\"sh\"]\nenv = [\"CI_*\"]\nexports = [\"OUT\"]");
    let all = needs(
        r#"{"version":1,"process":["curl","sh"],"env":["CI_A","HOME","X_*"],"exports":["OUT","P*","PATH"]}"#,
    );
    let unmet: Vec<String> = grant(&text, &all)
        .unmet()
        .iter()
        .map(|denial| {
            format!(
                "{} {} {}",
                denial.capability(),
                denial.target(),
                denial.code()
            )
        })
        .collect();
    assert_eq!(
        unmet,
        [
            "process curl program-not-listed",
            "env HOME env-not-listed",
            "env X_* env-not-listed",
            "exports PATH loader-variable",
            "exports P* export-not-listed",
        ]
    );
    assert!(grant(&text, &anything()).unmet().is_empty());
}

#[test]
fn a_denial_tells_who_decided_and_what_would_help() {
    let grant = grant(&rule("process = [\"sh\"]"), &Needs::none());
    let denial = grant.program("sh").expect_err("not declared");
    assert_eq!(
        denial.to_string(),
        "process of \"sh\" is denied (not-declared, rule for \"f\" at line 4 of policy \"t\")"
    );
    assert_eq!(
        denial.help(),
        "the builtin must declare that it needs \"sh\": #[step(needs(process = [\"sh\"]))]"
    );
    assert_eq!((denial.function(), denial.policy()), ("f", "t"));
    assert_eq!(denial.rule().map(|place| place.line), Some(4));
}
