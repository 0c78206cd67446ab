//! Functions that call themselves, perhaps by way of others.
//!
//! Promises: linear in the calls; no recursion. Called by: `check`, when every reference was followed.

use super::{Checker, Finding, Target};
use crate::code::Code;
use crate::limits::REFERENCE_SHOWN_CHARS_MAX;
use crate::place::Place;
use crate::quoted::Quoted;

impl Checker<'_> {
    /// Finds functions that call themselves, perhaps by way of others. Nothing ends such a circle: no call depends
    /// on a condition.
    pub(super) fn seek_circles(&mut self) {
        #[derive(Clone, Copy, PartialEq)]
        enum Seen {
            Not,
            Open,
            Done,
        }
        let mut seen = vec![Seen::Not; self.units.len()];
        for start in 0..self.units.len() {
            if seen[start] != Seen::Not {
                continue;
            }
            seen[start] = Seen::Open;
            // The functions that are open, each with the item that is next.
            let mut open = vec![(start, 0)];
            while let Some((unit, next)) = open.last_mut() {
                let unit = *unit;
                let Some(item) = self.units[unit].items.get(*next) else {
                    seen[unit] = Seen::Done;
                    open.pop();
                    continue;
                };
                *next += 1;
                let Target::Unit(callee) = item.target else {
                    continue;
                };
                let place = item.place;
                match seen[callee] {
                    Seen::Not => {
                        seen[callee] = Seen::Open;
                        open.push((callee, 0));
                    }
                    Seen::Open => {
                        let circle = open.iter().skip_while(|(unit, _)| *unit != callee);
                        let through = circle.count() - 1;
                        let finding = self.circle(callee, through, place);
                        self.find(unit, finding);
                    }
                    Seen::Done => {}
                }
            }
        }
    }

    fn circle(&self, callee: usize, through: usize, place: Place) -> Finding {
        let path = self.units[callee].path.to_string_lossy();
        let path = Quoted::cut(&path, REFERENCE_SHOWN_CHARS_MAX);
        let message = match through {
            0 => "the function calls itself, and nothing ends that".to_owned(),
            1 => format!("this leads back to {path}, which calls this function"),
            more => format!(
                "this leads back to {path}, which calls this function by way of {}",
                match more - 1 {
                    1 => "another one".to_owned(),
                    between => format!("{between} others"),
                }
            ),
        };
        Finding::error(Code::S041, place, &message)
    }
}
