//! `!reference [JOB, KEY, …]`: a value that stands elsewhere in the file.

use std::rc::Rc;

use stephost_steps::{Content, Node, Place};

use super::{CHAIN_MAX, File, Read, fault, object, shown, value};

impl File<'_> {
    /// A text, or a list of texts.
    pub(super) fn names(&self, node: &Node, what: &str) -> Read<Vec<(Rc<str>, Place)>> {
        let items = match &node.content {
            Content::Sequence(items) => items,
            Content::Scalar(_) | Content::Mapping(_) => std::slice::from_ref(node),
        };
        self.spend(node.place, items.len())?;
        items
            .iter()
            .map(|item| match &item.content {
                Content::Scalar(scalar) if !item.is_null() => {
                    Ok((Rc::clone(&scalar.text), item.place))
                }
                Content::Scalar(_) | Content::Sequence(_) | Content::Mapping(_) => fault(
                    item.place,
                    format!("`{what}` takes names, not {}", item.noun()),
                ),
            })
            .collect()
    }

    /// What a value is: itself, or what its `!reference` names.
    pub(super) fn referenced(&self, node: &Node) -> Read<Node> {
        let mut node = node.clone();
        for _ in 0..CHAIN_MAX {
            self.spend(node.place, 1)?;
            let Some(tag) = &node.tag else {
                return Ok(node);
            };
            if &**tag != "!reference" {
                return fault(
                    node.place,
                    format!("the tag {} means nothing here", shown(tag)),
                );
            }
            node = self.target(&node)?;
        }
        fault(
            node.place,
            format!("`!reference` leads over more than {CHAIN_MAX} others"),
        )
    }

    fn target(&self, reference: &Node) -> Read<Node> {
        let path = self.names(reference, "!reference")?;
        let mut entries = self.entries;
        let mut found: Option<&Node> = None;
        for (name, place) in &path {
            if let Some(node) = found {
                match object(node) {
                    Some(below) => entries = below,
                    None => {
                        return fault(
                            *place,
                            format!("there is nothing below to call {}", shown(name)),
                        );
                    }
                }
            }
            match value(entries, name) {
                Some(node) => found = Some(node),
                None => {
                    return fault(
                        *place,
                        format!("`!reference` names {}, which is not there", shown(name)),
                    );
                }
            }
        }
        match found {
            Some(node) => Ok(node.clone()),
            None => fault(reference.place, "`!reference` names nothing"),
        }
    }
}
