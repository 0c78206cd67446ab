//! From the text of a template to its operations.
//!
//! Promises: total, in one pass over the text. Where an expression ends is known from reading it, never from
//! searching for `}}`, so braces of objects and of strings do not matter. Recurses once per open bracket, brace,
//! parenthesis or nested expression, at most [`NESTING_MAX`] times; operators and chains such as `a.b.c` do not
//! recurse. Called by: `template`.
//!
//! ```text
//! template   = { text | "\${{" | "${{" expression "}}" }
//! expression = operand { operator operand }           all left-associative; * / % before + - before
//!                                                     comparisons before && before ||
//! operand    = { "+" | "-" | "!" } value { "." name | "[" expression "]" | "(" [ expressions ] ")" }
//! value      = number | name | string | "(" expression ")" | "[" [ expressions ] "]" | "{" [ entries ] "}"
//! entries    = entry { "," entry } [ "," ]            expressions likewise
//! entry      = ( word | string | "(" expression ")" ) ":" expression
//! ```

use std::sync::Arc;

use crate::error::{ExpressionError, Fault, Shown};
use crate::lex::{Lexer, Symbol, Word, is_reserved};
use crate::limits::{NESTING_MAX, TEMPLATE_BYTES_MAX};
use crate::program::{Arithmetic, Comparison, Operation, Program, Unary};
use crate::value::Value;

/// What begins an expression in text.
const OPEN: &str = "${{";
/// What ends it.
const CLOSE: &str = "}}";
/// What stands for [`OPEN`] in text without beginning an expression.
const ESCAPED_OPEN: &str = "\\${{";

/// A template that was read.
#[derive(Debug)]
pub(crate) enum Parsed {
    /// It has no expressions; this is its text.
    Literal(String),
    /// It has some. The program gives their text together with the text around them; or, when the template is one
    /// expression and nothing else, its value.
    Program(Program),
}

/// Reads a template.
pub(crate) fn parse(text: &str) -> Result<Parsed, ExpressionError> {
    if text.len() > TEMPLATE_BYTES_MAX {
        let fault = Fault::TemplateTooLong { found: text.len() };
        return Err(ExpressionError::new(0, fault));
    }
    let parser = Parser {
        lexer: Lexer::new(text),
        word: Word::End,
        start: 0,
        open: 0,
        nesting: 0,
        program: Program::default(),
    };
    parser.template()
}

/// Reads from `lexer`, one word ahead, and writes to `program`.
struct Parser<'t> {
    lexer: Lexer<'t>,
    /// The next word, and where it begins. Stale between expressions.
    word: Word<'t>,
    start: usize,
    /// Where the innermost `${{` is.
    open: usize,
    nesting: usize,
    program: Program,
}

/// An operator whose right side is being read.
struct Pending {
    operator: Operator,
    position: usize,
    /// Where the operations of its right side begin.
    right: usize,
}

#[derive(Clone, Copy)]
enum Operator {
    Arithmetic(Arithmetic),
    Compare(Comparison),
    /// The operation that jumps when the left side decides.
    Or(usize),
    And(usize),
}

/// Text and expressions that are put together, in a template or in a double-quoted string.
struct Pieces {
    literal: String,
    start: usize,
    count: usize,
}

impl<'t> Parser<'t> {
    fn template(mut self) -> Result<Parsed, ExpressionError> {
        let mut pieces = Pieces::new(0);
        let mut has_text = false;
        let mut expressions = 0;
        while let Some(bytes) = self.lexer.rest().find(OPEN) {
            let before = &self.lexer.rest()[..bytes];
            let escaped = before.ends_with('\\');
            let text = if escaped {
                &before[..bytes - 1]
            } else {
                before
            };
            pieces.literal.push_str(text);
            has_text |= !before.is_empty();
            self.lexer.skip(bytes);
            if escaped {
                pieces.literal.push_str(OPEN);
                self.lexer.skip(OPEN.len());
            } else {
                self.embedded(&mut pieces)?;
                expressions += 1;
            }
        }
        let rest = self.lexer.rest();
        pieces.literal.push_str(rest);
        has_text |= !rest.is_empty();
        match expressions {
            0 => Ok(Parsed::Literal(pieces.literal)),
            1 if !has_text => Ok(Parsed::Program(self.program)),
            _ => {
                pieces.join(&mut self.program)?;
                Ok(Parsed::Program(self.program))
            }
        }
    }

    /// Reads an expression from its `${{` to its `}}` as the next piece.
    fn embedded(&mut self, pieces: &mut Pieces) -> Result<(), ExpressionError> {
        pieces.flush(&mut self.program)?;
        let outer = std::mem::replace(&mut self.open, self.lexer.at());
        self.enter(self.open)?;
        self.lexer.skip(OPEN.len());
        self.advance()?;
        self.expression()?;
        if self.word != Word::Symbol(Symbol::BraceClose) || !self.lexer.rest().starts_with('}') {
            return Err(self.unexpected("an operator or `}}`"));
        }
        // The first brace is the word, the second was not read yet.
        self.lexer.skip(CLOSE.len() - 1);
        self.leave();
        self.open = outer;
        pieces.count += 1;
        pieces.start = self.lexer.at();
        Ok(())
    }

    fn expression(&mut self) -> Result<(), ExpressionError> {
        let first = self.program.next();
        let mut pending: Vec<Pending> = Vec::new();
        loop {
            self.operand()?;
            let Some(level) = self.operator_level() else {
                break;
            };
            while let Some(left) = pending.pop_if(|left| left.operator.level() >= level) {
                self.complete(&left)?;
            }
            let left = pending.last().map_or(first, |outer| outer.right);
            pending.extend(self.operator(left)?);
        }
        while let Some(left) = pending.pop() {
            self.complete(&left)?;
        }
        Ok(())
    }

    /// Returns the precedence of the operator that is next, if one is.
    fn operator_level(&self) -> Option<u8> {
        let Word::Symbol(symbol) = &self.word else {
            return None;
        };
        match symbol {
            Symbol::And => Some(Operator::And(0).level()),
            Symbol::Or => Some(Operator::Or(0).level()),
            symbol => binary(*symbol).map(Operator::level),
        }
    }

    /// Takes the operator that is next. The operations of its left side begin at `left`.
    fn operator(&mut self, left: usize) -> Result<Option<Pending>, ExpressionError> {
        let Word::Symbol(symbol) = self.word else {
            return Ok(None);
        };
        let position = self.start;
        let operator = match symbol {
            Symbol::And => Operator::And(self.program.emit(Operation::And { end: 0 }, position)?),
            Symbol::Or => {
                // The value of the left side is on the stack already.
                let height = self.program.height() - 1;
                let or = Operation::Or {
                    start: left,
                    height,
                    end: 0,
                };
                Operator::Or(self.program.emit(or, position)?)
            }
            symbol => match binary(symbol) {
                Some(operator) => operator,
                None => return Ok(None),
            },
        };
        self.advance()?;
        Ok(Some(Pending {
            operator,
            position,
            right: self.program.next(),
        }))
    }

    /// Finishes an operator whose both sides were read.
    fn complete(&mut self, pending: &Pending) -> Result<(), ExpressionError> {
        match pending.operator {
            Operator::Arithmetic(operator) => {
                self.program
                    .emit(Operation::Arithmetic(operator), pending.position)?;
            }
            Operator::Compare(comparison) => {
                self.program
                    .emit(Operation::Compare(comparison), pending.position)?;
            }
            Operator::And(jump) | Operator::Or(jump) => {
                self.program.emit(Operation::Merge, pending.position)?;
                self.program.land(jump);
            }
        }
        Ok(())
    }

    fn operand(&mut self) -> Result<(), ExpressionError> {
        let mut signs = Vec::new();
        while let Some(sign) = self.sign() {
            signs.push((sign, self.start));
            self.advance()?;
        }
        self.value()?;
        while let Word::Symbol(symbol) = self.word {
            match symbol {
                Symbol::Dot => self.attribute()?,
                Symbol::BracketOpen => self.index()?,
                Symbol::ParenthesisOpen => self.call()?,
                _ => break,
            }
        }
        for (sign, position) in signs.into_iter().rev() {
            self.program.emit(Operation::Unary(sign), position)?;
        }
        Ok(())
    }

    fn sign(&self) -> Option<Unary> {
        match self.word {
            Word::Symbol(Symbol::Plus) => Some(Unary::Plus),
            Word::Symbol(Symbol::Minus) => Some(Unary::Minus),
            Word::Symbol(Symbol::Not) => Some(Unary::Not),
            _ => None,
        }
    }

    fn attribute(&mut self) -> Result<(), ExpressionError> {
        self.advance()?;
        let Word::Name(name) = self.word else {
            return Err(self.unexpected("a name after `.`"));
        };
        self.program
            .emit(Operation::Attribute(name.into()), self.start)?;
        self.advance()
    }

    fn index(&mut self) -> Result<(), ExpressionError> {
        let container = self.program.next() - 1;
        let position = self.start;
        self.enter(position)?;
        self.advance()?;
        self.expression()?;
        self.expect(Symbol::BracketClose, "an operator or `]`")?;
        self.leave();
        self.program
            .emit(Operation::Index { container }, position)?;
        Ok(())
    }

    fn call(&mut self) -> Result<(), ExpressionError> {
        let position = self.start;
        let arguments = self.list(Symbol::ParenthesisClose, "an operator, `,` or `)`")?;
        self.program.emit(Operation::Call { arguments }, position)?;
        Ok(())
    }

    fn value(&mut self) -> Result<(), ExpressionError> {
        let position = self.start;
        match &mut self.word {
            Word::Number(number) => {
                let value = Value::number(*number);
                self.constant(value)
            }
            Word::Text(text) => {
                let value = Value::string(std::mem::take(text));
                self.constant(value)
            }
            Word::Quote => self.double_quoted(),
            Word::Name("null") => self.constant(Value::null()),
            Word::Name("true") => self.constant(Value::bool(true)),
            Word::Name("false") => self.constant(Value::bool(false)),
            Word::Name(word) if is_reserved(word) => {
                let word = Shown::quoted(word);
                Err(ExpressionError::new(position, Fault::Reserved { word }))
            }
            Word::Name(name) => {
                let name = Arc::from(*name);
                self.program.emit(Operation::Name(name), position)?;
                self.advance()
            }
            Word::Symbol(Symbol::ParenthesisOpen) => self.parenthesis(),
            Word::Symbol(Symbol::BracketOpen) => {
                let items = self.list(Symbol::BracketClose, "an operator, `,` or `]`")?;
                self.program.emit(Operation::Array { items }, position)?;
                Ok(())
            }
            Word::Symbol(Symbol::BraceOpen) => self.object(),
            Word::Symbol(_) | Word::End => Err(self.unexpected("a value")),
        }
    }

    fn constant(&mut self, value: Value) -> Result<(), ExpressionError> {
        self.program.emit(Operation::Push(value), self.start)?;
        self.advance()
    }

    fn parenthesis(&mut self) -> Result<(), ExpressionError> {
        self.enter(self.start)?;
        self.advance()?;
        self.expression()?;
        self.expect(Symbol::ParenthesisClose, "an operator or `)`")?;
        self.leave();
        Ok(())
    }

    /// Reads expressions from the opening word to `close`; returns how many.
    fn list(&mut self, close: Symbol, expected: &'static str) -> Result<usize, ExpressionError> {
        self.enter(self.start)?;
        self.advance()?;
        let mut count = 0;
        while self.word != Word::Symbol(close) {
            self.expression()?;
            count += 1;
            if self.word != Word::Symbol(Symbol::Comma) {
                break;
            }
            self.advance()?;
        }
        self.expect(close, expected)?;
        self.leave();
        Ok(count)
    }

    fn object(&mut self) -> Result<(), ExpressionError> {
        let position = self.start;
        self.enter(position)?;
        self.advance()?;
        let mut entries = 0;
        while self.word != Word::Symbol(Symbol::BraceClose) {
            self.key()?;
            self.expect(Symbol::Colon, "`:` after a key")?;
            self.expression()?;
            entries += 1;
            if self.word != Word::Symbol(Symbol::Comma) {
                break;
            }
            self.advance()?;
        }
        self.expect(Symbol::BraceClose, "an operator, `,` or `}`")?;
        self.leave();
        self.program.emit(Operation::Object { entries }, position)?;
        Ok(())
    }

    fn key(&mut self) -> Result<(), ExpressionError> {
        let position = self.start;
        match self.word {
            // Any word: after a dot it would be an ordinary name too.
            Word::Name(name) => self.constant(Value::string(name)),
            Word::Text(_) | Word::Quote => self.value(),
            Word::Symbol(Symbol::ParenthesisOpen) => {
                self.parenthesis()?;
                self.program.emit(Operation::Key, position)?;
                Ok(())
            }
            Word::Number(_) | Word::Symbol(_) | Word::End => Err(self.unexpected("a key or `}`")),
        }
    }

    /// Reads a double-quoted string after its first quote. It always gives a string, also when all of it is one
    /// expression.
    fn double_quoted(&mut self) -> Result<(), ExpressionError> {
        let quote = self.start;
        let mut pieces = Pieces::new(quote);
        loop {
            let rest = self.lexer.rest();
            let Some(bytes) = rest.find(['"', '\\', '$']) else {
                return Err(ExpressionError::new(quote, Fault::UnterminatedString));
            };
            pieces.literal.push_str(&rest[..bytes]);
            self.lexer.skip(bytes);
            let rest = &rest[bytes..];
            if rest.starts_with('"') {
                self.lexer.skip(1);
                break;
            } else if rest.starts_with(ESCAPED_OPEN) {
                pieces.literal.push_str(OPEN);
                self.lexer.skip(ESCAPED_OPEN.len());
            } else if rest.starts_with('\\') {
                let character = self.lexer.escape(quote)?;
                pieces.literal.push(character);
            } else if rest.starts_with(OPEN) {
                self.embedded(&mut pieces)?;
            } else {
                pieces.literal.push('$');
                self.lexer.skip(1);
            }
        }
        if pieces.count == 0 {
            let text = Value::string(pieces.literal);
            self.program.emit(Operation::Push(text), quote)?;
        } else {
            pieces.join(&mut self.program)?;
        }
        self.advance()
    }

    fn advance(&mut self) -> Result<(), ExpressionError> {
        (self.word, self.start) = self.lexer.word()?;
        Ok(())
    }

    fn expect(&mut self, symbol: Symbol, expected: &'static str) -> Result<(), ExpressionError> {
        if self.word != Word::Symbol(symbol) {
            return Err(self.unexpected(expected));
        }
        self.advance()
    }

    /// Says that the next word is not what the grammar wants.
    fn unexpected(&self, expected: &'static str) -> ExpressionError {
        if self.word == Word::End {
            return ExpressionError::new(self.open, Fault::Unclosed);
        }
        let found = match &self.word {
            // The end of the expression is one thing to the reader.
            Word::Symbol(Symbol::BraceClose) if self.lexer.rest().starts_with('}') => CLOSE,
            _ => self.lexer.since(self.start),
        };
        let fault = Fault::unexpected(expected, found);
        ExpressionError::new(self.start, fault)
    }

    fn enter(&mut self, position: usize) -> Result<(), ExpressionError> {
        if self.nesting == NESTING_MAX {
            return Err(ExpressionError::new(position, Fault::NestedTooDeep));
        }
        self.nesting += 1;
        Ok(())
    }

    fn leave(&mut self) {
        self.nesting -= 1;
    }
}

impl Pieces {
    fn new(start: usize) -> Pieces {
        Pieces {
            literal: String::new(),
            start,
            count: 0,
        }
    }

    /// Turns the text that was collected into a piece.
    fn flush(&mut self, program: &mut Program) -> Result<(), ExpressionError> {
        if !self.literal.is_empty() {
            let text = Value::string(std::mem::take(&mut self.literal));
            program.emit(Operation::Push(text), self.start)?;
            self.count += 1;
        }
        Ok(())
    }

    /// Puts all pieces together.
    fn join(mut self, program: &mut Program) -> Result<(), ExpressionError> {
        self.flush(program)?;
        let pieces = self.count;
        program.emit(Operation::Text { pieces }, self.start)?;
        Ok(())
    }
}

impl Operator {
    /// Returns the precedence: what is higher is done first.
    fn level(self) -> u8 {
        match self {
            Operator::Arithmetic(
                Arithmetic::Multiply | Arithmetic::Divide | Arithmetic::Remainder,
            ) => 4,
            Operator::Arithmetic(Arithmetic::Add | Arithmetic::Subtract) => 3,
            Operator::Compare(_) => 2,
            Operator::And(_) => 1,
            Operator::Or(_) => 0,
        }
    }
}

/// Returns the operator that `symbol` is between two values, if it is one that always needs both.
fn binary(symbol: Symbol) -> Option<Operator> {
    match symbol {
        Symbol::Star => Some(Operator::Arithmetic(Arithmetic::Multiply)),
        Symbol::Slash => Some(Operator::Arithmetic(Arithmetic::Divide)),
        Symbol::Percent => Some(Operator::Arithmetic(Arithmetic::Remainder)),
        Symbol::Plus => Some(Operator::Arithmetic(Arithmetic::Add)),
        Symbol::Minus => Some(Operator::Arithmetic(Arithmetic::Subtract)),
        Symbol::Equal => Some(Operator::Compare(Comparison::Equal)),
        Symbol::Unequal => Some(Operator::Compare(Comparison::Unequal)),
        Symbol::Less => Some(Operator::Compare(Comparison::Less)),
        Symbol::LessOrEqual => Some(Operator::Compare(Comparison::LessOrEqual)),
        Symbol::Greater => Some(Operator::Compare(Comparison::Greater)),
        Symbol::GreaterOrEqual => Some(Operator::Compare(Comparison::GreaterOrEqual)),
        _ => None,
    }
}
