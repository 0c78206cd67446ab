//! From the input `script` to commands. Pure; called by the step.

use serde_json::value::RawValue;

/// Reads the elements of a JSON array, without the blanks around them. What is not text is an empty command (contract
/// 12).
///
/// # Errors
///
/// What is wrong with the list, in words that follow its name.
pub(crate) fn read(json: &str) -> Result<Vec<String>, String> {
    let elements: Vec<&RawValue> =
        serde_json::from_str(json).map_err(|_| "is not a list of commands".to_owned())?;
    if elements.is_empty() {
        return Err("is empty".to_owned());
    }
    let mut commands = Vec::with_capacity(elements.len());
    for (index, element) in elements.into_iter().enumerate() {
        let command: String = serde_json::from_str(element.get()).unwrap_or_default();
        if command.contains('\0') {
            return Err(format!(
                "has a NUL byte in command {}, which no shell can read",
                index + 1
            ));
        }
        commands.push(command.trim().to_owned());
    }
    Ok(commands)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_trimmed_and_what_is_no_text_is_empty() {
        let json =
            r#"["echo a", "  b\n\n", "", 3, null, true, ["x"], {"y": "z"}, "c\u00e4\"\\\nd"]"#;
        assert_eq!(
            read(json).unwrap(),
            ["echo a", "b", "", "", "", "", "", "", "cä\"\\\nd"]
        );
    }

    #[test]
    fn a_list_that_cannot_be_run_says_why() {
        let table = [
            ("[]", "is empty"),
            ("{}", "is not a list of commands"),
            (
                r#"["a", "b\u0000"]"#,
                "has a NUL byte in command 2, which no shell can read",
            ),
        ];
        for (json, fault) in table {
            assert_eq!(read(json), Err(fault.to_owned()), "{json}");
        }
    }
}
