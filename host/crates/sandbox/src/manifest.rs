//! What a component says about itself: read from its bytes, without compiling or running anything.
//!
//! Never trusts it: whether a component is valid is the compiler's word, what it gets is the policy's. Called by:
//! `run` in the host before it asks the policy, and `inspect`.

use stephost_policy::{Needs, NeedsError};
use wasmparser::{Encoding, Parser, Payload};

use crate::ending::plain;

/// Names and wishes of a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Interfaces it imports, `stephost:step/log@0.1.0`, in its order.
    pub imports: Vec<String>,
    /// What it exports, in its order.
    pub exports: Vec<String>,
    /// What it needs: what it states, else what its imports make possible.
    pub needs: Needs,
    /// Whether it states its needs.
    pub states_needs: bool,
}

/// Why a component's manifest cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// The bytes are no component.
    #[error("it is not a component: {message}")]
    NotAComponent {
        /// What is wrong with them.
        message: String,
    },
    /// Several texts say what it needs, and nobody says which counts.
    #[error("it states its needs more than once")]
    NeedsTwice,
    /// The text that says what it needs.
    #[error(transparent)]
    Needs(#[from] NeedsError),
}

impl Manifest {
    /// Reads the manifest of a component in its binary form.
    ///
    /// # Errors
    /// [`ManifestError`] says what keeps it from being one.
    pub fn read(wasm: &[u8]) -> Result<Manifest, ManifestError> {
        let broken = |error: wasmparser::BinaryReaderError| ManifestError::NotAComponent {
            message: plain(&error.to_string()),
        };
        let (mut imports, mut exports) = (Vec::new(), Vec::new());
        let mut stated = Vec::new();
        let mut depth = 0_u32;
        for payload in Parser::new(0).parse_all(wasm) {
            match payload.map_err(broken)? {
                Payload::Version { encoding, .. } => {
                    if depth == 0 && encoding == Encoding::Module {
                        return Err(ManifestError::NotAComponent {
                            message: "it is a core module; `wasm-component-ld` makes components"
                                .to_owned(),
                        });
                    }
                    depth += 1;
                }
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentImportSection(section) if depth == 1 => {
                    for import in section {
                        imports.push(plain(import.map_err(broken)?.name.name));
                    }
                }
                Payload::ComponentExportSection(section) if depth == 1 => {
                    for export in section {
                        exports.push(plain(export.map_err(broken)?.name.name));
                    }
                }
                // Wherever it lies: the linker leaves it in the module that it found it in.
                Payload::CustomSection(section) if section.name() == Needs::SECTION => {
                    stated.push(section.data());
                }
                _ => {}
            }
        }
        let needs = match stated.as_slice() {
            [] => Needs::of_imports(imports.iter().map(String::as_str)),
            [text] => Needs::parse(text)?,
            [_, _, ..] => return Err(ManifestError::NeedsTwice),
        };
        Ok(Manifest {
            imports,
            exports,
            needs,
            states_needs: !stated.is_empty(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component(parts: &str) -> Vec<u8> {
        wat::parse_str(format!("(component {parts})")).unwrap()
    }

    /// A component with a core module that holds these needs.
    fn stating(texts: &[&str]) -> Vec<u8> {
        let sections: String = texts
            .iter()
            .map(|text| {
                let escaped = text.replace('"', "\\\"");
                format!("(core module (@custom \"stephost:needs\" \"{escaped}\"))")
            })
            .collect();
        component(&sections)
    }

    #[test]
    fn names_of_the_outermost_component_count_and_no_others() {
        let wasm = component(
            r#"(import "stephost:step/log@0.1.0" (instance))
               (component (import "a:b/inner" (func)))
               (core module (import "env" "f" (func)))"#,
        );
        let manifest = Manifest::read(&wasm).unwrap();
        assert_eq!(manifest.imports, ["stephost:step/log@0.1.0"]);
        assert_eq!(manifest.exports, Vec::<String>::new());
        assert_eq!(
            manifest.needs,
            Needs::of_imports(["stephost:step/log@0.1.0"])
        );
        assert!(!manifest.states_needs);
    }

    #[test]
    fn stated_needs_take_the_place_of_what_imports_tell() {
        let text = r#"{"version":1,"env":["CI_*"]}"#;
        let manifest = Manifest::read(&stating(&[text])).unwrap();
        assert_eq!(manifest.needs, Needs::parse(text.as_bytes()).unwrap());
        assert!(manifest.states_needs);
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let module = wat::parse_str("(module)").unwrap();
        let text = r#"{"version":1}"#;
        let table = [
            (b"".as_slice().to_vec(), "it is not a component: "),
            (b"#!/bin/sh\n".to_vec(), "it is not a component: "),
            (module, "it is not a component: it is a core module"),
            (stating(&[text, text]), "it states its needs more than once"),
            (stating(&["{"]), "the component's needs are not readable"),
        ];
        for (wasm, message) in table {
            let error = Manifest::read(&wasm).expect_err(message).to_string();
            assert!(error.starts_with(message), "{error}");
        }
    }

    #[test]
    fn no_cut_component_is_read_as_a_whole_one() {
        let wasm = stating(&[r#"{"version":1,"process":["sh"]}"#]);
        for length in 0..wasm.len() {
            // A cut between two sections leaves a component that lacks something: never a panic.
            let _ = Manifest::read(&wasm[..length]);
        }
    }
}
