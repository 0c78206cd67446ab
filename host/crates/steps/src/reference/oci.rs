//! References to OCI images: `[REGISTRY/]REPOSITORY[:TAG or @DIGEST] [PATH/IN/IMAGE.yml]` (contract 3.4, 3.5).

use std::fmt;

use super::{ReferenceError, Shown, inner_path, inner_suffix};

/// The registry of a short reference that names none (contract 3.4).
const DEFAULT_REGISTRY: &str = "registry.gitlab.com";

/// The tag of a short reference that names none (contract 3.4).
const DEFAULT_TAG: &str = "latest";

/// Longest tag. Source: OCI distribution specification, "pulling manifests".
const TAG_BYTES_MAX: usize = 128;

/// Longest repository with its registry. Source: the same page, what clients accept.
const REPOSITORY_BYTES_MAX: usize = 255;

/// A function in an OCI image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OciReference {
    /// Host and perhaps port of the registry.
    pub registry: String,
    /// The repository in it.
    pub repository: String,
    /// Which image of the repository.
    pub version: OciVersion,
    /// The directory in the image, by parts.
    pub dir: Vec<String>,
    /// The file in it, when one was named.
    pub file: Option<String>,
}

/// Which image of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OciVersion {
    /// The image that a tag points to now.
    Tag(String),
    /// The image with this digest, `ALGORITHM:HEX`.
    Digest(String),
}

impl OciVersion {
    fn parse(text: &str) -> Option<Self> {
        if is_digest(text) {
            Some(Self::Digest(text.to_owned()))
        } else {
            is_tag(text).then(|| Self::Tag(text.to_owned()))
        }
    }
}

impl OciReference {
    /// Reads the short form.
    pub(super) fn parse_short(text: &str) -> Result<Self, ReferenceError> {
        let no_form = || ReferenceError::NoForm {
            text: Shown::new(text),
        };
        let (image, path) = text
            .split_once(|blank: char| blank.is_ascii_whitespace())
            .unwrap_or((text, ""));
        let path = path.trim_ascii();
        if path.contains(char::is_whitespace) {
            return Err(no_form());
        }
        let (name, version) = match image.split_once('@') {
            Some((name, digest)) if is_digest(digest) => {
                (name, OciVersion::Digest(digest.to_owned()))
            }
            Some(_) => return Err(no_form()),
            // A colon before the last slash is the registry's port.
            None => match image.rsplit_once(':') {
                Some((name, tag)) if !tag.contains('/') => {
                    (name, OciVersion::parse(tag).ok_or_else(no_form)?)
                }
                _ => (image, OciVersion::Tag(DEFAULT_TAG.to_owned())),
            },
        };
        // As everywhere with images: what looks like a host is one.
        let (registry, repository) = match name.split_once('/') {
            Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => (host, rest),
            _ => (DEFAULT_REGISTRY, name),
        };
        let (dir, file) = inner_path(path)?;
        Self::checked(registry, repository, version, dir, file).ok_or_else(no_form)
    }

    /// Puts the parts of the long form together; `tag` may be a digest. None when one of them is malformed.
    pub(super) fn from_parts(
        registry: &str,
        repository: &str,
        tag: &str,
        dir: Vec<String>,
        file: Option<String>,
    ) -> Option<Self> {
        Self::checked(registry, repository, OciVersion::parse(tag)?, dir, file)
    }

    fn checked(
        registry: &str,
        repository: &str,
        version: OciVersion,
        dir: Vec<String>,
        file: Option<String>,
    ) -> Option<Self> {
        let fits = is_registry(registry)
            && is_repository(repository)
            && registry.len() + repository.len() < REPOSITORY_BYTES_MAX;
        fits.then(|| Self {
            registry: registry.to_owned(),
            repository: repository.to_owned(),
            version,
            dir,
            file,
        })
    }
}

impl fmt::Display for OciReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        match &self.version {
            OciVersion::Tag(tag) => write!(f, ":{tag}")?,
            OciVersion::Digest(digest) => write!(f, "@{digest}")?,
        }
        inner_suffix(f, &self.dir, self.file.as_deref())
    }
}

/// Returns whether `text` has the form of a digest, `sha256:HEX` for example. No revision of git looks like that.
pub(super) fn is_digest(text: &str) -> bool {
    text.split_once(':').is_some_and(|(algorithm, hex)| {
        !algorithm.is_empty()
            && algorithm.bytes().all(|byte| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+._-".contains(&byte)
            })
            && hex.len() >= 32
            && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

fn is_tag(text: &str) -> bool {
    text.len() <= TAG_BYTES_MAX
        && !text.is_empty()
        && !text.starts_with(['.', '-'])
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

fn is_registry(text: &str) -> bool {
    let (host, port) = text
        .split_once(':')
        .map_or((text, None), |(host, port)| (host, Some(port)));
    !host.is_empty()
        && host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte))
        && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

/// Parts of lower-case letters and digits that only separators join, with nothing at the ends.
fn is_repository(text: &str) -> bool {
    text.split('/').all(|part| {
        part.bytes().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte)
        }) && !part.is_empty()
            && !part.starts_with(['.', '_', '-'])
            && !part.ends_with(['.', '_', '-'])
            && !part.contains("..")
    })
}
