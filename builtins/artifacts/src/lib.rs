//! The shipped builtins as Wasm components, embedded.
//!
//! Owns the list of what is shipped and under which name; the build script compiles it. Promises that each
//! component imports nothing but the interfaces of `guest-sdk/wit`. Never compiles Wasm to machine code: that
//! is the sandbox's work, on first use. Called by: the host, which looks `builtin://NAME` up here, and the
//! tests of the sandbox.

#![forbid(unsafe_code)]

/// One builtin.
#[derive(Debug, Clone, Copy)]
pub struct Shipped {
    /// What it is looked up by: `builtin://NAME`.
    pub name: &'static str,
    /// The component.
    pub wasm: &'static [u8],
}

static SHIPPED: &[Shipped] = include!(concat!(env!("OUT_DIR"), "/shipped.rs"));

/// Returns every builtin of this build, in the order of the build script. With the feature `test-guests` also
/// those called `test/…`, which are never shipped.
#[must_use]
pub fn shipped() -> &'static [Shipped] {
    SHIPPED
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmparser::{ComponentExternalKind, Parser, Payload};

    /// Reads the imports of a component, or its exports.
    fn interfaces(wasm: &[u8], exports: bool) -> Vec<String> {
        let mut names = Vec::new();
        let mut depth = 0_u32;
        for payload in Parser::new(0).parse_all(wasm) {
            match payload.expect("the build makes valid Wasm") {
                Payload::Version { .. } => depth += 1,
                Payload::End(_) => depth -= 1,
                Payload::ComponentImportSection(section) if depth == 1 && !exports => {
                    names.extend(
                        section
                            .into_iter()
                            .map(|import| import.unwrap().name.name.to_owned()),
                    );
                }
                Payload::ComponentExportSection(section) if depth == 1 && exports => {
                    let instances = section
                        .into_iter()
                        .map(Result::unwrap)
                        .filter(|export| export.kind == ComponentExternalKind::Instance);
                    names.extend(instances.map(|export| export.name.name.to_owned()));
                }
                _ => {}
            }
        }
        names.sort();
        names
    }

    fn named(name: &str) -> &'static [u8] {
        shipped()
            .iter()
            .find(|shipped| shipped.name == name)
            .expect("it is in the table")
            .wasm
    }

    #[test]
    fn hello_can_speak_and_nothing_else() {
        assert_eq!(
            interfaces(named("hello"), false),
            ["stephost:step/log@0.1.0", "stephost:step/types@0.1.0"]
        );
        assert_eq!(
            interfaces(named("hello"), true),
            ["stephost:step/function@0.1.0"]
        );
    }

    #[test]
    fn the_scripts_can_run_programs_and_nothing_else_of_weight() {
        let [context, log, process, types] = ["context", "log", "process", "types"]
            .map(|interface| format!("stephost:step/{interface}@0.1.0"));
        // The log is where panics go.
        assert_eq!(
            interfaces(named("script"), false),
            [log.as_str(), &process, &types]
        );
        assert_eq!(
            interfaces(named("script_legacy"), false),
            [context, log, process, types]
        );
    }

    #[test]
    fn a_build_without_test_guests_ships_none() {
        let test_guests = shipped()
            .iter()
            .filter(|shipped| shipped.name.starts_with("test/"))
            .count();
        assert_eq!(test_guests > 0, cfg!(feature = "test-guests"));
    }

    #[test]
    fn names_are_unique_and_usable_in_a_reference() {
        for (at, shipped) in shipped().iter().enumerate() {
            let usable = |letter: char| {
                letter.is_ascii_lowercase() || letter.is_ascii_digit() || "-_/".contains(letter)
            };
            assert!(shipped.name.chars().all(usable), "{}", shipped.name);
            assert!(
                self::shipped()[..at]
                    .iter()
                    .all(|other| other.name != shipped.name),
                "{}",
                shipped.name
            );
        }
    }
}
