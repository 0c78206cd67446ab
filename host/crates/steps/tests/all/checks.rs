//! What a check finds, in which files, and what it leaves to a run.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use expect_test::{Expect, expect};
use stephost_steps::limits::{FINDINGS_MAX, FOLLOWED_FILES_MAX};
use stephost_steps::{
    Builtins, Checked, Checker, Code, FileFault, Files, Name, Outcome, Outputs, Parameter,
    Severity, Spec, ValueType,
};

/// Files in memory, and how often one was read.
struct Shelf {
    files: BTreeMap<PathBuf, String>,
    reads: Cell<usize>,
}

impl Files for Shelf {
    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, FileFault> {
        self.reads.set(self.reads.get() + 1);
        if path.starts_with("locked") {
            return Err(FileFault("is not a regular file".to_owned()));
        }
        Ok(self.files.get(path).map(|text| text.clone().into_bytes()))
    }
}

/// One builtin: `greet` takes a name and gives a greeting. Of `secretive` nothing is known.
pub(crate) struct Host;

impl Builtins for Host {
    fn names(&self) -> Vec<&str> {
        vec!["greet", "secretive"]
    }

    fn spec(&self, name: &str) -> Option<Spec> {
        let parameter = |name: &str, default: Option<&str>| {
            let parameter = Parameter {
                ty: ValueType::String,
                default: default.map(stephost_expr::Value::string),
                sensitive: false,
                description: None,
            };
            (Name::parse(name).expect("a name"), parameter)
        };
        (name == "greet").then(|| Spec {
            inputs: BTreeMap::from([parameter("name", Some("world"))]),
            outputs: Outputs::Declared(BTreeMap::from([parameter("greeting", None)])),
        })
    }
}

fn looked(files: &[(&str, &str)]) -> (Outcome, usize) {
    let shelf = Shelf {
        files: files
            .iter()
            .map(|(path, text)| (PathBuf::from(path), (*text).to_owned()))
            .collect(),
        reads: Cell::default(),
    };
    let mut checker = Checker::new(&shelf, &Host);
    let (path, text) = files[0];
    assert!(checker.add(Path::new(path), text.as_bytes()));
    assert!(
        !checker.add(Path::new(path), text.as_bytes()),
        "it is there already"
    );
    (checker.finish(), shelf.reads.get())
}

fn told(file: &Checked) -> String {
    let mut told = String::new();
    for finding in &file.findings {
        let severity = match finding.severity {
            Severity::Error => "",
            Severity::Warning => "warning ",
        };
        let piece = &file.text[finding.place.bytes()];
        told.push_str(&format!(
            "{}:{} {severity}{} {piece:?}: {}",
            file.path.display(),
            finding.place,
            finding.code,
            finding.message
        ));
        if let Some(help) = &finding.help {
            told.push_str(&format!(" ({help})"));
        }
        if let Some(fix) = &finding.fix {
            let wrong = &file.text[fix.place.bytes()];
            told.push_str(&format!(" [{wrong} -> {}]", fix.text));
        }
        told.push('\n');
    }
    if file.more {
        told.push_str("and more\n");
    }
    told
}

/// Looks at the first of the files and what it calls.
fn check(files: &[(&str, &str)], expected: Expect) {
    let (outcome, _) = looked(files);
    assert!(!outcome.left_out);
    expected.assert_eq(&outcome.files.iter().map(told).collect::<String>());
}

/// Looks at one definition with an empty spec.
fn definition(text: &str, expected: Expect) {
    check(&[("f.yml", &format!("{{}}\n---\n{text}"))], expected);
}

#[test]
fn readers_go_on_after_every_problem_that_leaves_a_way() {
    check(
        &[(
            "f.yml",
            "spec:\n  inputs:\n    a: {typ: string}\n    b:\n    c: {type: string, sensitive: yes, description: [x]}\n  outputs: [x]\n---\n\
             env:\n  1A: x\n  B: [x]\n  C: 1\n  C: 2\nexec:\n  command: [a, [b], {c: d}]\n  work_dir: [x]\n  cancel_timeout: soon\noutputs: {}\n",
        )],
        expect![[r#"
            f.yml:3:9 S003 "typ": key `typ` is unknown (did you mean `type`?) [typ -> type]
            f.yml:4:5 S004 "b": an input needs a `type`
            f.yml:5:34 S002 "yes": `sensitive` must be `true` or `false`, not a string
            f.yml:5:52 S002 "[x]": `description` must be a string, not an array
            f.yml:6:12 S002 "[x]": `outputs` must be an object, not an array
            f.yml:9:3 S007 "1A": environment variable name `1A` is not allowed (use letters, digits and `_`, and no digit first)
            f.yml:10:6 S002 "[x]": environment variable `B` must be a string, not an array
            f.yml:12:3 Y003 "C": key `C` is given twice
            f.yml:14:16 S002 "[b]": an element of `command` must be a string, not an array
            f.yml:14:21 S002 "{c: d}": an element of `command` must be a string, not an object
            f.yml:15:13 S002 "[x]": `work_dir` must be a string, not an array
            f.yml:16:19 S013 "soon": `cancel_timeout` must be a duration such as `30s` or `1m30s`, not `soon`
            f.yml:17:1 S011 "outputs": `outputs` belongs to `run`, an exec function writes its outputs to the output file
        "#]],
    );
    definition(
        "run:\n- 5\n- {name: a, func: !x ./a}\n- {name: b, script: [x], inputs: {1: x, y: {z: !t 1}}}\n- {name: c, exec: {}}\n- {name: c, func: {git: {url: x}}}\n- {name: c, func: {oci: {registry: r, repository: R, tag: t}}}\n- {name: d, func: ''}\n- {<<: x, name: e, script: y}\ndelegate: q\n",
        expect![[r#"
            f.yml:4:3 S002 "5": an item of `run` must be an object, not a number
            f.yml:5:22 Y008 "./a": YAML tag `!x` is not supported here
            f.yml:5:22 R010 "./a": function `./a` not found: there is neither `func.yml` nor `step.yml`
            f.yml:6:26 S006 "inputs": `script` and `inputs` exclude each other
            f.yml:6:35 S007 "1": input name `1` is not allowed (use letters, digits and `_`, and no digit first)
            f.yml:6:51 Y008 "1": YAML tag `!t` is not supported here
            f.yml:7:13 S012 "exec": `exec` cannot stand in an item of `run` (move it into a function of its own and call that with `func`)
            f.yml:8:19 warning R012 "{git: {url: x}}": functions cannot be fetched from git references by this host yet
            f.yml:8:25 S004 "{url: x}": a git reference needs a `rev`
            f.yml:9:19 warning R012 "{oci: {registry: r, repository: R, tag: t}}": functions cannot be fetched from OCI references by this host yet
            f.yml:9:26 R001 "registry": `r/R:t` is no reference: write `./DIR`, `builtin://NAME`, `URL@REV` or `[REGISTRY/]REPOSITORY[:TAG] [FILE]`
            f.yml:10:19 R001 "''": reference is empty
            f.yml:11:4 Y007 "<<": `<<` takes an object or an array of objects
            f.yml:12:11 S010 "q": `delegate` needs `outputs: delegate` in the spec
        "#]],
    );
}

#[test]
fn what_a_run_decides_is_not_complained_about() {
    definition(
        "env: {A: \"${{ job.A }}\", \"${{ job.NAME }}\": \"${{ env.PATH }}\"}\n\
         run:\n\
         - {name: a, func: \"./${{ job.KIND }}\", inputs: {x: \"${{ vars.Y }}\"}}\n\
         - {name: b, func: builtin://secretive, inputs: {x: 1}}\n\
         - {name: c, func: builtin://greet, inputs: {name: \"${{ steps.a.outputs.x }}\"}}\n\
         - {name: d, func: builtin://greet, inputs: {name: \"${{ steps.b.outputs.y.z[0] || job.A }}\"}}\n\
         - {name: e, func: builtin://greet, inputs: {name: \"v${{ 1 }}\"}}\n\
         - {name: f, script: 'echo ${{ steps.a.outputs.x }} ${{ steps[job.A].outputs.y }} ${{ steps.c.outputs.greeting }} ${{ steps.c.outputs.nope || 1 }} ${{ output_file }} \\${{ nope }} ${{ str(work_dir) + func_dir + step_dir }}'}\n",
        expect![[r#""#]],
    );
}

#[test]
fn names_and_accesses_are_followed_as_far_as_they_are_declared() {
    check(
        &[(
            "f.yml",
            "spec:\n  inputs: {kind: {type: string}, count: {type: number}}\n---\n\
             env: {A: \"${{ steps.a.outputs.x }}\"}\n\
             run:\n\
             - {name: a, func: builtin://greet, inputs: {name: \"${{ inputs.knid }}\"}}\n\
             - {name: b, func: builtin://greet, inputs: {name: \"${{ inputs.count }}\"}}\n\
             - {name: c, func: builtin://greet, inputs: {name: \"${{ 1 + 2 }}\"}}\n\
             - {name: d, func: builtin://greet, inputs: {name: \"${{ steps.a.outputs.greetin }}${{ steps['a'].output.greeting }}\"}}\n\
             - {name: e, script: \"${{ steps.e.outputs.x }} ${{ steps.z.outputs.x }} ${{ Inputs.kind }} ${{ step.a }}\"}\n",
        )],
        expect![[r#"
            f.yml:4:21 S051 "a": step `a` has not run here (a step sees the outputs of the steps above it)
            f.yml:6:63 S053 "knid": the function has no input `knid` (did you mean `kind`?) [knid -> kind]
            f.yml:7:51 S023 "\"${{ inputs.count }}\"": input `name` must be of type string, not number
            f.yml:8:51 S023 "\"${{ 1 + 2 }}\"": input `name` must be of type string, not number
            f.yml:9:72 S052 "greetin": step `a` has no output `greetin` (did you mean `greeting`?) [greetin -> greeting]
            f.yml:9:97 S052 "output": a step has nothing but `outputs` (write `outputs.output` if an output is meant) [output -> outputs.output]
            f.yml:10:32 S051 "e": step `e` has not run here (a step sees the outputs of the steps above it)
            f.yml:10:57 S051 "z": no step before this is called `z`
            f.yml:10:76 S107 "Inputs": nothing is called `Inputs` here (did you mean `inputs`?) [Inputs -> inputs]
            f.yml:10:95 S107 "step": nothing is called `step` here (did you mean `steps`?) [step -> steps]
        "#]],
    );
}

#[test]
fn declared_outputs_must_be_given_and_fit() {
    check(
        &[(
            "f.yml",
            "spec:\n  outputs: {a: {type: string}, b: {type: number}, c: {type: array, default: []}, d: {type: boolean}}\n---\n\
             run: [{name: s, func: builtin://greet}]\noutputs:\n  a: \"${{ steps.s.outputs.greeting }}\"\n  b: \"${{ steps.s.outputs.greeting }}\"\n  e: {x: [\"${{ nope }}\"]}\n",
        )],
        expect![[r#"
            f.yml:5:1 S032 "outputs": output `d` has no default and is not given (write `outputs: { d: … }` beside `run`, from the outputs of its steps)
            f.yml:7:6 S033 "\"${{ steps.s.outputs.greeting }}\"": output `b` must be of type number, not string
            f.yml:8:3 S031 "e": unexpected output `e`, the spec does not declare it
            f.yml:8:16 S107 "nope": nothing is called `nope` here
        "#]],
    );
}

#[test]
fn values_that_look_like_something_else_are_told_where_it_matters() {
    definition(
        "env: {A: 010, B: yes}\nrun:\n- name: a\n  func: builtin://secretive\n  inputs: {a: 010, b: '010', c: !!str 010, d: [yes, {e: 1_0}], f: 1.5, g: -0, h: 2026-01-01, i: ~, j: 1.0, k: 12:30:45, l: On}\n- name: b\n  func: builtin://greet\n  inputs: {name: 010}\n- name: c\n  func: builtin://greet\n  inputs: {name: yes}\n",
        expect![[r#"
            f.yml:7:15 warning Y101 "010": `010` is a number here: steps see `8` (write "010", or `8` if a number is meant) [010 -> "010"]
            f.yml:7:48 warning Y102 "yes": `yes` is a text here: steps see the string "yes", no boolean (write `true`, or "yes" if the text is meant) [yes -> true]
            f.yml:7:57 warning Y101 "1_0": `1_0` is a number here: steps see `10` (write `10`, or "1_0" if a text is meant) [1_0 -> 10]
            f.yml:7:75 warning Y101 "-0": `-0` is a number here: steps see `0` (write "-0", or `0` if a number is meant) [-0 -> "-0"]
            f.yml:7:82 warning Y103 "2026-01-01": `2026-01-01` is a text here: steps see the string "2026-01-01", no date (write it in quotes, so that nobody takes it for something else) [2026-01-01 -> "2026-01-01"]
            f.yml:7:103 warning Y101 "1.0": `1.0` is a number here: steps see `1` (write "1.0", or `1` if a number is meant) [1.0 -> "1.0"]
            f.yml:7:124 warning Y102 "On": `On` is a text here: steps see the string "On", no boolean (write `true`, or "On" if the text is meant) [On -> true]
            f.yml:10:18 S023 "010": input `name` must be of type string, not number (write "010") [010 -> "010"]
        "#]],
    );
}

#[test]
fn references_are_followed_from_file_to_file_each_once() {
    let many = (0..20).map(|at| format!("- {{name: s{at}, func: ./a/../lib}}\n"));
    let top = format!(
        "{{}}\n---\nrun:\n{}- {{name: x, func: ./lib/func.yml}}\n",
        many.collect::<String>()
    );
    let files = [
        ("dir/f.yml", top.as_str()),
        (
            "dir/lib/func.yml",
            "{}\n---\nrun: [{name: a, func: ../other}, {name: b, func: ../gone}]\n",
        ),
        (
            "dir/other/step.yml",
            "{}\n---\nexec: {command: [a], oops: 1}\n",
        ),
    ];
    check(
        &files,
        expect![[r#"
        dir/lib/func.yml:3:50 R010 "../gone": function `../gone` not found: there is neither `func.yml` nor `step.yml`
        dir/other/step.yml:3:22 S003 "oops": key `oops` is unknown
    "#]],
    );
    let (_, reads) = looked(&files);
    assert!(reads <= 8, "{reads} reads");
}

#[test]
fn a_reference_that_leads_nowhere_is_told_at_the_reference() {
    check(
        &[(
            "f.yml",
            "{}\n---\nrun:\n- {name: a, func: ./x}\n- {name: b, func: ./x.yml}\n- {name: c, func: ./x.yaml}\n- {name: d, func: ./locked}\n- {name: e, func: \"${{ './x' }}\"}\n- {name: f, func: \"${{ 'host/x' }}\"}\n- {name: g, func: \"${{ '' }}\"}\n- {name: h, func: builtin://gret}\n- {name: i, func: builtin://other}\n- {name: j, action: a/b@v1}\n- {name: k, func: host/r@v1}\n- {name: l, func: {git: {url: u, rev: r}}}\n",
        )],
        expect![[r#"
            f.yml:4:19 R010 "./x": function `./x` not found: there is neither `func.yml` nor `step.yml`
            f.yml:5:19 R010 "./x.yml": function `./x.yml` not found: there is no file `x.yml`
            f.yml:6:19 R010 "./x.yaml": function `./x.yaml` not found: there is neither `func.yml` nor `step.yml` (the file of a function ends with `.yml`: this is read as a directory)
            f.yml:7:19 R011 "./locked": function `./locked` cannot be read: `func.yml`: is not a regular file
            f.yml:8:19 R010 "\"${{ './x' }}\"": function `./x` not found: there is neither `func.yml` nor `step.yml`
            f.yml:9:19 warning R012 "\"${{ 'host/x' }}\"": functions cannot be fetched from OCI references by this host yet
            f.yml:10:19 R001 "\"${{ '' }}\"": reference is empty
            f.yml:11:19 R013 "builtin://gret": this host has no builtin `gret` (did you mean `builtin://greet`?)
            f.yml:12:19 R013 "builtin://other": this host has no builtin `other` (it has greet, secretive)
            f.yml:13:21 warning R012 "a/b@v1": `action` items cannot be run by this host yet
            f.yml:14:19 warning R012 "host/r@v1": functions cannot be fetched from git references by this host yet
            f.yml:15:19 warning R012 "{git: {url: u, rev: r}}": functions cannot be fetched from git references by this host yet
        "#]],
    );
}

#[test]
fn every_circle_is_found_and_a_function_that_is_called_twice_is_none() {
    check(
        &[
            (
                "f.yml",
                "{}\n---\nrun: [{name: a, func: ./a}, {name: b, func: ./b}, {name: c, func: ./a}, {name: d, func: ./f.yml}]\n",
            ),
            ("a/func.yml", "{}\n---\nrun: [{name: a, func: ../b}]\n"),
            ("b/func.yml", "{}\n---\nrun: [{name: a, func: ../c}]\n"),
            (
                "c/func.yml",
                "{}\n---\nrun: [{name: a, func: ../a}, {name: b, func: ../b}]\n",
            ),
        ],
        expect![[r#"
            f.yml:3:89 S041 "./f.yml": the function calls itself, and nothing ends that
            c/func.yml:3:23 S041 "../a": this leads back to `a/func.yml`, which calls this function by way of another one
            c/func.yml:3:46 S041 "../b": this leads back to `b/func.yml`, which calls this function
        "#]],
    );
}

#[test]
fn of_many_findings_some_are_told_and_that_there_are_more() {
    let keys: String = (0..200).map(|at| format!("k{at}: 1\n")).collect();
    let traps: String = (0..200).map(|at| format!("  i{at}: 010\n")).collect();
    let text = format!(
        "{{}}\n---\nrun:\n- name: a\n  func: builtin://secretive\n  inputs:\n{}{keys}",
        traps.replace("  i", "    i")
    );
    let (outcome, _) = looked(&[("f.yml", &text)]);
    let file = &outcome.files[0];
    let count = |severity| {
        file.findings
            .iter()
            .filter(|finding| finding.severity == severity)
            .count()
    };
    assert_eq!(count(Severity::Error), FINDINGS_MAX);
    assert!(count(Severity::Warning) <= FINDINGS_MAX);
    assert!(file.more);
}

#[test]
fn only_so_many_files_are_followed() {
    let mut files: Vec<(String, String)> = Vec::new();
    for at in 0..FOLLOWED_FILES_MAX + 10 {
        files.push((
            format!("f{at}.yml"),
            format!("{{}}\n---\nrun: [{{name: a, func: ./f{}.yml}}]\n", at + 1),
        ));
    }
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(path, text)| (path.as_str(), text.as_str()))
        .collect();
    let (outcome, _) = looked(&files);
    assert!(outcome.left_out);
    assert_eq!(outcome.files.len(), FOLLOWED_FILES_MAX + 1);
    assert!(outcome.files.iter().all(|file| file.findings.is_empty()));
}

#[test]
fn codes_are_written_as_they_are_called_and_each_once() {
    let mut written: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    for (code, text) in Code::ALL.iter().zip(&written) {
        assert_eq!(format!("{code:?}"), *text);
    }
    let count = written.len();
    written.sort_unstable();
    written.dedup();
    assert_eq!(written.len(), count);
}
