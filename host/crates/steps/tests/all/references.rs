//! Every form of a reference, and what it means.

use std::collections::BTreeMap;

use expect_test::{Expect, expect};
use stephost_expr::{Template, Value};
use stephost_steps::{Body, Call, OciVersion, Reference, ReferenceError, Strictness, parse};

/// What a reference was read as, in the columns of contract 3.4.
fn meaning(reference: &Reference) -> String {
    let inside = |dir: &[String], file: &Option<String>| {
        format!("{} | {}", dir.join(" "), file.as_deref().unwrap_or("-"))
    };
    match reference {
        Reference::Local(local) => format!(
            "local | {} | {}",
            local.dir,
            local.file.as_deref().unwrap_or("-")
        ),
        Reference::Builtin(name) => format!("builtin | {name}"),
        Reference::Git(git) => format!(
            "git | {} | {} | {}",
            git.url,
            git.rev,
            inside(&git.dir, &git.file)
        ),
        Reference::Oci(oci) => {
            let version = match &oci.version {
                OciVersion::Tag(tag) => format!("tag {tag}"),
                OciVersion::Digest(digest) => format!("digest {digest}"),
            };
            format!(
                "oci | {} | {} | {version} | {}",
                oci.registry,
                oci.repository,
                inside(&oci.dir, &oci.file)
            )
        }
        Reference::Dynamic(template) => format!("dynamic | {}", template.source()),
    }
}

fn short(text: &str) -> String {
    match Reference::parse_short(text) {
        Ok(reference) => format!("{} | shown {reference}", meaning(&reference)),
        Err(error) => format!("error | {error}"),
    }
}

fn check(texts: &[&str], expected: Expect) {
    expected.assert_eq(
        &texts
            .iter()
            .map(|text| short(text) + "\n")
            .collect::<String>(),
    );
}

#[test]
fn every_example_of_the_contract_is_read_as_it_says() {
    let sha = "9c5b3a1f0e2d4c6b8a7f9e1d3c5b7a9f1e3d5c7b";
    let with_sha = format!("gitlab.com/components/echo/-/reverse/my-step.yml@{sha}");
    let sha_meaning = format!(
        "git | https://gitlab.com/components/echo | {sha} | steps reverse | my-step.yml | shown {with_sha}"
    );
    let table = [
        (
            "./path/to/step.yml",
            "local | ./path/to | step.yml | shown ./path/to/step.yml",
        ),
        (
            "./path/to/step",
            "local | ./path/to/step | - | shown ./path/to/step",
        ),
        ("./step.yml", "local | . | step.yml | shown ./step.yml"),
        (
            "/path/to/step.yml",
            "local | /path/to | step.yml | shown /path/to/step.yml",
        ),
        (
            "/path/to/step/",
            "local | /path/to/step/ | - | shown /path/to/step/",
        ),
        ("/step.yml", "local | / | step.yml | shown /step.yml"),
        (
            "gitlab.com/components/echo@v1.0.0",
            "git | https://gitlab.com/components/echo | v1.0.0 | steps | - | shown gitlab.com/components/echo@v1.0.0",
        ),
        (&with_sha, &sha_meaning),
        (
            "https://host/x@v5",
            "git | https://host/x | v5 | steps | - | shown host/x@v5",
        ),
        (
            "http://host/x@v5",
            "git | http://host/x | v5 | steps | - | shown http://host/x@v5",
        ),
        (
            "dist://step/oci/fetch",
            "builtin | step/oci/fetch | shown builtin://step/oci/fetch",
        ),
        (
            "${{steps.previous_step.outputs.download_dir}}",
            "dynamic | ${{steps.previous_step.outputs.download_dir}} | shown ${{steps.previous_step.outputs.download_dir}}",
        ),
        (
            "/path/to/some/steps/${{env.THE_STEP}}",
            "dynamic | /path/to/some/steps/${{env.THE_STEP}} | shown /path/to/some/steps/${{env.THE_STEP}}",
        ),
        (
            "builtin://concrete",
            "builtin | concrete | shown builtin://concrete",
        ),
        (
            "registry.gitlab.com/group/echo:1",
            "oci | registry.gitlab.com | group/echo | tag 1 |  | - | shown registry.gitlab.com/group/echo:1",
        ),
    ];
    for (text, expected) in table {
        assert_eq!(short(text), expected, "contract 3.4: {text}");
    }
}

#[test]
fn further_forms_are_read_by_the_same_order() {
    let digest = format!("group/echo@sha256:{}", "ab".repeat(32));
    let texts = [
        ".",
        "..",
        "/",
        "../x",
        ".hidden",
        "./x.yaml",
        "./a@b/step.yml",
        "./with blank/step.yml",
        "  ./trimmed\n",
        "builtin://docker/auth",
        "host:8443/x/y@release/1.2",
        "git.example.com/a@b/c@v1",
        "https://host/x/-/a/b@v1",
        "host/x/-/a/./b//c.yml@v1",
        "https://user:secret@host/x@v5",
        "https://token@host/x@v5",
        "echo",
        "group/echo",
        "localhost/echo",
        "localhost:5000/echo",
        "host.example.com:5000/a/b__c/d-e.f:v1.2_x",
        &digest,
        "group/echo:1 dir/sub/func.yml",
        "group/echo   dir",
        "group/echo:1 a@b.yml",
    ];
    check(
        &texts,
        expect![[r#"
        local | . | - | shown .
        local | .. | - | shown ..
        local | / | - | shown /
        local | ../x | - | shown ../x
        local | .hidden | - | shown .hidden
        local | ./x.yaml | - | shown ./x.yaml
        local | ./a@b | step.yml | shown ./a@b/step.yml
        local | ./with blank | step.yml | shown ./with blank/step.yml
        local | ./trimmed | - | shown ./trimmed
        builtin | docker/auth | shown builtin://docker/auth
        git | https://host:8443/x/y | release/1.2 | steps | - | shown host:8443/x/y@release/1.2
        git | https://git.example.com/a@b/c | v1 | steps | - | shown git.example.com/a@b/c@v1
        git | https://host/x | v1 | steps a b | - | shown host/x/-/a/b@v1
        git | https://host/x | v1 | steps a b | c.yml | shown host/x/-/a/b/c.yml@v1
        git | https://user:secret@host/x | v5 | steps | - | shown ***@host/x@v5
        git | https://token@host/x | v5 | steps | - | shown ***@host/x@v5
        oci | registry.gitlab.com | echo | tag latest |  | - | shown registry.gitlab.com/echo:latest
        oci | registry.gitlab.com | group/echo | tag latest |  | - | shown registry.gitlab.com/group/echo:latest
        oci | localhost | echo | tag latest |  | - | shown localhost/echo:latest
        oci | localhost:5000 | echo | tag latest |  | - | shown localhost:5000/echo:latest
        oci | host.example.com:5000 | a/b__c/d-e.f | tag v1.2_x |  | - | shown host.example.com:5000/a/b__c/d-e.f:v1.2_x
        oci | registry.gitlab.com | group/echo | digest sha256:abababababababababababababababababababababababababababababababab |  | - | shown registry.gitlab.com/group/echo@sha256:abababababababababababababababababababababababababababababababab
        oci | registry.gitlab.com | group/echo | tag 1 | dir sub | func.yml | shown registry.gitlab.com/group/echo:1 dir/sub/func.yml
        oci | registry.gitlab.com | group/echo | tag latest | dir | - | shown registry.gitlab.com/group/echo:latest dir
        oci | registry.gitlab.com | group/echo | tag 1 |  | a@b.yml | shown registry.gitlab.com/group/echo:1 a@b.yml
    "#]],
    );
}

#[test]
fn what_is_no_reference_says_what_would_be() {
    let long = format!("./{}", "x".repeat(5000));
    let texts = [
        "",
        "  ",
        "\n",
        "./a\nb",
        "./a\0b",
        &long,
        "builtin://",
        "builtin://a b",
        "dist://ü",
        "builtin:/concrete",
        "https://host/x",
        "ssh://host/x",
        "host/x@",
        "@v1",
        "https://@v1",
        "git@host:group/x",
        "host/x/-/../y@v1",
        "group/echo:1 ../x",
        "group/echo:1 a b",
        "Group/Echo",
        "group//echo",
        "group/echo:",
        "group/echo:-x",
        "host.com:99999/x",
        "a b@c",
        "ü",
    ];
    check(
        &texts,
        expect![[r#"
        error | reference is empty
        error | reference is empty
        error | reference is empty
        error | reference `./a\nb` holds a control character
        error | reference `./a\u{0}b` holds a control character
        error | reference of 5002 bytes is too long, the limit is 4096
        error | `builtin://` must be followed by the name of a host function, found ``
        error | `builtin://` must be followed by the name of a host function, found `a b`
        error | `dist://` must be followed by the name of a host function, found `ü`
        error | `builtin:/concrete` is no reference: write `./DIR`, `builtin://NAME`, `URL@REV` or `[REGISTRY/]REPOSITORY[:TAG] [FILE]`
        error | expecting url@rev, found `https://host/x`
        error | expecting url@rev, found `ssh://host/x`
        error | expecting url@rev, found `host/x@`
        error | expecting url@rev, found `@v1`
        error | expecting url@rev, found `https://@v1`
        error | expecting url@rev, found `git@host:group/x`
        error | path `../y` must stay inside the repository or image: `..` is not allowed
        error | path `../x` must stay inside the repository or image: `..` is not allowed
        error | `group/echo:1 a b` is no reference: write `./DIR`, `builtin://NAME`, `URL@REV` or `[REGISTRY/]REPOSITORY[:TAG] [FILE]`
        error | `Group/Echo` is no reference: write `./DIR`, `builtin://NAME`, `URL@REV` or `[REGISTRY/]REPOSITORY[:TAG] [FILE]`
        error | `group//echo` is no reference: write `./DIR`, `builtin://NAME`, `URL@REV` or `[REGISTRY/]REPOSITORY[:TAG] [FILE]`
        error | `group/echo:` is no reference: write `./DIR`, `builtin://NAME`, `URL@REV` or `[REGISTRY/]REPOSITORY[:TAG] [FILE]`
        error | `group/echo:-x` is no reference: write `./DIR`, `builtin://NAME`, `URL@REV` or `[REGISTRY/]REPOSITORY[:TAG] [FILE]`
        error | `host.com:99999/x` is no reference: write `./DIR`, `builtin://NAME`, `URL@REV` or `[REGISTRY/]REPOSITORY[:TAG] [FILE]`
        oci | registry.gitlab.com | a | tag latest | b@c | - | shown registry.gitlab.com/a:latest b@c
        error | `ü` is no reference: write `./DIR`, `builtin://NAME`, `URL@REV` or `[REGISTRY/]REPOSITORY[:TAG] [FILE]`
    "#]],
    );
}

#[test]
fn a_shown_reference_is_read_as_the_same_reference() {
    let texts = [
        "./path/to/step.yml",
        "./path/to/step",
        "/step.yml",
        "builtin://docker/auth",
        "gitlab.com/a/b@v1",
        "http://host/a/-/x/y.yml@v1",
        "registry.gitlab.com/a/b:1 dir/func.yml",
        "localhost:5000/a:latest",
        "${{ env.REF }}",
    ];
    for text in texts {
        let reference = Reference::parse_short(text).expect(text);
        assert_eq!(reference.to_string(), text);
        let again = Reference::parse_short(&reference.to_string()).expect(text);
        assert_eq!(meaning(&again), meaning(&reference), "{text}");
    }
}

#[test]
fn long_forms_are_read() {
    let table = [
        (
            "{git: {url: host/x, rev: v1}}",
            "git | https://host/x | v1 |  | - | shown host/x@v1",
        ),
        (
            "{git: {url: 'http://host/x', rev: 10, dir: /a/b/, file: c.yml}}",
            "git | http://host/x | 10 | a b | c.yml | shown http://host/x@10 a/b/c.yml",
        ),
        (
            "{git: {url: host/x, rev: main, dir: steps/a}}",
            "git | https://host/x | main | steps a | - | shown host/x/-/a@main",
        ),
        (
            "{oci: {registry: r.com, repository: a/b, tag: 1.0}}",
            "oci | r.com | a/b | tag 1.0 |  | - | shown r.com/a/b:1.0",
        ),
        (
            "{oci: {registry: r.com, repository: a, tag: 'sha256:00112233445566778899aabbccddeeff', dir: d, file: f.yml}}",
            "oci | r.com | a | digest sha256:00112233445566778899aabbccddeeff | d | f.yml | shown r.com/a@sha256:00112233445566778899aabbccddeeff d/f.yml",
        ),
    ];
    for (yaml, expected) in table {
        let text = format!("{{}}\n---\nrun:\n  - name: a\n    step: {yaml}\n");
        let function = parse("steps", text.as_bytes(), Strictness::Strict)
            .expect(yaml)
            .function;
        let Body::Run(composite) = function.definition.body else {
            panic!("{yaml}")
        };
        let Call::Function(reference) = &composite.steps[0].call else {
            panic!("{yaml}")
        };
        assert_eq!(
            format!("{} | shown {reference}", meaning(reference)),
            expected,
            "{yaml}"
        );
    }
}

#[test]
fn a_broken_or_failing_expression_in_a_reference_is_told_as_it_is() {
    for text in ["${{ a", "./${{ }}"] {
        let expected = Template::parse(text).expect_err("broken");
        assert_eq!(
            Reference::parse_short(text).map(|_| ()),
            Err(ReferenceError::Expression(expected)),
            "{text}"
        );
    }
    let reference = Reference::parse_short("./${{ nope }}").expect("well formed");
    let error = reference
        .expand(&BTreeMap::new())
        .expect_err("no such name");
    assert!(error.to_string().contains("nope"), "{error}");
}

#[test]
fn a_dynamic_reference_is_expanded_once() {
    let scope = BTreeMap::from([
        ("dir".to_owned(), Value::string("./a")),
        ("major".to_owned(), Value::number(1.0)),
        ("again".to_owned(), Value::string("${{ dir }}")),
        ("empty".to_owned(), Value::string("")),
    ]);
    let texts = [
        "${{ dir }}",
        "${{ dir }}/step.yml",
        "./v${{ major }}",
        "${{ again }}",
        "${{ empty }}",
        "./x",
    ];
    let outcomes: String = texts
        .iter()
        .map(
            |text| match Reference::parse_short(text).expect(text).expand(&scope) {
                Ok(reference) => meaning(&reference) + "\n",
                Err(error) => format!("error | {error}\n"),
            },
        )
        .collect();
    expect![[r#"
        local | ./a | -
        local | ./a | step.yml
        local | ./v1 | -
        error | reference `${{ dir }}` still holds an expression after expansion: values are not expanded again
        error | reference is empty
        local | ./x | -
    "#]].assert_eq(&outcomes);
}
