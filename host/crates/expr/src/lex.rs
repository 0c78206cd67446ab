//! From characters to words: numbers, names, symbols, single-quoted strings.
//!
//! Promises: each call of [`Lexer::word`] reads forward and takes at least one byte, or says [`Word::End`]. Reads
//! only as far as the word needs, so that the parser can go on by itself inside a double-quoted string, whose end
//! depends on the expressions in it.
//! Called by: `parse`; and `functions`, for the grammar of numbers.

use crate::error::{ExpressionError, Fault, Shown};

/// What the language keeps for itself (contract 4.3).
const RESERVED: &str = "array as break case const continue default else fallthrough float for func function goto if \
                        import in int let loop map namespace number object package range return string struct switch \
                        type var void while";

/// A word of the language.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Word<'t> {
    /// A name, a literal such as `true`, or a reserved word.
    Name(&'t str),
    /// A number without sign.
    Number(f64),
    /// A whole single-quoted string.
    Text(String),
    /// The quote that begins a double-quoted string.
    Quote,
    /// An operator or a bracket.
    Symbol(Symbol),
    /// The end of the text.
    End,
}

/// The operators and brackets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Symbol {
    ParenthesisOpen,
    ParenthesisClose,
    BracketOpen,
    BracketClose,
    BraceOpen,
    BraceClose,
    Comma,
    Colon,
    Dot,
    Plus,
    Minus,
    Star,
    Slash,
    Percent,
    Not,
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    And,
    Or,
}

/// Tried in this order, so a longer symbol comes before its beginning.
const SYMBOLS: [(&str, Symbol); 23] = [
    ("==", Symbol::Equal),
    ("!=", Symbol::Unequal),
    ("<=", Symbol::LessOrEqual),
    (">=", Symbol::GreaterOrEqual),
    ("&&", Symbol::And),
    ("||", Symbol::Or),
    ("(", Symbol::ParenthesisOpen),
    (")", Symbol::ParenthesisClose),
    ("[", Symbol::BracketOpen),
    ("]", Symbol::BracketClose),
    ("{", Symbol::BraceOpen),
    ("}", Symbol::BraceClose),
    (",", Symbol::Comma),
    (":", Symbol::Colon),
    (".", Symbol::Dot),
    ("+", Symbol::Plus),
    ("-", Symbol::Minus),
    ("*", Symbol::Star),
    ("/", Symbol::Slash),
    ("%", Symbol::Percent),
    ("!", Symbol::Not),
    ("<", Symbol::Less),
    (">", Symbol::Greater),
];

/// Reads words from the text of a template.
#[derive(Debug)]
pub(crate) struct Lexer<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Lexer<'t> {
    /// Begins at the start of `text`.
    pub(crate) fn new(text: &'t str) -> Lexer<'t> {
        Lexer { text, at: 0 }
    }

    /// Returns the position of the next byte.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// Returns what was not read yet.
    pub(crate) fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    /// Returns the text from `start` up to what was not read yet.
    pub(crate) fn since(&self, start: usize) -> &'t str {
        &self.text[start..self.at]
    }

    /// Takes `bytes` bytes of [`rest`](Self::rest), which must end between two characters.
    pub(crate) fn skip(&mut self, bytes: usize) {
        self.at += bytes;
    }

    /// Takes white space and the next word; returns the word and where it began.
    pub(crate) fn word(&mut self) -> Result<(Word<'t>, usize), ExpressionError> {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_ascii_start().len();
        let start = self.at;
        let rest = self.rest();
        let Some(first) = rest.chars().next() else {
            return Ok((Word::End, start));
        };
        let word = if begins_number(rest) {
            self.number()?
        } else if is_name_start(first) {
            let bytes = rest.find(|c| !is_name_part(c)).unwrap_or(rest.len());
            self.skip(bytes);
            Word::Name(&rest[..bytes])
        } else if first == '"' {
            self.skip(1);
            Word::Quote
        } else if first == '\'' {
            self.skip(1);
            Word::Text(self.single_quoted(start)?)
        } else if let Some((written, symbol)) = SYMBOLS
            .iter()
            .find(|(written, _)| rest.starts_with(written))
        {
            self.skip(written.len());
            Word::Symbol(*symbol)
        } else {
            let found = Shown::quoted(first.encode_utf8(&mut [0; 4]));
            return Err(ExpressionError::new(start, Fault::Character { found }));
        };
        Ok((word, start))
    }

    fn number(&mut self) -> Result<Word<'t>, ExpressionError> {
        let (rest, start) = (self.rest(), self.at);
        let bytes = number_bytes(rest);
        // What follows without a gap belongs to it: `1e1e`, `1E-2.5`, `0x10` and `3px` are mistakes.
        let tail = rest[bytes..]
            .find(|c| !is_name_part(c) && c != '.')
            .unwrap_or(rest.len() - bytes);
        let written = &rest[..bytes + tail];
        self.skip(written.len());
        let malformed = Fault::NotANumber {
            text: Shown::quoted(written),
        };
        match written.parse::<f64>() {
            Ok(number) if tail == 0 && number.is_finite() => Ok(Word::Number(number)),
            Ok(_) if tail == 0 => Err(ExpressionError::new(start, Fault::LiteralOutOfRange)),
            Ok(_) | Err(_) => Err(ExpressionError::new(start, malformed)),
        }
    }

    /// Reads a single-quoted string after its first quote, which is at `start`.
    fn single_quoted(&mut self, start: usize) -> Result<String, ExpressionError> {
        let mut text = String::new();
        loop {
            let rest = self.rest();
            let Some(bytes) = rest.find(['\'', '\\']) else {
                return Err(ExpressionError::new(start, Fault::UnterminatedString));
            };
            text.push_str(&rest[..bytes]);
            self.skip(bytes);
            if rest[bytes..].starts_with('\'') {
                self.skip(1);
                return Ok(text);
            }
            match rest[bytes + 1..].chars().next() {
                Some(escaped @ ('\'' | '\\')) => text.push(escaped),
                Some(other) => return Err(self.bad_escape(1 + other.len_utf8())),
                None => return Err(ExpressionError::new(start, Fault::UnterminatedString)),
            }
            self.skip(2);
        }
    }

    /// Reads an escape of a double-quoted string, whose backslash is next. The string began at `start`.
    pub(crate) fn escape(&mut self, start: usize) -> Result<char, ExpressionError> {
        let unterminated = ExpressionError::new(start, Fault::UnterminatedString);
        let character = match self.rest().chars().nth(1).ok_or(unterminated)? {
            plain @ ('"' | '\\' | '/') => plain,
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'v' => '\u{b}',
            'u' => return self.unicode_escape(),
            other => return Err(self.bad_escape(1 + other.len_utf8())),
        };
        self.skip(2);
        Ok(character)
    }

    /// Reads `\uXXXX`, or two of them that make one character.
    fn unicode_escape(&mut self) -> Result<char, ExpressionError> {
        const BYTES: usize = "\\uXXXX".len();
        let Some(unit) = self.escaped_unit(0) else {
            let digits = self.rest()[2..]
                .bytes()
                .take(4)
                .take_while(u8::is_ascii_hexdigit);
            return Err(self.bad_escape(2 + digits.count()));
        };
        let pair = [unit, self.escaped_unit(BYTES).unwrap_or_default()];
        // A high half takes the low half that follows; every other unit stands for itself or is an error.
        let is_high = (0xD800..0xDC00).contains(&unit);
        let units = if is_high { &pair[..] } else { &pair[..1] };
        match char::decode_utf16(units.iter().copied()).next() {
            Some(Ok(character)) => {
                self.skip(BYTES * units.len());
                Ok(character)
            }
            Some(Err(_)) | None => Err(self.bad_escape(BYTES)),
        }
    }

    fn escaped_unit(&self, offset: usize) -> Option<u16> {
        let digits = self.rest().get(offset..)?.strip_prefix("\\u")?.get(..4)?;
        // `from_str_radix` would take a sign.
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        u16::from_str_radix(digits, 16).ok()
    }

    /// Says that the next `bytes` bytes are no escape.
    fn bad_escape(&self, bytes: usize) -> ExpressionError {
        let escape = Shown::quoted(&self.rest()[..bytes]);
        ExpressionError::new(self.at, Fault::Escape { escape })
    }
}

/// Returns how many bytes at the start of `text` are a number of the language: digits, perhaps a fraction, perhaps
/// an exponent; or a fraction alone. 0: none.
pub(crate) fn number_bytes(text: &str) -> usize {
    let digits = |from: usize| text[from..].bytes().take_while(u8::is_ascii_digit).count();
    let mut end = digits(0);
    if text[end..].starts_with('.') {
        let fraction = digits(end + 1);
        if fraction > 0 {
            end += 1 + fraction;
        }
    }
    if end > 0 && text[end..].starts_with(['e', 'E']) {
        let sign = usize::from(text[end + 1..].starts_with(['+', '-']));
        let exponent = digits(end + 1 + sign);
        if exponent > 0 {
            end += 1 + sign + exponent;
        }
    }
    end
}

/// Tells whether `word` can be no name by itself.
pub(crate) fn is_reserved(word: &str) -> bool {
    RESERVED.split(' ').any(|reserved| reserved == word)
}

/// Tells whether `text` can stand after a dot.
pub(crate) fn is_name(text: &str) -> bool {
    text.starts_with(is_name_start) && text.chars().all(is_name_part)
}

fn begins_number(text: &str) -> bool {
    let text = text.strip_prefix('.').unwrap_or(text);
    text.starts_with(|c: char| c.is_ascii_digit())
}

fn is_name_start(c: char) -> bool {
    c == '_' || c.is_alphabetic()
}

fn is_name_part(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}
