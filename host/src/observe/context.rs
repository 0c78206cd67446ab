//! Whose trace a job is part of: what a client says in the metadata of its Run call (W3C Trace Context), as a value.
//!
//! Promises: a [`TraceContext`] is well formed, whoever sent it; nothing else of what was sent is kept. Pure. Made by
//! `server` of metadata and by [`super::spans`] of a span's own ids; reaches the programs of steps as the variables
//! [`TRACEPARENT`] and [`TRACESTATE`].

/// The variable, and in lower case the metadata, that names trace and parent.
pub(crate) const TRACEPARENT: &str = "TRACEPARENT";
/// The variable, and in lower case the metadata, with what tracing systems say to each other.
pub(crate) const TRACESTATE: &str = "TRACESTATE";

/// Longest tracestate that is passed on, in bytes: what the standard asks everybody to pass on.
const STATE_BYTES_MAX: usize = 512;
/// Most members of a tracestate.
const STATE_MEMBERS_MAX: usize = 32;
/// Longest key and longest value of a member.
const MEMBER_BYTES_MAX: usize = 256;

/// A place in a trace: a trace, a span of it, and what is known beside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TraceContext {
    trace: u128,
    span: u64,
    flags: u8,
    state: Option<Box<str>>,
}

/// Why there is no [`TraceContext`]. Holds nothing of what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ContextFault {
    /// Not four fields of the lengths of version 00, in lower-case hexadecimal digits.
    #[error("not of the form 00-TRACE-PARENT-FLAGS")]
    Form,
    /// A version that may mean something else.
    #[error("of another version than 00")]
    Version,
    /// An id of zeros, which stands for none.
    #[error("an id is zero")]
    Zero,
}

impl TraceContext {
    /// Reads a traceparent of version 00.
    ///
    /// # Errors
    ///
    /// [`ContextFault`]; a client that is not understood has no trace.
    pub(crate) fn parse(parent: &str) -> Result<TraceContext, ContextFault> {
        let mut fields = parent.split('-');
        let mut field = |digits: usize| {
            let field = fields.next().unwrap_or_default();
            let is_lower_hex = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            if field.len() == digits && field.bytes().all(is_lower_hex) {
                u128::from_str_radix(field, 16).map_err(|_| ContextFault::Form)
            } else {
                Err(ContextFault::Form)
            }
        };
        if field(2)? != 0 {
            return Err(ContextFault::Version);
        }
        let (trace, span, flags) = (field(32)?, field(16)?, field(2)?);
        if fields.next().is_some() {
            return Err(ContextFault::Form);
        }
        if trace == 0 || span == 0 {
            return Err(ContextFault::Zero);
        }
        Ok(TraceContext {
            trace,
            // They have 16 and 2 digits.
            span: u64::try_from(span).map_err(|_| ContextFault::Form)?,
            flags: u8::try_from(flags).map_err(|_| ContextFault::Form)?,
            state: None,
        })
    }

    /// The same with a tracestate, if that is one; false when it is not.
    pub(crate) fn add_state(&mut self, state: &str) -> bool {
        let is_state = is_state(state);
        if is_state {
            self.state = Some(state.into());
        }
        is_state
    }

    /// As the variables of a program.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (&'static str, String)> {
        let state = self.state.as_deref().map(str::to_owned);
        [(TRACEPARENT, self.parent())]
            .into_iter()
            .chain(state.map(|state| (TRACESTATE, state)))
    }

    fn parent(&self) -> String {
        let TraceContext {
            trace, span, flags, ..
        } = self;
        format!("00-{trace:032x}-{span:016x}-{flags:02x}")
    }
}

/// What the bridge to OpenTelemetry needs.
#[cfg(feature = "otlp")]
impl TraceContext {
    /// A span's own; `None` when an id is zero.
    pub(super) fn new(trace: u128, span: u64, flags: u8, state: &str) -> Option<TraceContext> {
        (trace != 0 && span != 0).then(|| TraceContext {
            trace,
            span,
            flags,
            state: is_state(state).then(|| state.into()),
        })
    }

    pub(super) fn trace(&self) -> u128 {
        self.trace
    }

    pub(super) fn span(&self) -> u64 {
        self.span
    }

    pub(super) fn flags(&self) -> u8 {
        self.flags
    }

    pub(super) fn state(&self) -> &str {
        self.state.as_deref().unwrap_or_default()
    }
}

fn is_state(text: &str) -> bool {
    if text.is_empty() || text.len() > STATE_BYTES_MAX {
        return false;
    }
    let mut keys = Vec::new();
    for member in text.split(',') {
        let member = member.trim_matches([' ', '\t']);
        // The standard has empty members in it.
        if member.is_empty() {
            continue;
        }
        let Some((key, value)) = member.split_once('=') else {
            return false;
        };
        if !is_key(key) || !is_value(value) || keys.contains(&key) {
            return false;
        }
        keys.push(key);
    }
    (1..=STATE_MEMBERS_MAX).contains(&keys.len())
}

fn is_key(key: &str) -> bool {
    let is_part = |part: &str| {
        let is_letter =
            |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/');
        part.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit())
            && part.bytes().all(is_letter)
    };
    key.len() <= MEMBER_BYTES_MAX
        && match key.split_once('@') {
            Some((tenant, system)) => is_part(tenant) && is_part(system),
            None => is_part(key),
        }
}

fn is_value(value: &str) -> bool {
    (1..=MEMBER_BYTES_MAX).contains(&value.len())
        && value
            .bytes()
            .all(|byte| matches!(byte, b' '..=b'~') && byte != b'=')
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_parent_is_of_version_00_and_nothing_else() {
        use ContextFault::{Form, Version, Zero};
        let table = [
            (PARENT, None),
            (
                "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
                None,
            ),
            (
                "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff",
                None,
            ),
            (
                "00-ffffffffffffffffffffffffffffffff-ffffffffffffffff-01",
                None,
            ),
            ("", Some(Form)),
            ("00", Some(Form)),
            ("00---", Some(Form)),
            (
                "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
                Some(Form),
            ),
            (
                "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
                Some(Form),
            ),
            (
                "00-0af7651916cd43dd8448eb211c80319cc-b7ad6b7169203331-01",
                Some(Form),
            ),
            (
                "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                Some(Form),
            ),
            (
                "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333-01",
                Some(Form),
            ),
            (
                "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1",
                Some(Form),
            ),
            (
                "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
                Some(Form),
            ),
            (
                "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-",
                Some(Form),
            ),
            (
                "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
                Some(Form),
            ),
            (
                " 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                Some(Form),
            ),
            (
                "00-0af7651916cd43dd8448eb211c80319ü-b7ad6b7169203331-01",
                Some(Form),
            ),
            (
                "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                Some(Version),
            ),
            (
                "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                Some(Version),
            ),
            (
                "00-00000000000000000000000000000000-b7ad6b7169203331-01",
                Some(Zero),
            ),
            (
                "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
                Some(Zero),
            ),
        ];
        for (text, fault) in table {
            let parsed = TraceContext::parse(text);
            assert_eq!(parsed.as_ref().err().copied(), fault, "{text}");
            if let Ok(context) = parsed {
                let variables: Vec<_> = context.variables().collect();
                assert_eq!(variables, [(TRACEPARENT, text.to_owned())], "unchanged");
            }
        }
    }

    #[test]
    fn a_state_is_a_list_of_the_standard_or_is_left_out() {
        let long_value = format!("a={}", "x".repeat(256));
        let too_long_value = format!("a={}", "x".repeat(257));
        let long = format!(
            "{},b={}",
            "a=".to_owned() + &"x".repeat(255),
            "y".repeat(252)
        );
        let too_long = format!("{long}y");
        let members = |count: usize| {
            let members: Vec<String> = (0..count).map(|at| format!("k{at}=v")).collect();
            members.join(",")
        };
        let (many, too_many) = (members(32), members(33));
        let table = [
            ("congo=t61rcWkgMzE", true),
            ("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", true),
            ("a=1 , b=2", true),
            ("a=1,,b=2", true),
            ("tenant@system=x", true),
            ("0a_-*/=!\"#$%&'()*+-./", true),
            (&long_value, true),
            (&long, true),
            (&many, true),
            ("", false),
            (",", false),
            ("a", false),
            ("a=", false),
            ("=a", false),
            ("A=1", false),
            ("a b=1", false),
            ("@a=1", false),
            ("a@b@c=1", false),
            ("a=1=2", false),
            ("a=1,a=2", false),
            ("a=\u{1b}[31m", false),
            ("a=\u{202e}", false),
            ("a=1\nb", false),
            (&too_long_value, false),
            (&too_long, false),
            (&too_many, false),
        ];
        assert_eq!((long.len(), too_long.len()), (512, 513));
        for (text, expected) in table {
            let mut context = TraceContext::parse(PARENT).unwrap();
            assert_eq!(context.add_state(text), expected, "{text:?}");
            let carried = context.variables().nth(1);
            let state = expected.then(|| (TRACESTATE, text.to_owned()));
            assert_eq!(carried, state, "{text:?}: unchanged or not at all");
        }
    }
}
