//! What a file means here, as text; what is refused, where, and why.

use expect_test::{Expect, expect};
use stephost_steps::{Body, Call, Tree};

use super::*;

fn read(text: &str, name: &str, own: &[(&str, &str)]) -> Result<CiJob, String> {
    let own: Vec<(String, String)> = own
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let given = Given {
        predefined: &[("CI", "true".to_owned())],
        own: &own,
    };
    job("ci.yml", text.as_bytes(), name, &given).map_err(|error| error.to_string())
}

/// The commands of a job that is a script.
fn commands(function: &Function) -> String {
    let Body::Run(composite) = &function.definition.body else {
        panic!("a script is a list of steps: {function:?}");
    };
    let values = composite.steps[0]
        .inputs
        .values()
        .flat_map(|tree| match tree {
            Tree::Array(items) => items.clone(),
            other => vec![other.clone()],
        });
    let nothing = stephost_expr::Map::new();
    let texts = values.map(|tree| match tree.evaluate(&nothing) {
        Ok(value) => format!("    {}\n", value.to_text()),
        Err(error) => panic!("{error}"),
    });
    texts.collect()
}

fn told(text: &str, name: &str, own: &[(&str, &str)]) -> String {
    let job = match read(text, name, own) {
        Ok(job) => job,
        Err(error) => return format!("{error}\n"),
    };
    let mut told = String::new();
    let Body::Run(composite) = &job.function.definition.body else {
        panic!("a job is a list of steps: {job:?}");
    };
    for step in &composite.steps {
        told += &match &step.call {
            Call::Script(script) => format!("{}: script {:?}\n", step.name, script.source()),
            Call::Function(reference) => format!("{}: {reference:?}\n", step.name),
            Call::Action(action) => format!("{}: action {action}\n", step.name),
        };
    }
    if job.after.is_some() || composite.steps[0].name.as_str() == SCRIPT_STEP {
        told = format!("commands:\n{}", commands(&job.function));
    }
    if let Some(after) = &job.after {
        told += &format!("after:\n{}", commands(after));
    }
    for (name, value) in job.variables.iter().filter(|(name, _)| *name != "CI") {
        told += &format!("{name}={value}\n");
    }
    for line in job.differs.iter().chain(&job.warnings) {
        told += &format!("! {line}\n");
    }
    told
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "an inline snapshot reads best as a value"
)]
fn check(text: &str, expected: Expect) {
    expected.assert_eq(&told(text, "job", &[]));
}

#[test]
fn a_list_of_steps_is_read_as_it_stands() {
    check(
        "job:\n  run:\n    - name: a\n      script: echo ${{ job.CI }}\n    - {name: b, func: ./x, inputs: {n: 010, t: \"1\", e: null, q: \"\\e\\\"\"}}\n",
        expect![[r#"
            a: script "echo ${{ job.CI }}"
            b: Local(LocalReference { dir: "./x", file: None })
        "#]],
    );
}

#[test]
fn scripts_are_joined_as_ci_joins_them_and_nothing_in_them_is_an_expression() {
    check(
        "default:\n  before_script: [first]\njob:\n  script:\n    - echo ${{ a }} \\${{ b }}\n    - [nested, [deeper]]\n    - |\n      two\n      lines\n  after_script: last\n",
        expect![[r#"
            commands:
                first
                echo ${{ a }} \${{ b }}
                nested
                deeper
                two
            lines

            after:
                last
        "#]],
    );
}

#[test]
fn a_job_takes_over_what_it_extends_key_by_key_and_lists_as_a_whole() {
    check(
        ".a:\n  variables: {A: a, B: a}\n  script: [a]\n.b:\n  extends: .a\n  variables: {B: b}\n  image: b\n\
         .c: {variables: {C: c}}\njob:\n  extends: [.b, .c]\n  variables: {C: job}\n",
        expect![[r#"
            commands:
                a
            A=a
            B=b
            C=job
            ! `image: b`: the job runs on this machine, in no container
        "#]],
    );
}

#[test]
fn a_reference_stands_for_what_it_names() {
    check(
        ".b: {variables: {A: b, B: b}, script: !reference [.gone, script]}\n.s:\n  script: [one, !reference [.t, script]]\n.t:\n  script: two\n.v: {variables: {A: x}}\n\
         job:\n  extends: .b\n  variables: !reference [.v, variables]\n  script:\n    - !reference [.s, script]\n    - three\n",
        expect![[r#"
            commands:
                one
                two
                three
            A=x
            B=b
        "#]],
    );
}

#[test]
fn what_other_jobs_say_does_no_harm_to_this_one() {
    check(
        "other:\n  script: !unknown {x: y}\n  extends: nobody\njob:\n  script: a\n",
        expect![[r#"
            commands:
                a
        "#]],
    );
}

#[test]
fn anchors_and_merge_keys_mean_what_they_mean_in_yaml() {
    check(
        ".v: &v {A: 1, B: 2}\njob:\n  variables: {<<: *v, B: 3}\n  script: [\"echo\"]\n",
        expect![[r#"
            commands:
                echo
            A=1
            B=3
        "#]],
    );
}

#[test]
fn variables_come_in_order_and_are_expanded() {
    let text = "variables:\n  A: global\n  B: {value: \"${A}-$CI\", description: d}\n  D: {description: only}\n  N: 010\n\
                job:\n  variables: {A: job, C: \"$$A $B $GONE.\", E: {value: $A, expand: false}}\n  script: a\n";
    expect![[r#"
        commands:
            a
        A=job
        B=job-true
        C=$A job-true .
        D=
        E=$A
        N=010
    "#]]
    .assert_eq(&told(text, "job", &[]));
    expect![[r#"
        commands:
            a
        A=$B
        B=$B-true
        C=$A $B-true .
        D=
        E=$A
        N=010
        Z=1
    "#]]
    .assert_eq(&told(text, "job", &[("A", "$B"), ("Z", "1")]));
}

#[test]
fn inherit_keeps_out_what_the_top_of_the_file_says() {
    let text = "default: {before_script: [before], image: x}\nvariables: {A: 1, B: 2}\n\
                job: {inherit: {default: [image], variables: [A]}, script: a}\n\
                none: {inherit: {default: false, variables: false}, script: a}\n";
    expect![[r#"
        commands:
            a
        A=1
        ! `image: x`: the job runs on this machine, in no container
    "#]]
    .assert_eq(&told(text, "job", &[]));
    expect![[r#"
        commands:
            a
    "#]]
    .assert_eq(&told(text, "none", &[]));
}

#[test]
fn what_ci_would_do_and_we_do_not_is_said() {
    check(
        "include: other.yml\nworkflow: {rules: []}\nimage: \"a\\e[31mb\"\ncache: {}\nbefore_script: [x]\n\
         job:\n  stage: build\n  tags: [x]\n  services: [db]\n  needs: []\n  rules: []\n  when: manual\n  artifacts: {}\n\
         \n  parallel: 3\n  timeout: 1h\n  sript: b\n  run:\n    - {name: a, script: b}\n",
        expect![[r#"
            a: script "b"
            ! `include`: the files that it names are not read
            ! `workflow`: its rules are not looked at
            ! `services`: not started
            ! `needs`: other jobs are not run, and nothing comes from them
            ! `rules`: not looked at, the job runs
            ! `when: manual`: not looked at, the job runs
            ! `artifacts`: nothing is collected, files stay where they are
            ! `parallel: 3`: the job runs once, and no variables of a matrix are set
            ! `timeout: 1h`: not kept, give it with --timeout
            ! "sript": this program does not know this keyword
            ! `before_script`: a job with `run` has none, here as in CI
            ! `cache`: neither restored nor saved
            ! `image: a\u{1b}[31mb`: the job runs on this machine, in no container
        "#]],
    );
}

#[test]
fn every_refusal_has_its_place_and_says_what_to_do() {
    let long = (0..60)
        .map(|at| format!("V{at}: $V{}, ", at + 1))
        .collect::<String>();
    let chain = (0..20)
        .map(|at| format!(".j{at}: {{extends: .j{}}}\n", at + 1))
        .collect::<String>();
    let chain = format!("{chain}.j20: {{script: a}}\njob: {{extends: .j0}}\n");
    let long = format!("job:\n  variables: {{{long}}}\n  script: a\n");
    let table: [(&str, &str); 32] = [
        ("", "ci.yml:1:1: the file is empty"),
        (
            "[]",
            "ci.yml:1:1: the file must be an object of jobs, not an array",
        ),
        ("a: [", "ci.yml:1:4: not valid YAML: "),
        (
            "spec: {inputs: {}}\n---\njob: {script: a}",
            "ci.yml:1:1: a file with a `spec` header takes inputs by `$[[ … ]]`, which only GitLab fills in",
        ),
        (
            "job: {script: a}\n---\n{}",
            "ci.yml:3:1: a second YAML document begins, one is expected",
        ),
        (
            "build: {script: a}\n.b: {}\nstages: [x]",
            "ci.yml: no job \"job\", it has \"build\"",
        ),
        (
            "include: x\n",
            "ci.yml: no job \"job\", it has none; files that `include` names are not read here",
        ),
        (
            "job: {stage: x}",
            "ci.yml:1:1: the job has neither `run` nor `script`",
        ),
        (
            "job: {trigger: x}",
            "ci.yml:1:7: the job starts another pipeline, there is nothing in it to run here",
        ),
        (
            "job: {script: a, run: []}",
            "ci.yml:1:18: `run` and `script` exclude each other",
        ),
        (
            "job:\n  before_script: a\n  run: []",
            "ci.yml:2:3: `run` and `before_script` exclude each other",
        ),
        (
            "job: {extends: job, script: a}",
            "ci.yml:1:16: \"job\" extends itself, by way of \"job\"",
        ),
        (
            ".a: {extends: .b}\n.b: {extends: [.a]}\njob: {extends: .a}",
            "ci.yml:2:16: \".b\" extends itself, by way of \".a\"",
        ),
        (
            "job: {extends: .gone}",
            "ci.yml:1:16: there is no \".gone\" to extend",
        ),
        (
            "include: x\njob: {extends: .gone}",
            "ci.yml:2:16: there is no \".gone\" to extend; files that `include` names are not read here",
        ),
        (
            &chain,
            "ci.yml:11:17: `extends` goes over more than 11 jobs",
        ),
        (
            ".a: text\njob: {extends: .a}",
            "ci.yml:1:5: \".a\" must be an object, not a string",
        ),
        (
            "job: {extends: {a: b}}",
            "ci.yml:1:16: `extends` takes names, not an object",
        ),
        (
            "job: {script: [echo a: b]}",
            "ci.yml:1:16: a command of `script` must be a text, not an object: put quotes around it",
        ),
        ("job: {script: []}", "ci.yml:1:7: `script` has no commands"),
        (
            "job: {script: !reference [.a, script]}",
            "ci.yml:1:27: `!reference` names \".a\", which is not there",
        ),
        (
            ".a: {b: c}\njob: {script: !reference [.a, b, c]}",
            "ci.yml:2:34: there is nothing below to call \"c\"",
        ),
        (
            "job: {script: !reference []}",
            "ci.yml:1:26: `!reference` names nothing",
        ),
        (
            ".a: {s: !reference [.a, s]}\njob: {script: !reference [.a, s]}",
            "ci.yml:1:20: `!reference` leads over more than 11 others",
        ),
        (
            ".a: {s: [!reference [.a, s]]}\njob: {script: !reference [.a, s]}",
            "ci.yml:1:9: `script` is nested too deep",
        ),
        (
            "job: {script: !secret a}",
            "ci.yml:1:23: the tag \"!secret\" means nothing here",
        ),
        (
            "job: {run: [!reference [job, run]]}",
            "ci.yml:1:24: `run` is nested too deep; does a `!reference` in it lead to itself?",
        ),
        (
            "job: {script: a, variables: [A]}",
            "ci.yml:1:29: `variables` must be an object, not an array",
        ),
        (
            "job: {script: a, variables: {A: [b]}}",
            "ci.yml:1:33: the variable \"A\" must be a text, not an array",
        ),
        (
            "job:\n  script: a\n  variables:\n    A: $B\n    B: ${A}",
            "ci.yml:4:5: the variable \"A\" contains itself",
        ),
        (&long, "ci.yml:2:"),
        (
            "job:\n  run:\n    - name: a\n      scirpt: b\n",
            "ci.yml:4:7: key `scirpt` is unknown (did you mean `script`?)",
        ),
    ];
    let mut wrong = String::new();
    for (text, expected) in table {
        let error = read(text, "job", &[]).expect_err(text);
        if !error.starts_with(expected) {
            wrong += &format!("{text:?}:\n  {error}\n  {expected}\n");
        }
        assert!(!error.contains(char::is_control), "{error:?}");
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn a_hidden_job_is_not_run() {
    let error = read(".job: {script: a}", ".job", &[]).expect_err("hidden");
    assert_eq!(
        error,
        "ci.yml: \".job\" is hidden: it is there to be extended and never runs"
    );
}

#[test]
fn a_fault_in_a_step_is_said_where_the_step_stands_also_behind_an_anchor() {
    let text = ".steps:\n  - &bad\n    name: 1a\n    script: x\njob:\n  run:\n    - *bad\n";
    let error = read(text, "job", &[]).expect_err("a digit first");
    assert!(error.starts_with("ci.yml:3:11: "), "{error}");
}

#[test]
fn what_multiplies_is_bounded() {
    // Each list has the one before it ten times.
    let mut bomb = ".a0: {script: [x]}\n".to_owned();
    for at in 1..11 {
        let items = vec![format!("!reference [.a{}, script]", at - 1); 10].join(", ");
        bomb += &format!(".a{at}: {{script: [{items}]}}\n");
    }
    bomb += "job: {script: !reference [.a10, script]}\n";
    // Each variable has the one before it ten times.
    let mut growing = "job:\n  script: a\n  variables:\n    V0: xxxxxxxxxx\n".to_owned();
    for at in 1..20 {
        growing += &format!("    V{at}: {}\n", format!("$V{}", at - 1).repeat(10));
    }
    for text in [bomb, growing] {
        let error = read(&text, "job", &[]).expect_err("it has no end");
        assert!(error.contains("more than"), "{error}");
    }
}

/// Arbitrary bytes never harm a reader; what is said about them is one harmless line.
#[test]
fn no_bytes_are_too_odd() {
    bolero::check!()
        .with_iterations(2_000)
        .for_each(|bytes: &[u8]| {
            let given = Given {
                predefined: &[],
                own: &[],
            };
            let mut whole =
                b"a: &a\n  script: [x, !reference [a, script]]\njob:\n  extends: a\n  ".to_vec();
            whole.extend_from_slice(bytes);
            for text in [bytes, &whole[..]] {
                if let Err(error) = job("ci.yml", text, "job", &given) {
                    assert!(!error.to_string().contains(char::is_control), "{error:?}");
                }
            }
        });
}
