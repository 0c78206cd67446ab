//! The shipped builtins as Wasm components, and the sources of the SDK they are made with, embedded.
//!
//! Owns the list of what is shipped and under which name; the build script compiles it. Promises that each
//! component imports nothing but the interfaces of `guest-sdk/wit`, and that machine code is only embedded with the
//! very component it was made of. Never compiles Wasm to machine code: that is the sandbox's work, on first use, or
//! `stephost-precompile`'s before a release is built (`STEPHOST_PRECOMPILED`, see the build script). Called by: the
//! host, which looks `builtin://NAME` up here and copies the SDK into new projects, and the sandbox.

#![forbid(unsafe_code)]

/// One builtin.
#[derive(Debug, Clone, Copy)]
pub struct Builtin {
    /// What it is looked up by: `builtin://NAME`.
    pub name: &'static str,
    /// The component.
    pub wasm: &'static [u8],
    /// Private, so that what is loaded as machine code is what the build embedded, and nothing else.
    code: Option<&'static [u8]>,
}

impl Builtin {
    /// Returns what the component was compiled to when this program was built. Only shipped ones in release archives
    /// have any.
    #[must_use]
    pub fn code(&self) -> Option<&'static [u8]> {
        self.code
    }
}

static SHIPPED: &[Builtin] = include!(concat!(env!("OUT_DIR"), "/shipped.rs"));

/// Returns every shipped builtin, in the order of the build script.
#[must_use]
pub fn shipped() -> &'static [Builtin] {
    SHIPPED
}

#[cfg(feature = "test-guests")]
static TEST_GUESTS: &[Builtin] = include!(concat!(env!("OUT_DIR"), "/test_guests.rs"));

/// Returns the builtins that tests are made with. A host that ships none of them finds them where an operator
/// lays his own.
#[cfg(feature = "test-guests")]
#[must_use]
pub fn test_guests() -> &'static [Builtin] {
    TEST_GUESTS
}

/// One file of the SDK.
#[derive(Debug, Clone, Copy)]
pub struct Source {
    /// Where it lies in the SDK's directory.
    pub path: &'static str,
    /// What is in it.
    pub text: &'static str,
}

static SDK: &[Source] = include!(concat!(env!("OUT_DIR"), "/sdk.rs"));

/// Returns the sources of the SDK: everything that a project needs to depend on a copy of it.
#[must_use]
pub fn sdk() -> &'static [Source] {
    SDK
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

    /// Reads the custom sections called `stephost:needs`, wherever in the component they lie.
    fn needs(wasm: &[u8]) -> Vec<String> {
        let payloads = Parser::new(0).parse_all(wasm).map(Result::unwrap);
        let sections = payloads.filter_map(|payload| match payload {
            Payload::CustomSection(section) if section.name() == "stephost:needs" => {
                Some(String::from_utf8(section.data().to_vec()).unwrap())
            }
            _ => None,
        });
        sections.collect()
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
    fn what_a_step_needs_travels_in_its_component() {
        let table = [
            ("hello", r#"{"version":1,"exports":["HELLO_GREETED"]}"#),
            (
                "script",
                r#"{"version":1,"process":["/usr/local/bin/bash","/usr/bin/bash","/bin/bash","/usr/local/bin/sh","/usr/bin/sh","/bin/sh"]}"#,
            ),
            (
                "script_legacy",
                r#"{"version":1,"process":["bash","/bin/bash","/usr/bin/bash","/usr/local/bin/bash","sh","/bin/sh","/usr/bin/sh","/usr/local/bin/sh","/busybox/sh"],"env":["*"]}"#,
            ),
        ];
        for (name, text) in table {
            assert_eq!(needs(named(name)), [text], "{name}");
        }
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
    fn no_test_guest_is_shipped() {
        let mut names = shipped().iter().map(|shipped| shipped.name);
        assert!(!names.any(|name| name.starts_with("test/")));
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
