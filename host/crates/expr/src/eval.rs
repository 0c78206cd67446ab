//! Runs the operations of a template on a stack of values.
//!
//! Promises: total, without recursion over the program, and bounded: every operation and every byte that is
//! produced, compared or searched is paid for from one budget ([`WORK_MAX`]).
//!
//! Marks. The result of every operation is marked when an operand is sensitive; a part that is taken out of a
//! container keeps its own mark, and gets one from a sensitive index. `a && b` and `a || b` return an operand with
//! its mark, and mark `b` when a sensitive `a` decided that it is `b`. Which side of `||` is taken can also depend
//! on whether something is missing: when an access on its left could be missing only for a sensitive reason, what
//! `||` returns is marked. So an unmarked part of a result does not depend on anything sensitive. What is not
//! hidden is *that* an evaluation fails; the message says where, never which value.
//! Called by: `template`.

use std::collections::BTreeMap;

use crate::error::{ExpressionError, Fault, Shown};
use crate::functions::{Function, NumberFault, parse_number};
use crate::lex::is_name;
use crate::limits::{RESULT_BYTES_MAX, SHOWN_BYTES_MAX, VALUE_DEPTH_MAX, WORK_MAX};
use crate::program::{Arithmetic, Comparison, Operation, Placed, Program, Unary};
use crate::template::Scope;
use crate::value::{Data, Map, Value, compare, text_at_most};

/// What an evaluation returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The value.
    Value,
    /// Its text.
    Text,
}

/// Runs `program`.
pub(crate) fn evaluate(
    program: &Program,
    wanted: Wanted,
    scope: &dyn Scope,
) -> Result<Value, ExpressionError> {
    let mut machine = Machine {
        program,
        scope,
        names: BTreeMap::new(),
        stack: Vec::new(),
        work_left: WORK_MAX,
        at: 0,
        position: 0,
        revealed_at: None,
    };
    while let Some(placed) = program.get(machine.at) {
        machine.at = match machine.run(placed) {
            Ok(next) => next,
            Err(error) => machine.catch(error)?,
        };
    }
    machine.finish(wanted)
}

struct Machine<'p> {
    program: &'p Program,
    scope: &'p dyn Scope,
    /// The names that were looked up.
    names: BTreeMap<&'p str, Value>,
    stack: Vec<Value>,
    work_left: u64,
    /// The operation that runs, and where it stands in the text.
    at: usize,
    position: usize,
    /// The last operation whose sensitive operand decided what happens next: what runs, or that something is
    /// missing. Operations run in ascending order, so the last one is the highest.
    revealed_at: Option<usize>,
}

impl<'p> Machine<'p> {
    /// Runs one operation and returns which one is next.
    fn run(&mut self, placed: &'p Placed) -> Result<usize, ExpressionError> {
        self.position = placed.position;
        self.spend(1)?;
        let result = match &placed.operation {
            Operation::And { end } => return self.and(*end),
            Operation::Or { start, end, .. } => return self.or(*start, *end),
            Operation::Key => return self.key(),
            Operation::Push(value) => value.clone(),
            Operation::Name(name) => self.name(name)?,
            Operation::Attribute(name) => self.attribute(name)?,
            Operation::Index { container } => self.index(*container)?,
            Operation::Call { arguments } => self.call(*arguments)?,
            Operation::Unary(operator) => self.unary(*operator)?,
            Operation::Arithmetic(operator) => self.arithmetic(*operator)?,
            Operation::Compare(comparison) => self.compare(*comparison)?,
            Operation::Merge => self.merge()?,
            Operation::Array { items } => self.array(*items)?,
            Operation::Object { entries } => self.object(*entries)?,
            Operation::Text { pieces } => self.text(*pieces)?,
        };
        self.stack.push(result);
        Ok(self.at + 1)
    }

    /// Goes on after `error` where the grammar has a second choice: something is missing on the left of `||`.
    fn catch(&mut self, error: ExpressionError) -> Result<usize, ExpressionError> {
        let missing = matches!(
            error.fault(),
            Fault::MissingAttribute { .. } | Fault::MissingIndex { .. }
        );
        match self.program.catching(self.at) {
            Some((or, height)) if missing => {
                self.stack.truncate(height);
                self.stack.push(Value::null());
                Ok(or)
            }
            Some(_) | None => Err(error),
        }
    }

    fn finish(mut self, wanted: Wanted) -> Result<Value, ExpressionError> {
        let mut value = self.pop();
        if wanted == Wanted::Text {
            let text = self.text_of(&value)?;
            value = self.marked_if(value.is_sensitive(), text)?;
        }
        self.bounded(value)
    }

    fn name(&mut self, name: &'p str) -> Result<Value, ExpressionError> {
        if let Some(value) = self.names.get(name) {
            return Ok(value.clone());
        }
        let value = self
            .scope
            .name(name)
            .or_else(|| Function::named(name).map(Value::function))
            .ok_or_else(|| {
                self.error(Fault::UnknownName {
                    name: Shown::plain(name),
                })
            })?;
        self.names.insert(name, value.clone());
        Ok(value)
    }

    fn attribute(&mut self, name: &str) -> Result<Value, ExpressionError> {
        let object = self.pop();
        let entries = object.as_object().ok_or_else(|| {
            self.error(Fault::NoAttributes {
                found: object.kind(),
            })
        })?;
        if object.is_marked() {
            self.revealed_at = Some(self.at);
        }
        // The part of a marked object is marked by itself.
        entries.get(name).cloned().ok_or_else(|| {
            let path = path(self.program, self.at - 1, &format!(".{name}"));
            self.error(Fault::MissingAttribute { path })
        })
    }

    fn index(&mut self, container_at: usize) -> Result<Value, ExpressionError> {
        let key = self.pop();
        let container = self.pop();
        let sensitive = key.is_sensitive() || container.is_marked();
        if sensitive {
            self.revealed_at = Some(self.at);
        }
        let part = match (container.data(), key.data()) {
            (Data::Object(entries), Data::String(name)) => {
                self.spend(name.len())?;
                entries.get(&**name).cloned()
            }
            (Data::Array(items), Data::Number(number)) => items.get(self.whole(*number)?).cloned(),
            (Data::String(text), Data::Number(number)) => {
                let index = self.whole(*number)?;
                // A character has at most four bytes.
                self.spend(text.len().min(index.saturating_mul(4)))?;
                text.chars()
                    .nth(index)
                    .map(|character| Value::string(character.to_string()))
            }
            _ => {
                return Err(self.error(Fault::NotIndexable {
                    found: container.kind(),
                    index: key.kind(),
                }));
            }
        };
        let part = part.ok_or_else(|| {
            let path = path(self.program, container_at, &path_segment(&key));
            self.error(match container.data() {
                Data::Object(_) => Fault::MissingAttribute { path },
                _ => Fault::MissingIndex { path },
            })
        })?;
        self.marked_if(sensitive, part)
    }

    /// Returns the number as an index. What is below zero is beyond every end, as an index.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the number is whole and not negative, and the cast of a larger one saturates"
    )]
    fn whole(&self, number: f64) -> Result<usize, ExpressionError> {
        if number.fract() != 0.0 {
            return Err(self.error(Fault::IndexFraction));
        }
        Ok(if number < 0.0 {
            usize::MAX
        } else {
            number as usize
        })
    }

    fn call(&mut self, count: usize) -> Result<Value, ExpressionError> {
        let arguments = self.pop_many(count);
        let callee = self.pop();
        let Data::Function(function) = *callee.data() else {
            return Err(self.error(Fault::NotCallable {
                found: callee.kind(),
            }));
        };
        let [argument] = &arguments[..] else {
            return Err(self.error(Fault::Arguments {
                function: function.name(),
                found: count,
            }));
        };
        let result = match function {
            Function::Bool => Value::bool(argument.is_truthy()),
            Function::Num => self.number_of(argument)?,
            Function::Str => self.text_of(argument)?,
        };
        self.marked_if(callee.is_sensitive() || argument.is_sensitive(), result)
    }

    fn number_of(&mut self, value: &Value) -> Result<Value, ExpressionError> {
        match value.data() {
            Data::Number(_) => Ok(value.clone()),
            Data::String(text) => {
                self.spend(text.len())?;
                parse_number(text).map(Value::number).map_err(|fault| {
                    self.error(match fault {
                        NumberFault::Malformed => Fault::NotNumeric,
                        NumberFault::OutOfRange => Fault::NumberOutOfRange,
                    })
                })
            }
            _ => Err(self.error(Fault::NotConvertible {
                found: value.kind(),
            })),
        }
    }

    fn unary(&mut self, operator: Unary) -> Result<Value, ExpressionError> {
        let operand = self.pop();
        let result = match (operator, operand.data()) {
            (Unary::Not, _) => Value::bool(!operand.is_truthy()),
            (Unary::Plus, Data::Number(number)) => Value::number(*number),
            (Unary::Minus, Data::Number(number)) => Value::number(-number),
            (Unary::Plus | Unary::Minus, _) => {
                return Err(self.error(Fault::Operand {
                    operator: operator.symbol(),
                    operand: operand.kind(),
                }));
            }
        };
        self.marked_if(operand.is_sensitive(), result)
    }

    fn arithmetic(&mut self, operator: Arithmetic) -> Result<Value, ExpressionError> {
        let right = self.pop();
        let left = self.pop();
        let result = match (operator, left.data(), right.data()) {
            (Arithmetic::Add, Data::String(left), Data::String(right)) => {
                let mut text = String::new();
                self.append(&mut text, left)?;
                self.append(&mut text, right)?;
                Value::string(text)
            }
            (_, Data::Number(left), Data::Number(right)) => {
                self.numbers(operator, *left, *right)?
            }
            _ => {
                return Err(self.error(Fault::Operands {
                    operator: operator.symbol(),
                    left: left.kind(),
                    right: right.kind(),
                }));
            }
        };
        self.marked_if(left.is_sensitive() || right.is_sensitive(), result)
    }

    fn numbers(
        &self,
        operator: Arithmetic,
        left: f64,
        right: f64,
    ) -> Result<Value, ExpressionError> {
        let result = match operator {
            Arithmetic::Divide | Arithmetic::Remainder if right == 0.0 => {
                return Err(self.error(Fault::DivisionByZero));
            }
            Arithmetic::Multiply => left * right,
            Arithmetic::Divide => left / right,
            // The quotient is cut towards zero, so the remainder has the sign of the left side.
            Arithmetic::Remainder => left % right,
            Arithmetic::Add => left + right,
            Arithmetic::Subtract => left - right,
        };
        if !result.is_finite() {
            return Err(self.error(Fault::NumberOutOfRange));
        }
        Ok(Value::number(result))
    }

    fn compare(&mut self, comparison: Comparison) -> Result<Value, ExpressionError> {
        let right = self.pop();
        let left = self.pop();
        if left.kind() == right.kind() {
            self.walkable(&left)?;
            self.walkable(&right)?;
            self.spend(left.size().min(right.size()))?;
        }
        let result = Value::bool(comparison.holds(compare(&left, &right)));
        self.marked_if(left.is_sensitive() || right.is_sensitive(), result)
    }

    fn and(&mut self, end: usize) -> Result<usize, ExpressionError> {
        let left = self.pop();
        Ok(self.decide(!left.is_truthy(), left, end))
    }

    fn or(&mut self, start: usize, end: usize) -> Result<usize, ExpressionError> {
        let left = self.pop();
        // Whether the left side has this value, or none, was decided by something sensitive.
        let revealed = self.revealed_at.is_some_and(|at| at >= start);
        let left = self.marked_if(revealed, left)?;
        Ok(self.decide(left.is_truthy(), left, end))
    }

    /// Puts the left side back and goes on at `end` if it is `final_already`, else with the right side.
    fn decide(&mut self, final_already: bool, left: Value, end: usize) -> usize {
        if left.is_sensitive() {
            self.revealed_at = Some(self.at);
        }
        self.stack.push(left);
        if final_already { end } else { self.at + 1 }
    }

    fn merge(&mut self) -> Result<Value, ExpressionError> {
        let right = self.pop();
        let left = self.pop();
        self.marked_if(left.is_sensitive(), right)
    }

    fn key(&self) -> Result<usize, ExpressionError> {
        match self.stack.last() {
            Some(key) if key.as_str().is_none() => {
                Err(self.error(Fault::KeyKind { found: key.kind() }))
            }
            _ => Ok(self.at + 1),
        }
    }

    fn array(&mut self, count: usize) -> Result<Value, ExpressionError> {
        let items = self.pop_many(count);
        self.bounded(Value::array(items))
    }

    /// Of entries with the same key the last one counts. Keys have no marks, so a sensitive key marks the object.
    fn object(&mut self, count: usize) -> Result<Value, ExpressionError> {
        let mut parts = self.pop_many(count * 2).into_iter();
        let mut entries = Map::new();
        let mut sensitive = false;
        while let (Some(key), Some(value)) = (parts.next(), parts.next()) {
            sensitive |= key.is_sensitive();
            let name = key.as_str().unwrap_or_default();
            self.spend(name.len())?;
            entries.insert(name.to_owned(), value);
        }
        let object = self.bounded(Value::object(entries))?;
        self.marked_if(sensitive, object)
    }

    fn text(&mut self, count: usize) -> Result<Value, ExpressionError> {
        let pieces = self.pop_many(count);
        let mut text = String::new();
        for piece in &pieces {
            let piece = self.text_of(piece)?;
            self.append(&mut text, piece.as_str().unwrap_or_default())?;
        }
        self.marked_if(pieces.iter().any(Value::is_sensitive), Value::string(text))
    }

    /// Returns the text of a value, unmarked.
    fn text_of(&mut self, value: &Value) -> Result<Value, ExpressionError> {
        if let Data::String(text) = value.data() {
            return Ok(Value::string(text.clone()));
        }
        self.walkable(value)?;
        let mut text = String::new();
        text_at_most(value, RESULT_BYTES_MAX, &mut text)
            .ok_or_else(|| self.error(Fault::ResultTooLarge))?;
        self.spend(text.len())?;
        Ok(Value::string(text))
    }

    fn append(&mut self, text: &mut String, more: &str) -> Result<(), ExpressionError> {
        if more.len() > RESULT_BYTES_MAX.saturating_sub(text.len()) {
            return Err(self.error(Fault::ResultTooLarge));
        }
        self.spend(more.len())?;
        text.push_str(more);
        Ok(())
    }

    fn marked_if(&mut self, sensitive: bool, value: Value) -> Result<Value, ExpressionError> {
        if !sensitive || value.is_marked() {
            return Ok(value);
        }
        if value.depth() > 0 {
            // Its parts are marked one by one.
            self.walkable(&value)?;
            self.spend(value.size())?;
        }
        Ok(value.sensitive())
    }

    /// Refuses a value that must not be walked through because it is too deep.
    fn walkable(&self, value: &Value) -> Result<(), ExpressionError> {
        if value.depth() > VALUE_DEPTH_MAX {
            return Err(self.error(Fault::ValueTooDeep));
        }
        Ok(())
    }

    /// Refuses a value that must not leave the evaluation because it is too deep or too large.
    fn bounded(&self, value: Value) -> Result<Value, ExpressionError> {
        self.walkable(&value)?;
        if value.as_str().map_or(value.size(), str::len) > RESULT_BYTES_MAX {
            return Err(self.error(Fault::ResultTooLarge));
        }
        Ok(value)
    }

    fn spend(&mut self, work: usize) -> Result<(), ExpressionError> {
        let left = u64::try_from(work)
            .ok()
            .and_then(|work| self.work_left.checked_sub(work));
        self.work_left = left.ok_or_else(|| self.error(Fault::TooMuchWork))?;
        Ok(())
    }

    fn error(&self, fault: Fault) -> ExpressionError {
        ExpressionError::new(self.position, fault)
    }

    fn pop(&mut self) -> Value {
        self.stack
            .pop()
            .expect("the parser writes operands before their operator")
    }

    fn pop_many(&mut self, count: usize) -> Vec<Value> {
        let first = self.stack.len().saturating_sub(count);
        self.stack.split_off(first)
    }
}

/// Returns the way to a missing part: `last` in what the operation at `at` made, without the name at the root. When
/// it is long, its beginning is left out.
fn path(program: &Program, mut at: usize, last: &str) -> Shown {
    const CUT: &str = "…";
    let mut segments = vec![last.to_owned()];
    let mut bytes = CUT.len() + last.len();
    let complete = loop {
        let (segment, container) = match program.get(at).map(|placed| &placed.operation) {
            Some(Operation::Attribute(name)) => (format!(".{name}"), at - 1),
            Some(Operation::Index { container }) => {
                let key = program.get(container + 1).map(|placed| &placed.operation);
                let segment = match key {
                    Some(Operation::Push(key)) if container + 2 == at => path_segment(key),
                    _ => "[…]".to_owned(),
                };
                (segment, *container)
            }
            _ => break true,
        };
        bytes += segment.len();
        if bytes > SHOWN_BYTES_MAX {
            break false;
        }
        segments.push(segment);
        at = container;
    };
    let start = if complete { "" } else { CUT };
    let path: String = std::iter::once(start)
        .chain(segments.iter().rev().map(String::as_str))
        .collect();
    Shown::plain(&path)
}

/// Returns one part of a way, as it could stand in an expression.
fn path_segment(key: &Value) -> String {
    match key.data() {
        _ if key.is_sensitive() => format!("[{key}]"),
        Data::String(name) if is_name(name) => format!(".{name}"),
        Data::String(name) => format!("['{}']", name.replace('\\', "\\\\").replace('\'', "\\'")),
        _ => format!("[{key}]"),
    }
}
