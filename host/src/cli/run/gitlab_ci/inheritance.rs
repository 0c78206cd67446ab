//! What a job takes over: from jobs that it extends, from `default` and the top of the file, as far as `inherit` lets it.

use std::collections::HashMap;
use std::rc::Rc;

use stephost_steps::{Content, Key, Node, Place};

use super::{CHAIN_MAX, Entries, File, Merged, Read, entry, fault, keywords, object, shown, value};

impl File<'_> {
    /// The job with everything that it extends, parents first.
    pub(super) fn merged(
        &self,
        name: &str,
        node: &Node,
        chain: &mut Vec<Rc<str>>,
        known: &mut HashMap<Rc<str>, Merged>,
    ) -> Read<Merged> {
        if let Some(merged) = known.get(name) {
            return Ok(Rc::clone(merged));
        }
        let Some(own) = object(node) else {
            return fault(
                node.place,
                format!("{} must be an object, not {}", shown(name), node.noun()),
            );
        };
        let name: Rc<str> = name.into();
        let Some(extends) = value(own, "extends") else {
            let merged: Merged = own.into();
            known.insert(name, Rc::clone(&merged));
            return Ok(merged);
        };
        chain.push(Rc::clone(&name));
        if chain.len() > CHAIN_MAX {
            return fault(
                extends.place,
                format!("`extends` goes over more than {CHAIN_MAX} jobs"),
            );
        }
        let mut merged: Vec<(Key, Node)> = Vec::new();
        for parent in self.names(extends, "extends")? {
            let (parent_name, place) = parent;
            if chain.iter().any(|link| **link == *parent_name) {
                return fault(
                    place,
                    format!(
                        "{} extends itself, by way of {}",
                        shown(&name),
                        shown(&parent_name)
                    ),
                );
            }
            let Some(node) = value(self.entries, &parent_name) else {
                let included = if value(self.entries, "include").is_some() {
                    "; files that `include` names are not read here"
                } else {
                    ""
                };
                return fault(
                    place,
                    format!("there is no {} to extend{included}", shown(&parent_name)),
                );
            };
            let parent = self.merged(&parent_name, node, chain, known)?;
            merged = self.merge(merged, &parent)?;
        }
        merged = self.merge(merged, own)?;
        chain.pop();
        let merged: Merged = merged.into();
        known.insert(name, Rc::clone(&merged));
        Ok(merged)
    }

    /// Puts `over` on top of `under`: objects are joined key by key, everything else is replaced.
    fn merge(&self, under: Vec<(Key, Node)>, over: &Entries) -> Read<Vec<(Key, Node)>> {
        let place = over.first().map_or(Place::START, |(key, _)| key.place);
        self.spend(place, under.len() + over.len())?;
        let mut merged = under;
        let mut at: HashMap<Rc<str>, usize> = merged
            .iter()
            .enumerate()
            .map(|(index, (key, _))| (Rc::clone(&key.text), index))
            .collect();
        for (key, node) in over {
            let Some(&index) = at.get(&key.text) else {
                at.insert(Rc::clone(&key.text), merged.len());
                merged.push((key.clone(), node.clone()));
                continue;
            };
            // GitLab puts references in first; one that leads nowhere is told where it is used.
            let under = self.referenced(&merged[index].1);
            let under = under.as_ref().unwrap_or(&merged[index].1);
            let target = self.referenced(node);
            let target = target.as_ref().unwrap_or(node);
            let joined = match (object(under), object(target)) {
                (Some(under), Some(over)) => Node {
                    content: Content::Mapping(self.merge(under.to_vec(), over)?.into()),
                    ..target.clone()
                },
                _ => node.clone(),
            };
            merged[index] = (key.clone(), joined);
        }
        Ok(merged)
    }

    /// The job with what `default`, or the top of the file, says for every job.
    pub(super) fn with_defaults(&self, job: &Entries) -> Read<Merged> {
        let default = value(self.entries, "default")
            .and_then(object)
            .unwrap_or_default();
        let mut effective = job.to_vec();
        for key in keywords::DEFAULT {
            let inherited = entry(default, key).or_else(|| {
                keywords::GLOBAL
                    .contains(&key)
                    .then(|| entry(self.entries, key))
                    .flatten()
            });
            if let Some(inherited) = inherited
                && entry(job, key).is_none()
                && self.inherits(job, "default", key)?
            {
                effective.push(inherited.clone());
            }
        }
        Ok(effective.into())
    }

    /// Whether `inherit` lets the job have the `kind` called `name`.
    pub(super) fn inherits(&self, job: &Entries, kind: &str, name: &str) -> Read<bool> {
        let wanted = value(job, "inherit")
            .and_then(object)
            .and_then(|inherit| value(inherit, kind));
        let Some(wanted) = wanted else {
            return Ok(true);
        };
        match &wanted.content {
            Content::Scalar(scalar) => Ok(&*scalar.text != "false"),
            Content::Sequence(_) | Content::Mapping(_) => Ok(self
                .names(wanted, kind)?
                .iter()
                .any(|(known, _)| &**known == name)),
        }
    }
}
