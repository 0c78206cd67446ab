//! Every bound is reached, and is an error that names it.

use std::time::{Duration, Instant};

use serde_json::json;
use stephost_expr::limits::{
    NESTING_MAX, OPERATIONS_MAX, RESULT_BYTES_MAX, TEMPLATE_BYTES_MAX, VALUE_DEPTH_MAX,
};
use stephost_expr::{Fault, Map, Template, Value};

use crate::{evaluate, scope_of};

/// Stack of a thread that must be enough for everything, in a debug build too.
const STACK_BYTES: usize = 512 * 1024;

fn fault(text: &str, scope: &Map) -> Fault {
    match evaluate(text, scope) {
        Ok(value) => panic!("it gives a value of {} bytes", value.size()),
        Err(error) => error.fault().clone(),
    }
}

fn on_a_small_stack(work: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new()
        .stack_size(STACK_BYTES)
        .spawn(work);
    let ended = thread.expect("a small thread can be started").join();
    if let Err(panic) = ended {
        std::panic::resume_unwind(panic);
    }
}

/// Returns a value with arrays inside each other.
fn nested(depth: usize) -> Value {
    (0..depth).fold(Value::number(1.0), |inner, _| Value::array(vec![inner]))
}

#[test]
fn a_template_has_a_longest_text() {
    let text = "a".repeat(TEMPLATE_BYTES_MAX - "${{ 1 }}".len()) + "${{ 1 }}";
    assert!(evaluate(&text, &Map::new()).is_ok());
    let found = TEMPLATE_BYTES_MAX + 1;
    assert_eq!(
        fault(&(text + "b"), &Map::new()),
        Fault::TemplateTooLong { found }
    );
}

#[test]
fn expressions_nest_to_a_bound_in_every_way_on_a_small_stack() {
    let ways: [(&str, &str, &str); 7] = [
        ("(", "1", ")"),
        ("[", "1", "]"),
        ("{a: ", "1", "}"),
        ("{(str(-1 * 2 + 3 < 4 && 5 || ", "'k'", ")): 1}"),
        ("a[", "1", "] || 1"),
        ("str(", "1", ")"),
        ("\"${{ ", "1", " }}\""),
    ];
    for (open, inner, close) in ways {
        on_a_small_stack(move || {
            let brackets = open.matches(['(', '[', '{']).count() - open.matches("${{").count();
            // The `${{` of the template is a level too.
            let levels = (NESTING_MAX - 1) / brackets;
            let text = |levels: usize| {
                let (open, close) = (open.repeat(levels), close.repeat(levels));
                format!("${{{{ {open}{inner}{close} }}}}")
            };
            let scope = Map::from([("a".to_owned(), Value::array(vec![]))]);
            let result = Template::parse(&text(levels)).map(|template| template.evaluate(&scope));
            assert!(result.is_ok(), "{open}: {result:?}");
            for levels in [levels + 1, 100_000] {
                assert_eq!(fault(&text(levels), &scope), Fault::NestedTooDeep, "{open}");
            }
        });
    }
}

#[test]
fn chains_do_not_nest() {
    on_a_small_stack(|| {
        let scope = Map::from([("a".to_owned(), nested(VALUE_DEPTH_MAX))]);
        for text in [
            "${{ 1".to_owned() + &" + 1".repeat(30_000) + " }}",
            "${{ 1".to_owned() + &" && 1".repeat(20_000) + " }}",
            "${{ 0".to_owned() + &" || 0".repeat(20_000) + " }}",
            "${{ ".to_owned() + &"-".repeat(60_000) + "1 }}",
            "${{ a".to_owned() + &"[0]".repeat(VALUE_DEPTH_MAX) + " }}",
            "${{ [{}".to_owned() + &".q".repeat(60_000) + " || 1] }}",
            "${{ 1 }}".repeat(30_000),
        ] {
            let result = evaluate(&text, &scope);
            assert!(result.is_ok(), "{}: {:?}", &text[..12], result.err());
        }
    });
}

#[test]
fn a_template_has_a_highest_number_of_operations() {
    for text in [
        "${{ 1".to_owned() + &" + 1".repeat(OPERATIONS_MAX / 2) + " }}",
        "${{ [".to_owned() + &"1,".repeat(OPERATIONS_MAX) + "] }}",
        "${{ ".to_owned() + &"!".repeat(OPERATIONS_MAX) + "1 }}",
        "${{ 1 }}".repeat(OPERATIONS_MAX),
        "${{ a".to_owned() + &"()".repeat(OPERATIONS_MAX) + " }}",
    ] {
        assert_eq!(
            fault(&text, &Map::new()),
            Fault::TooManyOperations,
            "{}",
            &text[..12]
        );
    }
    let most = "${{ [".to_owned() + &"1,".repeat(OPERATIONS_MAX - 1) + "] }}";
    assert!(evaluate(&most, &Map::new()).is_ok());
}

#[test]
fn a_result_has_a_largest_size() {
    let half = RESULT_BYTES_MAX / 2;
    let scope = Map::from([
        ("half".to_owned(), Value::string("x".repeat(half))),
        ("more".to_owned(), Value::string("x".repeat(half + 1))),
        (
            "most".to_owned(),
            Value::string("x".repeat(RESULT_BYTES_MAX - 3)),
        ),
        (
            "all".to_owned(),
            Value::string("x".repeat(RESULT_BYTES_MAX + 1)),
        ),
    ]);
    assert!(evaluate("${{ half + half }}", &scope).is_ok());
    assert!(evaluate("${{ half }}${{ half }}", &scope).is_ok());
    for text in [
        "${{ half + more }}",
        "${{ half }}${{ more }}",
        "${{ \"${{ half }}${{ more }}\" }}",
        "${{ [half, more] }}",
        "${{ {a: half, b: more} }}",
        "${{ {(half): more} }}",
        // Brackets and quotes count.
        "${{ str([most]) }}",
        "${{ all }}",
    ] {
        assert_eq!(fault(text, &scope), Fault::ResultTooLarge, "{text}");
        let text = Template::parse(text)
            .unwrap()
            .evaluate_text(&scope)
            .unwrap_err();
        assert_eq!(text.fault(), &Fault::ResultTooLarge);
    }
    // A part of something large is as good as any.
    let large = Map::from([("large".to_owned(), Value::object(scope))]);
    assert!(evaluate("${{ large.half[7] }}", &large).is_ok());
}

#[test]
fn texts_that_grow_again_and_again_run_out_of_work() {
    let scope = Map::from([("a".to_owned(), Value::string("x".repeat(1024 * 1024)))]);
    // Each addition copies everything before it.
    let sum = "${{ a".to_owned() + &" + a".repeat(15) + " }}";
    assert_eq!(fault(&sum, &scope), Fault::TooMuchWork);
}

#[test]
fn everything_that_takes_time_costs_work() {
    let scope = Map::from([
        ("a".to_owned(), Value::string("1".repeat(1024 * 1024))),
        (
            "b".to_owned(),
            Value::string("x".repeat(RESULT_BYTES_MAX - 1)),
        ),
        ("secret".to_owned(), Value::bool(true).sensitive()),
    ]);
    // Three quarters of the work are done quickly; the rest is left to the operation in question.
    let most = "${{ [b + 'x', b + 'x', b + 'x', ";
    for operation in [
        "str([a])",
        "a + ''",
        "\"${{ a }}!\"",
        "a[262144]",
        "a == a",
        "{}[a] || 1",
        "{(a): 1}",
        "secret && [a]",
    ] {
        let text = most.to_owned() + &format!("{operation}, ").repeat(20) + "] }}";
        let error = evaluate(&text, &scope).expect_err(operation);
        assert_eq!(error.fault(), &Fault::TooMuchWork, "{operation}");
        assert!(error.position() > most.len(), "{operation}");
    }
}

#[test]
fn a_few_shared_values_that_stand_for_many_are_not_walked_through() {
    // 2^60 numbers, in 60 arrays of two.
    let many = (0..60).fold(Value::number(1.0), |inner, _| {
        Value::array(vec![inner.clone(), inner])
    });
    assert_eq!(many.size(), usize::MAX, "sizes saturate");
    let scope = Map::from([
        ("many".to_owned(), many),
        ("secret".to_owned(), Value::bool(true).sensitive()),
    ]);
    for (text, expected) in [
        ("${{ many }}", Fault::ResultTooLarge),
        ("${{ [many] }}", Fault::ResultTooLarge),
        ("${{ str(many) }}", Fault::ResultTooLarge),
        ("${{ many == many }}", Fault::TooMuchWork),
        ("${{ secret && many }}", Fault::TooMuchWork),
        ("${{ [many][secret && 0] }}", Fault::ResultTooLarge),
        ("${{ many[secret && 0] }}", Fault::TooMuchWork),
    ] {
        assert_eq!(fault(text, &scope), expected, "{text}");
    }
}

#[test]
fn values_have_a_greatest_depth() {
    on_a_small_stack(|| {
        let scope = Map::from([
            ("deepest".to_owned(), nested(VALUE_DEPTH_MAX)),
            // What a scope may wrap around it is still walked safely.
            ("deeper".to_owned(), nested(VALUE_DEPTH_MAX * 2)),
            ("secret".to_owned(), Value::string("s").sensitive()),
        ]);
        for text in [
            "${{ deepest }}",
            "${{ str(deepest) }}",
            "${{ deepest == deepest }}",
            "${{ secret && deepest }}",
            "${{ [deepest[0]] }}",
        ] {
            assert!(evaluate(text, &scope).is_ok(), "{text}");
        }
        for text in [
            "${{ [deepest] }}",
            "${{ {a: deepest} }}",
            "${{ deeper }}",
            "${{ str(deeper) }}",
            "${{ deeper == deeper }}",
            "${{ deepest == deeper }}",
            "${{ secret && deeper }}",
            "a${{ deeper }}",
        ] {
            assert_eq!(fault(text, &scope), Fault::ValueTooDeep, "{text}");
        }
        let deeper = scope["deeper"].clone();
        assert_eq!(
            Value::from_json(deeper.to_json()).sensitive().to_text(),
            deeper.to_text()
        );
    });
}

#[test]
fn the_costliest_evaluations_end_in_time() {
    // Far above what they take, so that a slow machine passes; without the bounds they would take hours.
    const PATIENCE: Duration = Duration::from_secs(20);
    let nulls = Value::array(vec![Value::null(); 250_000]);
    let mut scope = scope_of(json!({"t": "x".repeat(1024 * 1024)}));
    scope.insert("nulls".to_owned(), nulls);
    scope.insert("secret".to_owned(), Value::bool(true).sensitive());
    let repeat = |part: &str, count: usize| "${{ [".to_owned() + &part.repeat(count) + "] }}";
    for text in [
        repeat("nulls == nulls,", 10_000),
        repeat("secret && nulls,", 10_000),
        repeat("str(nulls),", 10_000),
        repeat("t + t,", 10_000),
        // Each missing part looks for the `||` that catches it.
        repeat("{}.q || 1,", 12_000),
        "${{ [{}.q, ".to_owned() + &"0 || 1,".repeat(12_000) + "] || 1 }}",
    ] {
        let start = Instant::now();
        let _ = evaluate(&text, &scope);
        assert!(start.elapsed() < PATIENCE, "{}", &text[..20]);
    }
}
