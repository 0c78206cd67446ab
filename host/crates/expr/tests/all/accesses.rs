//! What a template looks up, as it is told without evaluating it.

use stephost_expr::Template;

fn told(text: &str) -> String {
    let template = Template::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let told = template.accesses().into_iter().map(|access| {
        for segment in &access.path {
            let written = &text[segment.bytes.clone()];
            assert!(
                written == &*segment.name || written.starts_with(['"', '\'']),
                "{written:?} is not {segment:?}"
            );
        }
        let path: Vec<&str> = access.path.iter().map(|segment| &*segment.name).collect();
        let miss = if access.may_miss { "?" } else { "" };
        let everything = if access.is_everything { "!" } else { "" };
        format!("{}{miss}{everything}", path.join("."))
    });
    told.collect::<Vec<_>>().join(" ")
}

#[test]
fn every_name_is_told_with_the_attributes_behind_it() {
    let table = [
        ("plain", ""),
        (r"\${{ escaped }}", ""),
        ("${{ 1 + 2 }}", ""),
        ("${{ inputs.name }}", "inputs.name!"),
        ("${{ env }}", "env!"),
        ("-${{ inputs.name }}-", "inputs.name"),
        ("${{ a.b + c.d.e }}", "a.b c.d.e"),
        (
            r#"${{ steps["build"].outputs['x'] }}"#,
            "steps.build.outputs.x!",
        ),
        ("${{ steps[inputs.name].outputs.x }}", "steps inputs.name"),
        ("${{ inputs.list[0].name }}", "inputs.list"),
        ("${{ str(inputs.n) }}", "str inputs.n"),
        ("${{ {a: inputs.x, (inputs.y): 1} }}", "inputs.x inputs.y"),
        (r#"${{ "x ${{ inputs.name }} y" }}"#, "inputs.name"),
        ("${{ a.b || c.d }}", "a.b? c.d"),
        ("${{ (a.b || c.d) || e }}", "a.b? c.d? e"),
        ("${{ a && b.c }}", "a b.c"),
        ("${{ inputs.a }}${{ inputs.b }}", "inputs.a inputs.b"),
        ("${{ ünder.wörld }}", "ünder.wörld!"),
    ];
    for (text, expected) in table {
        assert_eq!(told(text), expected, "{text}");
    }
}

#[test]
fn text_with_expressions_in_it_is_known_to_be_a_string() {
    let table = [
        ("plain", true),
        ("", true),
        ("v${{ inputs.major }}", true),
        ("${{ a }}${{ b }}", true),
        (r#"${{ "v${{ a }}" }}"#, true),
        ("${{ a }}", false),
        ("${{ a + 'b' }}", false),
    ];
    for (text, expected) in table {
        let template = Template::parse(text).expect(text);
        assert_eq!(template.is_text(), expected, "{text}");
    }
}
