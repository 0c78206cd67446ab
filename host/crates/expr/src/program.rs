//! What a template compiles to: operations on a stack of values, in the order of evaluation.
//!
//! Operands come before their operator, so evaluation is one loop without recursion, and every operation runs at
//! most once: jumps go forward only. Written by `parse`, run by `eval`.
//!
//! ```text
//! a.b || c + 1     0 Name a   1 Attribute b   2 Or(start 0, end 7)   3 Name c   4 Push 1   5 Add   6 Merge
//! ```

use std::cmp::Ordering;
use std::sync::Arc;

use crate::error::{ExpressionError, Fault};
use crate::limits::OPERATIONS_MAX;
use crate::value::Value;

/// The operations of a template.
#[derive(Debug, Default)]
pub(crate) struct Program {
    operations: Vec<Placed>,
    /// Where the `Or` operations are, ascending: they catch missing attributes of their left side.
    ors: Vec<usize>,
    /// How many values are on the stack after the last operation.
    height: usize,
}

/// An operation and where it stands in the text.
#[derive(Debug)]
pub(crate) struct Placed {
    pub(crate) operation: Operation,
    pub(crate) position: usize,
}

/// One operation. "Takes" means from the top of the stack; what results is put there.
#[derive(Debug)]
pub(crate) enum Operation {
    /// Takes nothing, gives the value.
    Push(Value),
    /// Takes nothing, gives the value of a name.
    Name(Arc<str>),
    /// Takes an object, gives its attribute.
    Attribute(Arc<str>),
    /// Takes a container and a key, gives the part. `container` is the operation that made the container.
    Index { container: usize },
    /// Takes a function and as many arguments, gives the result.
    Call { arguments: usize },
    /// Takes a value, gives the result.
    Unary(Unary),
    /// Takes two values, gives the result.
    Arithmetic(Arithmetic),
    /// Takes two values, gives whether they compare so.
    Compare(Comparison),
    /// The left side of `&&` is on the stack. Falsy: it stays and `end` is next. Else it stays for `Merge`.
    And { end: usize },
    /// The left side of `||` is on the stack: as `And`, with truthy for falsy. The left side began at `start` with
    /// `height` values on the stack.
    Or {
        start: usize,
        height: usize,
        end: usize,
    },
    /// Takes the left and the right side of `&&` or `||`, gives the right one.
    Merge,
    /// Takes nothing, checks that a string is on the stack.
    Key,
    /// Takes as many values, gives an array.
    Array { items: usize },
    /// Takes as many pairs of key and value, gives an object.
    Object { entries: usize },
    /// Takes as many values, gives their texts in a row.
    Text { pieces: usize },
}

/// The operators before a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unary {
    Plus,
    Minus,
    Not,
}

/// The operators that make a value of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    Multiply,
    Divide,
    Remainder,
    Add,
    Subtract,
}

/// The operators that compare two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Program {
    /// Adds an operation that belongs to `position` in the text, and returns its index.
    pub(crate) fn emit(
        &mut self,
        operation: Operation,
        position: usize,
    ) -> Result<usize, ExpressionError> {
        let index = self.operations.len();
        if index == OPERATIONS_MAX {
            return Err(ExpressionError::new(position, Fault::TooManyOperations));
        }
        let (taken, given) = operation.stack_effect();
        self.height = self.height - taken + given;
        if let Operation::Or { .. } = operation {
            self.ors.push(index);
        }
        self.operations.push(Placed {
            operation,
            position,
        });
        Ok(index)
    }

    /// Lets the `And` or `Or` at `index` end before the next operation.
    pub(crate) fn land(&mut self, index: usize) {
        let next = self.operations.len();
        if let Operation::And { end } | Operation::Or { end, .. } =
            &mut self.operations[index].operation
        {
            *end = next;
        }
    }

    /// Returns the index of the next operation.
    pub(crate) fn next(&self) -> usize {
        self.operations.len()
    }

    /// Returns whether the last operation puts texts in a row.
    pub(crate) fn ends_in_text(&self) -> bool {
        let last = self.operations.last();
        last.is_some_and(|placed| matches!(placed.operation, Operation::Text { .. }))
    }

    /// Returns how many values are on the stack now.
    pub(crate) fn height(&self) -> usize {
        self.height
    }

    /// Returns the operation at `index`.
    pub(crate) fn get(&self, index: usize) -> Option<&Placed> {
        self.operations.get(index)
    }

    /// Returns the innermost `Or` that has the operation at `index` in its left side, and the number of values on
    /// the stack where that side began.
    ///
    /// Looks past each `Or` between `index` and the found one. The evaluation goes on at the found one, so all
    /// calls of one evaluation together look past each `Or` once.
    pub(crate) fn catching(&self, index: usize) -> Option<(usize, usize)> {
        let after = self.ors.partition_point(|or| *or <= index);
        self.ors[after..]
            .iter()
            .find_map(|or| match self.operations[*or].operation {
                Operation::Or { start, height, .. } if start <= index => Some((*or, height)),
                _ => None,
            })
    }
}

impl Operation {
    /// Returns how many values the operation takes from the stack and how many it gives.
    fn stack_effect(&self) -> (usize, usize) {
        match self {
            Operation::Push(_) | Operation::Name(_) => (0, 1),
            Operation::Attribute(_) | Operation::Unary(_) => (1, 1),
            Operation::Index { .. }
            | Operation::Arithmetic(_)
            | Operation::Compare(_)
            | Operation::Merge => (2, 1),
            Operation::Call { arguments } => (arguments + 1, 1),
            Operation::And { .. } | Operation::Or { .. } | Operation::Key => (0, 0),
            Operation::Array { items } => (*items, 1),
            Operation::Object { entries } => (entries * 2, 1),
            Operation::Text { pieces } => (*pieces, 1),
        }
    }
}

impl Unary {
    /// Returns how the operator is written.
    pub(crate) fn symbol(self) -> &'static str {
        match self {
            Unary::Plus => "+",
            Unary::Minus => "-",
            Unary::Not => "!",
        }
    }
}

impl Arithmetic {
    /// Returns how the operator is written.
    pub(crate) fn symbol(self) -> &'static str {
        match self {
            Arithmetic::Multiply => "*",
            Arithmetic::Divide => "/",
            Arithmetic::Remainder => "%",
            Arithmetic::Add => "+",
            Arithmetic::Subtract => "-",
        }
    }
}

impl Comparison {
    /// Tells whether two values in this order compare so.
    pub(crate) fn holds(self, order: Ordering) -> bool {
        match self {
            Comparison::Equal => order.is_eq(),
            Comparison::Unequal => order.is_ne(),
            Comparison::Less => order.is_lt(),
            Comparison::LessOrEqual => order.is_le(),
            Comparison::Greater => order.is_gt(),
            Comparison::GreaterOrEqual => order.is_ge(),
        }
    }
}
