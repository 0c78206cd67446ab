//! References to functions: their forms, and what each means (contract 3.4, 3.5).
//!
//! Promises: reading is total and does no I/O; what is shown never holds the credentials of a URL.
//! Never does: look anything up. That is `resolve`, and later the fetchers.
//!
//! The order of decision for a text: an expression, then `.` or `/`, then `builtin://`, then `@` (git), else OCI.

use std::fmt;
use std::sync::Arc;

use stephost_expr::{ExpressionError, Scope, Template};

use crate::code::Code;
use crate::limits::{REFERENCE_BYTES_MAX, REFERENCE_SHOWN_CHARS_MAX};
use crate::quoted::Quoted;

mod oci;
pub(crate) mod read;

pub use oci::{OciReference, OciVersion};

/// What every file name of a function ends with; `.yaml` is a directory's name (contract 3.4).
const FILE_SUFFIX: &str = ".yml";

/// Where a short git reference looks inside a repository (contract 3.4).
const SHORT_GIT_DIR: &str = "steps";

/// Which function a step calls.
#[derive(Debug, Clone)]
pub enum Reference {
    /// A directory or file on the job's file system.
    Local(LocalReference),
    /// A function of the host, by the name after `builtin://`. `dist://` is read as the same.
    Builtin(Arc<str>),
    /// A file in a git repository.
    Git(GitReference),
    /// A file in an OCI image.
    Oci(OciReference),
    /// A text with expressions, read again when the step is reached.
    Dynamic(Template),
}

/// A function on the job's file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalReference {
    /// The directory as it was written; relative ones are relative to the definition that holds the reference.
    pub dir: String,
    /// The file in it, when one was named.
    pub file: Option<String>,
}

/// A function in a git repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitReference {
    /// Where the repository is, always with a scheme; `https` when none was written.
    pub url: String,
    /// Tag, branch or commit.
    pub rev: String,
    /// The directory below the repository's root, by parts. Short references start with `steps`.
    pub dir: Vec<String>,
    /// The file in it, when one was named.
    pub file: Option<String>,
}

/// The text is not a reference.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ReferenceError {
    /// Nothing was written.
    #[error("reference is empty")]
    Empty,
    /// More text than any path or URL.
    #[error("reference of {found} bytes is too long, the limit is {REFERENCE_BYTES_MAX}")]
    TooLong {
        /// Its length in bytes.
        found: usize,
    },
    /// A control character, a line break perhaps.
    #[error("reference {text} holds a control character")]
    ControlCharacter {
        /// The reference.
        text: Shown,
    },
    /// No host function can have this name.
    #[error("`{scheme}://` must be followed by the name of a host function, found {name}")]
    BuiltinName {
        /// The scheme that was used.
        scheme: &'static str,
        /// What followed it.
        name: Shown,
    },
    /// A repository without a revision, or the other way round.
    #[error("expecting url@rev, found {text}")]
    GitForm {
        /// The reference.
        text: Shown,
    },
    /// The path would leave the repository or the image.
    #[error("path {path} must stay inside the repository or image: `..` is not allowed")]
    PathEscapes {
        /// The path.
        path: Shown,
    },
    /// None of the forms fits.
    #[error(
        "{text} is no reference: write `./DIR`, `builtin://NAME`, `URL@REV` or `[REGISTRY/]REPOSITORY[:TAG] [FILE]`"
    )]
    NoForm {
        /// The reference.
        text: Shown,
    },
    /// An expression in the reference is broken or failed.
    #[error(transparent)]
    Expression(#[from] ExpressionError),
    /// The value of an expression holds expressions again, which are not expanded a second time.
    #[error(
        "reference {text} still holds an expression after expansion: values are not expanded again"
    )]
    ExpandsTwice {
        /// The reference after the first expansion.
        text: Shown,
    },
}

impl ReferenceError {
    /// Returns the code under which the fault is explained.
    pub fn code(&self) -> &'static str {
        let code = match self {
            Self::Empty
            | Self::TooLong { .. }
            | Self::ControlCharacter { .. }
            | Self::NoForm { .. } => Code::R001,
            Self::BuiltinName { .. } => Code::R002,
            Self::GitForm { .. } => Code::R003,
            Self::PathEscapes { .. } => Code::R004,
            Self::Expression(error) => return error.fault().code().as_str(),
            Self::ExpandsTwice { .. } => Code::R006,
        };
        code.as_str()
    }
}

/// A reference or a piece of one in a message: cut, escaped, between backquotes, without the credentials of a URL.
#[derive(Clone, PartialEq, Eq)]
pub struct Shown(Quoted);

impl Shown {
    pub(crate) fn new(text: &str) -> Self {
        Self(Quoted::cut(
            &without_credentials(text),
            REFERENCE_SHOWN_CHARS_MAX,
        ))
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Reference {
    /// Reads the short form of a reference.
    ///
    /// # Errors
    /// [`ReferenceError`] when no form fits. That a function exists is not known here.
    pub fn parse_short(text: &str) -> Result<Self, ReferenceError> {
        let text = checked(text)?;
        if text.contains("${{") {
            return Ok(Self::Dynamic(Template::parse(text)?));
        }
        if text.starts_with(['.', '/']) {
            return Ok(Self::Local(LocalReference::parse(text)));
        }
        for scheme in ["builtin", "dist"] {
            if let Some(name) = text
                .strip_prefix(scheme)
                .and_then(|rest| rest.strip_prefix("://"))
            {
                return builtin(scheme, name);
            }
        }
        // Only an OCI reference has blanks: they separate the image from the path in it.
        let image = text.split_ascii_whitespace().next().unwrap_or(text);
        match image.rsplit_once('@') {
            Some((repository, version))
                if image.len() == text.len() && !oci::is_digest(version) =>
            {
                GitReference::parse_short(repository, version).map(Self::Git)
            }
            None if image.contains("://") => Err(ReferenceError::GitForm {
                text: Shown::new(text),
            }),
            Some(_) | None => OciReference::parse_short(text).map(Self::Oci),
        }
    }

    /// Returns the reference that a dynamic one means in `scope`; every other is returned as it is.
    ///
    /// The result is never dynamic: a value that brings expressions of its own was not written by the author of the
    /// steps (contract K27).
    ///
    /// # Errors
    /// [`ReferenceError`] when the expression fails or its value is no reference.
    pub fn expand(&self, scope: &dyn Scope) -> Result<Self, ReferenceError> {
        let Self::Dynamic(template) = self else {
            return Ok(self.clone());
        };
        let value = template.evaluate_text(scope)?;
        let text = value.as_str().unwrap_or_default();
        match Self::parse_short(text)? {
            Self::Dynamic(_) => Err(ReferenceError::ExpandsTwice {
                text: Shown::new(text),
            }),
            expanded => Ok(expanded),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(local) => local.fmt(f),
            Self::Builtin(name) => write!(f, "builtin://{name}"),
            Self::Git(git) => git.fmt(f),
            Self::Oci(oci) => oci.fmt(f),
            Self::Dynamic(template) => f.write_str(template.source()),
        }
    }
}

/// Refuses what no form of a reference may be, and trims what a block scalar or a variable leaves at the ends.
fn checked(text: &str) -> Result<&str, ReferenceError> {
    let text = text.trim_ascii();
    if text.is_empty() {
        Err(ReferenceError::Empty)
    } else if text.len() > REFERENCE_BYTES_MAX {
        Err(ReferenceError::TooLong { found: text.len() })
    } else if text.contains(char::is_control) {
        Err(ReferenceError::ControlCharacter {
            text: Shown::new(text),
        })
    } else {
        Ok(text)
    }
}

fn builtin(scheme: &'static str, name: &str) -> Result<Reference, ReferenceError> {
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(ReferenceError::BuiltinName {
            scheme,
            name: Shown::new(name),
        });
    }
    Ok(Reference::Builtin(name.into()))
}

impl LocalReference {
    fn parse(text: &str) -> Self {
        match text.rsplit_once('/') {
            Some((dir, file)) if file.ends_with(FILE_SUFFIX) => {
                let dir = if dir.is_empty() { "/" } else { dir };
                Self {
                    dir: dir.to_owned(),
                    file: Some(file.to_owned()),
                }
            }
            _ => Self {
                dir: text.to_owned(),
                file: None,
            },
        }
    }

    /// Returns the reference as text, with `file` instead of its own file.
    pub(crate) fn with_file(&self, file: &str) -> String {
        let separator = if self.dir.ends_with('/') { "" } else { "/" };
        format!("{}{separator}{file}", self.dir)
    }
}

impl fmt::Display for LocalReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => f.write_str(&self.with_file(file)),
            None => f.write_str(&self.dir),
        }
    }
}

impl GitReference {
    /// Reads `url[/-/path[/file.yml]]` with the revision that followed it.
    fn parse_short(repository: &str, rev: &str) -> Result<Self, ReferenceError> {
        let (url, path) = repository.split_once("/-/").unwrap_or((repository, ""));
        let (mut dir, file) = inner_path(path)?;
        dir.insert(0, SHORT_GIT_DIR.to_owned());
        Self::checked(url, rev, dir, file)
    }

    /// Completes and checks the parts that both forms have.
    fn checked(
        url: &str,
        rev: &str,
        dir: Vec<String>,
        file: Option<String>,
    ) -> Result<Self, ReferenceError> {
        // Git allows neither blanks nor colons in the name of a revision: this `@` belonged to something else.
        let rev_fits = !rev.is_empty()
            && !rev.contains(|character: char| character == ':' || character.is_whitespace());
        let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
        if !rev_fits || after_scheme.is_empty() || url.contains(char::is_whitespace) {
            return Err(ReferenceError::GitForm {
                text: Shown::new(&format!("{url}@{rev}")),
            });
        }
        let url = if url.contains("://") {
            url.to_owned()
        } else {
            format!("https://{url}")
        };
        Ok(Self {
            url,
            rev: rev.to_owned(),
            dir,
            file,
        })
    }
}

impl fmt::Display for GitReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = without_credentials(&self.url);
        let url = url.strip_prefix("https://").unwrap_or(&url);
        match self.dir.split_first() {
            // The short form can say it.
            Some((first, rest)) if first == SHORT_GIT_DIR => {
                let path: Vec<&str> = rest.iter().chain(&self.file).map(String::as_str).collect();
                let separator = if path.is_empty() { "" } else { "/-/" };
                write!(f, "{url}{separator}{}@{}", path.join("/"), self.rev)
            }
            _ => {
                write!(f, "{url}@{}", self.rev)?;
                inner_suffix(f, &self.dir, self.file.as_deref())
            }
        }
    }
}

/// Splits a path inside a repository or image into directory and file.
fn inner_path(path: &str) -> Result<(Vec<String>, Option<String>), ReferenceError> {
    let mut dir = inner_dir(path)?;
    let file = dir.pop_if(|last| last.ends_with(FILE_SUFFIX));
    Ok((dir, file))
}

/// Splits a directory inside a repository or image into its parts.
fn inner_dir(path: &str) -> Result<Vec<String>, ReferenceError> {
    let parts = path
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".");
    if parts.clone().any(|part| part == "..") {
        return Err(ReferenceError::PathEscapes {
            path: Shown::new(path),
        });
    }
    Ok(parts.map(str::to_owned).collect())
}

/// Writes the path inside a repository or image behind a blank, if there is one.
fn inner_suffix(f: &mut fmt::Formatter<'_>, dir: &[String], file: Option<&str>) -> fmt::Result {
    let path: Vec<&str> = dir.iter().map(String::as_str).chain(file).collect();
    if path.is_empty() {
        Ok(())
    } else {
        write!(f, " {}", path.join("/"))
    }
}

/// Replaces `user:password@` in a URL. What is shown ends up in logs and status messages.
fn without_credentials(url: &str) -> std::borrow::Cow<'_, str> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.into();
    };
    let authority = rest
        .split_once('/')
        .map_or(rest, |(authority, _)| authority);
    match authority.rsplit_once('@') {
        Some((credentials, _)) if credentials.contains(':') || rest.len() > authority.len() => {
            format!("{scheme}://***{}", &rest[credentials.len()..]).into()
        }
        _ => url.into(),
    }
}
