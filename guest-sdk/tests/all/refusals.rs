//! What does not compile, and what the author reads then. `TRYBUILD=overwrite` writes the texts anew.

#[test]
fn what_is_no_step_is_refused_in_plain_words() {
    trybuild::TestCases::new().compile_fail("tests/refused/*.rs");
}
