//! The two documents: what is read, what is refused, and in which words.

use expect_test::{Expect, expect};
use stephost_steps::{
    Body, Call, Composite, Content, Exec, Function, Outputs, Reference, Strictness, Tree,
    ValueType, parse, read_documents,
};

fn outcome(text: &str, strictness: Strictness) -> String {
    match parse("steps", text.as_bytes(), strictness) {
        Ok(parsed) => {
            let warnings: String = parsed
                .warnings
                .iter()
                .map(|warning| format!("warning {warning}\n"))
                .collect();
            format!("{warnings}read\n")
        }
        Err(error) => format!("{error}\n"),
    }
}

/// Reads every text and compares what was said, one line each.
fn check(strictness: Strictness, texts: &[&str], expected: Expect) {
    expected.assert_eq(
        &texts
            .iter()
            .map(|text| outcome(text, strictness))
            .collect::<String>(),
    );
}

fn read(text: &str) -> Function {
    parse("steps", text.as_bytes(), Strictness::Strict)
        .unwrap_or_else(|error| panic!("{error}\n{text}"))
        .function
}

fn steps(text: &str) -> Composite {
    match read(text).definition.body {
        Body::Run(composite) => composite,
        Body::Exec(exec) => panic!("{exec:?}"),
    }
}

fn exec(text: &str) -> Exec {
    match read(text).definition.body {
        Body::Exec(exec) => exec,
        Body::Run(composite) => panic!("{composite:?}"),
    }
}

/// The value of input `x` of a step, as JSON; strings of the text in quotes.
fn input(yaml: &str) -> String {
    fn show(tree: &Tree) -> String {
        match tree {
            Tree::Value(value) => format!("{value:?}"),
            Tree::Text(template) => format!("{:?}", template.source()),
            Tree::Array(items) => format!(
                "[{}]",
                items.iter().map(show).collect::<Vec<_>>().join(", ")
            ),
            Tree::Object(entries) => {
                let entries: Vec<_> = entries
                    .iter()
                    .map(|(key, value)| format!("{key}: {}", show(value)))
                    .collect();
                format!("{{{}}}", entries.join(", "))
            }
        }
    }
    let composite = steps(&format!(
        "{{}}\n---\nrun:\n  - name: a\n    func: ./a\n    inputs:\n      x: {yaml}\n"
    ));
    composite.steps[0].inputs.values().map(show).collect()
}

#[test]
fn y01_func_and_step_are_the_same_key() {
    let composite = steps("{}\n---\nrun:\n- name: a\n  func: ./x\n- name: b\n  step: ./x\n");
    let names: Vec<_> = composite
        .steps
        .iter()
        .map(|step| step.name.to_string())
        .collect();
    assert_eq!(names, ["a", "b"]);
    for step in &composite.steps {
        assert!(
            matches!(&step.call, Call::Function(Reference::Local(local)) if local.dir == "./x"),
            "{step:?}"
        );
    }
    assert_eq!(composite.steps[1].place.to_string(), "6:3");
}

#[test]
fn the_rows_of_the_contract_that_a_text_decides_hold() {
    let table = [
        ("Y01 func", "{}\n---\nrun: [{name: a, func: ./a}]", "read"),
        ("Y01 step", "{}\n---\nrun: [{name: a, step: ./a}]", "read"),
        (
            "Y02",
            "{}\n---\nrun: [{name: a, script: x, step: ./a}]",
            "exclude each other",
        ),
        (
            "Y03",
            "{}\n---\nrun: [{name: not ok, script: x}]",
            "step name `not ok`",
        ),
        (
            "Y04",
            "{}\n---\nexec: {command: []}",
            "`command` must not be empty",
        ),
        (
            "Y05 no type",
            "spec: {inputs: {a: {default: 1}}}\n---\nrun: []",
            "needs a `type`",
        ),
        (
            "Y05 default",
            "spec: {inputs: {a: {type: string, default: 1}}}\n---\nrun: []",
            "of type string, not number",
        ),
        // A later item may be broken in every way that only reaching it shows.
        (
            "Y11",
            "{}\n---\nrun: [{name: a, script: x}, {name: b, func: ./missing}]",
            "read",
        ),
        (
            "Y12",
            "{}\n---\nrun: [{name: a, func: 'builtin://nope'}]",
            "read",
        ),
        (
            "Y13",
            "spec: {outputs: delegate}\n---\nrun: [{name: a, func: ./a}]\ndelegate: a",
            "read",
        ),
        (
            "K26",
            "{}\n---\nrun: [{name: a, script: x}, {name: a, script: y}]",
            "is used again",
        ),
    ];
    for (row, text, expected) in table {
        let outcome = outcome(text, Strictness::Wire);
        assert!(outcome.contains(expected), "{row}: {outcome}");
    }
}

#[test]
fn what_a_runner_sends_is_read() {
    let text = "{}\n---\nrun:\n    - func: builtin://concrete\n      inputs:\n        job: {a: [1, null]}\n      name: user_script\n    - name: s\n      script: |\n        echo a\n        echo b\n    - action: actions/hello@v1\n      inputs: {who: you}\n      name: act\n";
    let composite = steps(text);
    assert!(
        matches!(&composite.steps[0].call, Call::Function(Reference::Builtin(name)) if &**name == "concrete")
    );
    assert!(
        matches!(&composite.steps[1].call, Call::Script(script) if script.source() == "echo a\necho b\n")
    );
    assert!(
        matches!(&composite.steps[2].call, Call::Action(action) if action == "actions/hello@v1")
    );
    assert_eq!(composite.steps[2].inputs.len(), 1);
}

#[test]
fn the_first_document_may_say_nothing() {
    for spec in [
        "{}",
        "spec:",
        "spec: {}",
        "spec: null",
        "spec:\n  inputs:\n  outputs:",
        "--- {}",
        "%YAML 1.2\n---\n{}",
        "\u{FEFF}{}",
    ] {
        let function = read(&format!("{spec}\n---\nexec: {{command: [a]}}\n"));
        assert!(function.spec.inputs.is_empty(), "{spec}");
        assert!(
            matches!(function.spec.outputs, Outputs::Declared(outputs) if outputs.is_empty()),
            "{spec}"
        );
    }
}

#[test]
fn a_spec_declares_types_defaults_and_secrets() {
    let text = "\
spec:
  inputs:
    text: {type: string, description: a text}
    number: {type: number, default: 010}
    flag: {type: boolean, default: TRUE, sensitive: false}
    list: {type: array, default: [1, yes, ~]}
    tree: {type: struct, default: {a: {b: \"${{ x }}\"}}, sensitive: true}
    date: {type: string, default: 2026-01-01}
  outputs:
    done: {type: boolean}
---
exec: {command: [a]}
";
    let spec = read(text).spec;
    let shown: Vec<_> = spec
        .inputs
        .iter()
        .map(|(name, input)| {
            let default = input
                .default
                .as_ref()
                .map_or("-".to_owned(), |value| value.to_text());
            format!(
                "{name} {} {default} {} {:?}",
                input.ty, input.sensitive, input.description
            )
        })
        .collect();
    expect![[r#"
        date string 2026-01-01 false None
        flag boolean true false None
        list array [1, "yes", null] false None
        number number 8 false None
        text string - false Some("a text")
        tree struct {"a": {"b": "${{ x }}"}} true None"#]]
    .assert_eq(&shown.join("\n"));
    let Outputs::Declared(outputs) = spec.outputs else {
        panic!("declared")
    };
    assert_eq!(outputs["done"].ty, ValueType::Boolean);
}

#[test]
fn an_exec_definition_keeps_its_words() {
    let exec = exec(
        "{}\n---\ntype: exec\ndescription: x\nexec:\n  command: [a, 010, \"${{ inputs.x }}\", true, '']\n  work_dir: ${{ job.DIR }}\n  cancel_timeout: 1m30s\n",
    );
    let words: Vec<_> = exec
        .command
        .iter()
        .map(stephost_expr::Template::source)
        .collect();
    assert_eq!(words, ["a", "010", "${{ inputs.x }}", "true", ""]);
    assert_eq!(exec.work_dir.expect("given").source(), "${{ job.DIR }}");
    assert_eq!(exec.cancel_timeout.expect("given").as_secs(), 90);
}

#[test]
fn env_keeps_source_texts_and_their_order() {
    let text = "\
{}
---
env:
  Z: 010
  A: 'yes'
  N:
  T: ~
  F: 1_000
  B: True
  D: 2026-01-01
  E: .inf
  ${{ inputs.key }}: ${{ env.A }}-x
  L: |
    two
    lines
run: []
";
    let env = read(text).definition.env;
    let shown: Vec<_> = env
        .0
        .iter()
        .map(|(key, value)| format!("{}={:?}", key.source(), value.source()))
        .collect();
    expect![[r#"
        Z="010"
        A="yes"
        N=""
        T=""
        F="1_000"
        B="True"
        D="2026-01-01"
        E=".inf"
        ${{ inputs.key }}="${{ env.A }}-x"
        L="two\nlines\n""#]]
    .assert_eq(&shown.join("\n"));
}

#[test]
fn plain_scalars_have_the_types_that_go_gives_them() {
    let table = [
        ("yes", "\"yes\""),
        ("on", "\"on\""),
        ("y", "\"y\""),
        ("010", "8"),
        ("1_000", "1000"),
        ("0b11", "3"),
        ("2026-01-01", "\"2026-01-01\""),
        ("0o10", "8"),
        ("0x1F", "31"),
        ("1e3", "1000"),
        ("~", "null"),
        ("", "null"),
        (".5", "0.5"),
        ("+1", "1"),
        ("12:30:45", "\"12:30:45\""),
        ("<<", "\"<<\""),
        ("\"010\"", "\"010\""),
        ("'true'", "\"true\""),
        ("''", "\"\""),
        ("!!str 010", "\"010\""),
        ("! 010", "\"010\""),
        ("!!int \"7\"", "7"),
        ("!!float 7", "7"),
        ("!!seq [1]", "[1]"),
        ("!!map {1: 2}", "{1: 2}"),
        (
            "{010: a, true: b, 'c d': [x, {y: ~}]}",
            "{010: \"a\", true: \"b\", c d: [\"x\", {y: null}]}",
        ),
        ("{a: &a [1], b: *a, c: *a}", "{a: [1], b: [1], c: [1]}"),
        ("{a: &k x, *k : y}", "{a: \"x\", x: \"y\"}"),
        ("{b: 1, <<: {a: 2, b: 3}, c: 4}", "{b: 1, c: 4, a: 2}"),
        ("{<<: [{a: 1}, {a: 2, b: 3}]}", "{a: 1, b: 3}"),
        ("{'<<': {a: 1}}", "{<<: {a: 1}}"),
        ("[a, <<]", "[\"a\", \"<<\"]"),
    ];
    for (yaml, expected) in table {
        assert_eq!(input(yaml), expected, "{yaml}");
    }
}

#[test]
fn broken_yaml_is_refused_with_its_place() {
    let texts = [
        "",
        "{}",
        "{}\n---\n",
        "---\n---\nrun: []",
        "{}\n---\nrun: []\n---\n",
        "[]\n---\nrun: []",
        "run: []\n---\n{}",
        "{}\n---\nspec: {}",
        "{}\n---\nsteps",
        "{}\n---\nrun: [\n",
        "{}\n---\nrun: 'x",
        "{}\n---\nrun:\n\t- a",
        "{}\n---\na: b: c",
        "{}\n---\nrun: []\nrun: []",
        "{}\n---\nrun: []\n\"run\": []",
        "{}\n---\n? [a]\n: b",
        "{}\n---\n: b",
        "{}\n---\nrun: !mine []",
        "{}\n---\nrun:\n- name: !!int x",
        "{}\n---\nrun: []\n<<: 1",
        "{}\n---\nenv: {A: *b}\nrun: []",
    ];
    check(
        Strictness::Wire,
        &texts,
        expect![[r#"
        steps:1:1: the text holds no YAML document, two are needed: the spec (`{}` when it declares nothing), a line `---`, and the definition
        steps:1:3: the text ends after one YAML document, two are needed: the spec (`{}` when it declares nothing), a line `---`, and the definition
        steps:2:4: the definition is empty, it needs `run` or `exec`
        steps:1:4: the spec document is empty, write `{}` when it declares nothing
        steps:4:1: a third YAML document begins, two are needed: the spec (`{}` when it declares nothing), a line `---`, and the definition
        steps:1:1: the spec document must be an object, not an array
        steps:1:1: key `run` is unknown here, it belongs in the second document, below the line `---`
        steps:3:1: key `spec` is unknown here, it belongs in the first document, above the line `---`
        steps:3:1: the definition must be an object, not a string
        steps:3:6: not valid YAML: unclosed bracket '['
        steps:3:6: not valid YAML: unclosed quote
        steps:4:2: not valid YAML: tabs disallowed within this context (block indentation)
        steps:3:5: not valid YAML: mapping values are not allowed in this context
        steps:4:1: key `run` is given twice
        steps:4:1: key `run` is given twice
        steps:3:3: a key must be a plain word or a string, not an array
        steps:3:1: a key must be a plain word or a string, not nothing
        steps:3:12: YAML tag `!mine` is not supported here
        steps:4:15: YAML tag `!!int` is not supported here
        steps:4:1: `<<` takes an object or an array of objects
        steps:3:10: not valid YAML: while parsing node, found unknown anchor
    "#]],
    );
}

#[test]
fn a_bad_spec_is_refused() {
    let spec = |spec: &str| format!("spec:\n  {spec}\n---\nrun: []\n");
    let texts = [
        "inputs: {a: {}}",
        "inputs: {a: }",
        "inputs: {a: string}",
        "inputs: [a]",
        "inputs: {a-b: {type: string}}",
        "inputs: {a: {tipe: string}}",
        "inputs: {a: {type: strng}}",
        "inputs: {a: {type: object}}",
        "inputs: {a: {type: [string]}}",
        "inputs: {a: {type: raw_string}}",
        "inputs: {a: {type: string, default: 5}}",
        "inputs: {a: {type: number, default: '5'}}",
        "inputs: {a: {type: boolean, default: yes}}",
        "inputs: {a: {type: array, default: {}}}",
        "inputs: {a: {type: struct, default: []}}",
        "inputs: {a: {type: string, default: }}",
        "inputs: {a: {type: number, default: .inf}}",
        "inputs: {a: {type: string, sensitive: yes}}",
        "inputs: {a: {type: string, description: [a]}}",
        "outputs: {a: {type: strin}}",
        "outputs: {a: }",
        "outputs: delegated",
        "outputs: [delegate]",
    ]
    .map(spec);
    check(
        Strictness::Wire,
        &texts.each_ref().map(String::as_str),
        expect![[r#"
        steps:2:15: an input needs a `type`
        steps:2:12: an input needs a `type`
        steps:2:15: input `a` must be an object, not a string
        steps:2:11: `inputs` must be an object, not an array
        steps:2:12: input name `a-b` is not allowed: use letters, digits and `_`, and no digit first
        steps:2:16: key `tipe` is unknown (did you mean `type`?)
        steps:2:22: type `strng` is unknown, use string, number, boolean, struct or array (did you mean `string`?)
        steps:2:22: type `object` is unknown, use string, number, boolean, struct or array (did you mean `struct`?)
        steps:2:22: `type` must be a string, not an array
        steps:2:22: type `raw_string` is unknown, use string, number, boolean, struct or array
        steps:2:39: default of `a` must be of type string, not number
        steps:2:39: default of `a` must be of type number, not string
        steps:2:40: default of `a` must be of type boolean, not string
        steps:2:38: default of `a` must be of type array, not struct
        steps:2:39: default of `a` must be of type struct, not array
        steps:2:37: default of `a` must be of type string, not null
        steps:2:39: `.inf` is no number that JSON can hold
        steps:2:41: `sensitive` must be `true` or `false`, not a string
        steps:2:43: `description` must be a string, not an array
        steps:2:23: type `strin` is unknown, use string, number, boolean, struct or array (did you mean `string`?)
        steps:2:13: an output needs a `type`
        steps:2:12: `outputs` must be an object of outputs or the word `delegate`, not `delegated`
        steps:2:12: `outputs` must be an object, not an array
    "#]],
    );
}

#[test]
fn a_bad_definition_is_refused() {
    let texts = [
        "{}",
        "env: {A: 1}",
        "rum: []",
        "exec: {command: [a]}\nrun: []",
        "run:",
        "run: {}",
        "run: [a]",
        "exec: [a]",
        "exec: {}",
        "exec: {comand: [a]}",
        "exec: {command: []}",
        "exec: {command: echo a}",
        "exec: {command: [[a]]}",
        "exec: {command: [~]}",
        "exec: {command: [a], work_dir: {}}",
        "exec: {command: [a]}\noutputs: {a: 1}",
        "exec: {command: [a]}\ndelegate: a",
        "command: [a]",
        "script: a",
        "inputs: {}\nrun: []",
        "env: [A]\nrun: []",
        "env: {A-B: 1}\nrun: []",
        "env: {A: [1]}\nrun: []",
        "run: []\noutputs: [a]",
        "run: []\noutputs: {a-b: 1}",
        "run: []\ndelegate: a",
    ]
    .map(|definition| format!("{{}}\n---\n{definition}\n"));
    check(
        Strictness::Wire,
        &texts.each_ref().map(String::as_str),
        expect![[r#"
        steps:3:1: the definition needs `run` or `exec`
        steps:3:1: the definition needs `run` or `exec`
        steps:3:1: key `rum` is unknown (did you mean `run`?)
        steps:4:1: `exec` and `run` exclude each other
        steps:3:1: the definition needs `run` or `exec`
        steps:3:6: `run` must be an array of steps, not an object
        steps:3:7: an item of `run` must be an object, not a string
        steps:3:7: `exec` must be an object, not an array
        steps:3:7: `exec` needs a `command`
        steps:3:8: key `comand` is unknown (did you mean `command`?)
        steps:3:17: `command` must not be empty
        steps:3:17: `command` must be an array of strings, not a string: no shell reads it, write each argument as an element
        steps:3:18: an element of `command` must be a string, not an array
        steps:3:18: an element of `command` must be a string, not null
        steps:3:32: `work_dir` must be a string, not an object
        steps:4:1: `outputs` belongs to `run`, an exec function writes its outputs to the output file
        steps:4:1: `delegate` belongs to `run`, an exec function writes its outputs to the output file
        steps:3:1: key `command` is unknown here, it belongs below `exec`
        steps:3:1: key `script` is unknown here, it belongs in an item of `run`
        steps:3:1: key `inputs` is unknown here, it belongs below `spec` in the first document
        steps:3:6: `env` must be an object, not an array
        steps:3:7: environment variable name `A-B` is not allowed: use letters, digits and `_`, and no digit first
        steps:3:10: environment variable `A` must be a string, not an array
        steps:4:10: `outputs` must be an object, not an array
        steps:4:11: output name `a-b` is not allowed: use letters, digits and `_`, and no digit first
        steps:4:11: `delegate` needs `outputs: delegate` in the spec
    "#]],
    );
}

#[test]
fn a_bad_step_is_refused() {
    let texts = [
        "",
        "{}",
        "{name: a}",
        "{func: ./a}",
        "{name: not ok, func: ./a}",
        "{name: 1a, func: ./a}",
        "{name: [a], func: ./a}",
        "{name: a, func: ./a, step: ./b}",
        "{name: a, script: x, step: ./b}",
        "{name: a, script: x, func: ./b}",
        "{name: a, script: x, action: b}",
        "{name: a, script: x, inputs: {a: 1}}",
        "{name: a, action: x, func: ./b}",
        "{name: a, script: ''}",
        "{name: a, script: [x]}",
        "{name: a, action: ''}",
        "{name: a, exec: {command: [a]}}",
        "{name: a, run: []}",
        "{name: a, func: }",
        "{name: a, func: ''}",
        "{name: a, func: [./a]}",
        "{name: a, func: 'Not A Reference!'}",
        "{name: a, func: 'https://gitlab.com/a'}",
        "{name: a, func: {}}",
        "{name: a, func: {gti: {url: a, rev: b}}}",
        "{name: a, func: {git: {url: a, rev: b}, oci: {registry: a, repository: b, tag: c}}}",
        "{name: a, func: {git: {url: a}}}",
        "{name: a, func: {git: {rev: a}}}",
        "{name: a, func: {git: {url: a, rve: b}}}",
        "{name: a, func: {git: {url: a, rev: b, dir: ../x}}}",
        "{name: a, func: {git: {url: a, rev: b, file: x/y.yml}}}",
        "{name: a, func: {git: x@y}}",
        "{name: a, func: {oci: {repository: b, tag: c}}}",
        "{name: a, func: {oci: {registry: a, tag: c}}}",
        "{name: a, func: {oci: {registry: a, repository: b}}}",
        "{name: a, func: {oci: {registry: a, repository: B, tag: c}}}",
        "{name: a, func: ./a, inputs: [a]}",
        "{name: a, func: ./a, inputs: {a-b: 1}}",
        "{name: a, func: ./a, inputs: {a: [.nan]}}",
        "{name: a, func: ./a, env: {A: {}}}",
        "{nmae: a, func: ./a}",
        "{name: a, fucn: ./a}",
    ]
    .map(|step| format!("{{}}\n---\nrun:\n  - {step}\n"));
    check(
        Strictness::Wire,
        &texts.each_ref().map(String::as_str),
        expect![[r#"
        steps:4:5: an item of `run` must be an object, not null
        steps:4:5: an item of `run` needs a `name`
        steps:4:5: an item of `run` needs one of `func`, `step`, `script`, `action`
        steps:4:5: an item of `run` needs a `name`
        steps:4:12: step name `not ok` is not allowed: use letters, digits and `_`, and no digit first
        steps:4:12: step name `1a` is not allowed: use letters, digits and `_`, and no digit first
        steps:4:12: `name` must be a string, not an array
        steps:4:26: `func` and `step` exclude each other
        steps:4:26: `step` and `script` exclude each other
        steps:4:26: `func` and `script` exclude each other
        steps:4:26: `script` and `action` exclude each other
        steps:4:26: `script` and `inputs` exclude each other
        steps:4:26: `func` and `action` exclude each other
        steps:4:23: `script` must not be empty
        steps:4:23: `script` must be a string, not an array
        steps:4:23: `action` must not be empty
        steps:4:15: `exec` cannot stand in an item of `run`: move it into a function of its own and call that with `func`
        steps:4:15: `run` cannot stand in an item of `run`: move it into a function of its own and call that with `func`
        steps:4:5: an item of `run` needs one of `func`, `step`, `script`, `action`
        steps:4:21: reference is empty
        steps:4:21: a reference must be a string, not an array
        steps:4:21: `Not A Reference!` is no reference: write `./DIR`, `builtin://NAME`, `URL@REV` or `[REGISTRY/]REPOSITORY[:TAG] [FILE]`
        steps:4:21: expecting url@rev, found `https://gitlab.com/a`
        steps:4:21: a reference needs `git` or `oci`
        steps:4:22: key `gti` is unknown (did you mean `git`?)
        steps:4:45: `git` and `oci` exclude each other
        steps:4:27: a git reference needs a `rev`
        steps:4:27: a git reference needs a `url`
        steps:4:36: key `rve` is unknown (did you mean `rev`?)
        steps:4:44: path `../x` must stay inside the repository or image: `..` is not allowed
        steps:4:44: `file` must be the name of a file, not the path `x/y.yml`: its directory belongs in `dir`
        steps:4:27: a git reference must be an object, not a string
        steps:4:27: an OCI reference needs a `registry`
        steps:4:27: an OCI reference needs a `repository`
        steps:4:27: an OCI reference needs a `tag`
        steps:4:28: `a/B:c` is no reference: write `./DIR`, `builtin://NAME`, `URL@REV` or `[REGISTRY/]REPOSITORY[:TAG] [FILE]`
        steps:4:34: `inputs` must be an object, not an array
        steps:4:35: input name `a-b` is not allowed: use letters, digits and `_`, and no digit first
        steps:4:39: `.nan` is no number that JSON can hold
        steps:4:35: environment variable `A` must be a string, not an object
        steps:4:6: key `nmae` is unknown (did you mean `name`?)
        steps:4:15: key `fucn` is unknown (did you mean `func`?)
    "#]],
    );
}

#[test]
fn a_broken_expression_is_reported_with_the_place_of_its_scalar() {
    let rows = [
        ("exec: {command: [a, '${{ x']}", "3:21"),
        ("exec: {command: [a], work_dir: '${{ x'}", "3:32"),
        ("env: {'${{ x': 1}\nrun: []", "3:7"),
        ("env: {A: '${{ x'}\nrun: []", "3:10"),
        ("run: []\noutputs: {a: '${{ x'}", "4:14"),
        ("run: [{name: a, func: '${{ x'}]", "3:23"),
        ("run: [{name: a, script: '${{ x'}]", "3:25"),
        ("run: [{name: a, func: ./a, env: {A: '${{ x'}}]", "3:37"),
        (
            "run: [{name: a, func: ./a, inputs: {a: [{b: '${{ x'}]}}]",
            "3:45",
        ),
    ];
    let reason = stephost_expr::Template::parse("${{ x").expect_err("not closed");
    for (definition, place) in rows {
        let line = outcome(&format!("{{}}\n---\n{definition}\n"), Strictness::Wire);
        assert_eq!(line, format!("steps:{place}: {reason}\n"), "{definition}");
    }
}

#[test]
fn delegation_needs_both_documents_and_a_step() {
    let delegating = |definition: &str| format!("spec: {{outputs: delegate}}\n---\n{definition}\n");
    let texts = [
        "run: [{name: build, func: ./a}]\ndelegate: build",
        "run: [{name: build, func: ./a}]\ndelegate: biuld",
        "run: [{name: build, func: ./a}]\ndelegate: other",
        "run: [{name: build, func: ./a}]\ndelegate: build\noutputs: {a: 1}",
        "run: [{name: build, func: ./a}]\noutputs: {a: 1}",
        "run: [{name: build, func: ./a}]",
        "exec: {command: [a]}",
    ]
    .map(delegating);
    check(
        Strictness::Wire,
        &texts.each_ref().map(String::as_str),
        expect![[r#"
        read
        steps:4:11: `delegate` names `biuld`, which is no step of this list (did you mean `build`?)
        steps:4:11: `delegate` names `other`, which is no step of this list
        steps:5:1: `outputs` and `delegate` exclude each other
        steps:3:1: the spec says `outputs: delegate`, but `delegate` names no step whose outputs are meant
        steps:3:1: the spec says `outputs: delegate`, but `delegate` names no step whose outputs are meant
        read
    "#]],
    );
}

#[test]
fn an_unknown_key_is_a_warning_below_the_top_and_an_error_when_strict() {
    let texts = [
        "spce: {}\n---\nrun: []",
        "{}\n---\nrun: []\noutput: {}",
        "spec: {input: {}}\n---\nrun: []",
        "spec: {inputs: {a: {type: string, options: [a]}}}\n---\nrun: []",
        "{}\n---\nexec: {command: [a], workdir: x}",
        "{}\n---\nexec: {command: [a], env: {}}",
        "{}\n---\nrun:\n- name: a\n  func: ./a\n  input: {}\n  outputs: {}\n  timeout: 5",
        "{}\n---\nrun:\n- {name: a, func: {git: {url: a, rev: b, path: c}}}",
        "{}\n---\nrun:\n- {name: a, script: b}\n- {name: a, script: c}",
        "{}\n---\nexec: {command: [a], cancel_timeout: soon}",
        "{}\n---\nexec: {command: [a], cancel_timeout: -5s}",
        "{}\n---\nexec: {command: [a], cancel_timeout: 30}",
        "spec: {type: x, description: x}\ndescription: x\n---\ntype: steps\ndescription: x\ncancel_timeout: 5s\nrun: [{name: a, script: b, type: c, description: d, cancel_timeout: 5s}]",
    ];
    check(
        Strictness::Wire,
        &texts,
        expect![[r#"
        steps:1:1: key `spce` is unknown (did you mean `spec`?)
        steps:4:1: key `output` is unknown (did you mean `outputs`?)
        warning steps:1:8: key `input` is ignored, it is unknown (did you mean `inputs`?)
        read
        warning steps:1:35: key `options` is ignored, it is unknown
        read
        warning steps:3:22: key `workdir` is ignored, it is unknown (did you mean `work_dir`?)
        read
        warning steps:3:22: key `env` is ignored, it is unknown here, it belongs beside `exec`
        read
        warning steps:6:3: key `input` is ignored, it is unknown (did you mean `inputs`?)
        warning steps:7:3: key `outputs` is ignored, it is unknown here, it belongs beside `run`
        warning steps:8:3: key `timeout` is ignored, it is unknown
        read
        warning steps:4:42: key `path` is ignored, it is unknown
        read
        warning steps:5:10: step name `a` is used again: the outputs of the later step replace those of the earlier
        read
        warning steps:3:38: `cancel_timeout` is ignored: `soon` is not a duration, write for example `30s` or `1m30s`
        read
        warning steps:3:38: `cancel_timeout` is ignored: `-5s` is not a duration, write for example `30s` or `1m30s`
        read
        warning steps:3:38: `cancel_timeout` is ignored: `30` is not a duration, write for example `30s` or `1m30s`
        read
        read
    "#]],
    );
    check(
        Strictness::Strict,
        &texts,
        expect![[r#"
        steps:1:1: key `spce` is unknown (did you mean `spec`?)
        steps:4:1: key `output` is unknown (did you mean `outputs`?)
        steps:1:8: key `input` is unknown (did you mean `inputs`?)
        steps:1:35: key `options` is unknown
        steps:3:22: key `workdir` is unknown (did you mean `work_dir`?)
        steps:3:22: key `env` is unknown here, it belongs beside `exec`
        steps:6:3: key `input` is unknown (did you mean `inputs`?)
        steps:4:42: key `path` is unknown
        warning steps:5:10: step name `a` is used again: the outputs of the later step replace those of the earlier
        read
        steps:3:38: `cancel_timeout` must be a duration such as `30s` or `1m30s`, not `soon`
        steps:3:38: `cancel_timeout` must be a duration such as `30s` or `1m30s`, not `-5s`
        steps:3:38: `cancel_timeout` must be a duration such as `30s` or `1m30s`, not `30`
        read
    "#]],
    );
}

#[test]
fn an_error_knows_its_parts() {
    let error = parse("func.yml", b"{}\n---\nrun: [a]", Strictness::Strict).expect_err("no object");
    assert_eq!(error.source_name(), "func.yml");
    assert_eq!((error.place().line, error.place().column), (3, 7));
    assert_eq!(
        error.to_string(),
        format!("func.yml:3:7: {}", error.message())
    );
    let long = parse(&"dir/".repeat(1000), b"x", Strictness::Strict).expect_err("one document");
    assert!(long.to_string().len() < 400, "{long}");
}

#[test]
fn other_files_are_read_with_their_tags_and_places() {
    let text = b"a: !reference [x, y]\nb: !!seq [1]\nc: !secret text\n---\nsecond\n---\nthird\n";
    let documents = read_documents("ci.yml", text, 2).expect("it is YAML");
    assert_eq!(documents.len(), 2);
    let Content::Mapping(entries) = &documents[0].content else {
        panic!("an object: {documents:?}");
    };
    let tags: Vec<_> = entries
        .iter()
        .map(|(key, node)| (&*key.text, node.tag.as_deref(), node.noun(), key.place.line))
        .collect();
    assert_eq!(
        tags,
        [
            ("a", Some("!reference"), "an array", 1),
            ("b", None, "an array", 2),
            ("c", Some("!secret"), "a string", 3)
        ]
    );
    let refused = read_documents("ci.yml", b"a: [", 2).expect_err("no YAML");
    assert!(refused.to_string().starts_with("ci.yml:1:"), "{refused}");
}

#[test]
fn a_function_can_be_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Function>();
    shared::<stephost_steps::Loaded>();
    shared::<stephost_steps::LoadError>();
}
