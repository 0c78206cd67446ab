//! YAML text to a marked tree: every value and every key knows its place.
//!
//! Promises: bounded size, depth and alias expansion; duplicate keys are refused; scalars keep their source text
//! until a reader asks what they mean ([`Scalar::meaning`]). Merge keys (`<<`) are merged as Go's `yaml.v3` does:
//! own keys win, then the earlier object of a list.
//! Never does: know what a key is for. Called by: `document`, and by readers of other files that hold steps
//! ([`read_documents`](crate::read_documents)).

use std::collections::HashSet;
use std::rc::Rc;

use granit_parser::{Event, Parser, ScalarStyle, Tag};

use crate::document::Notes;
use crate::error::{Fault, Problem};
use crate::limits::{ALIASED_BYTES_MAX, ALIASED_NODES_MAX, DEPTH_MAX, NODES_MAX};
use crate::place::Place;
use crate::quoted::Quoted;

mod scalar;

pub use scalar::Meaning;

/// A value of a text and where it stands. A clone shares what is below.
#[derive(Debug, Clone)]
pub struct Node {
    /// Where it begins.
    pub place: Place,
    /// A tag of the text's own, as `!reference`; only readers that ask for tags see one.
    pub tag: Option<Rc<str>>,
    /// What it is.
    pub content: Content,
}

/// The three shapes of YAML.
#[derive(Debug, Clone)]
pub enum Content {
    /// One value.
    Scalar(Scalar),
    /// An array.
    Sequence(Rc<[Node]>),
    /// An object, in the order of the text.
    Mapping(Rc<[(Key, Node)]>),
}

/// What becomes of tags that YAML itself does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tags {
    /// They are errors.
    Refuse,
    /// They are kept; what is below them is read as if they were not there.
    Keep,
}

/// A scalar as it was written.
#[derive(Debug, Clone)]
pub struct Scalar {
    /// The text after YAML's own escapes.
    pub text: Rc<str>,
    /// Whether the text is a string whatever it looks like: quoted, a block, or tagged so.
    string: bool,
}

/// A key of a mapping: its source text, so that `1` and `"1"` are the same key.
#[derive(Debug, Clone)]
pub struct Key {
    /// The text.
    pub text: Rc<str>,
    /// Where it stands.
    pub place: Place,
}

impl Scalar {
    /// Returns whether the text decides by itself what it means: neither quotes nor a tag say that it is a string.
    pub(crate) fn is_plain(&self) -> bool {
        !self.string
    }

    /// Returns what the scalar means when nobody expects a certain type.
    pub fn meaning(&self) -> Meaning {
        if self.string {
            Meaning::Text
        } else {
            scalar::meaning(&self.text)
        }
    }
}

impl Node {
    /// Returns the word for this value in a message.
    pub fn noun(&self) -> &'static str {
        match &self.content {
            Content::Scalar(scalar) => match scalar.meaning() {
                Meaning::Null => "null",
                Meaning::Boolean(_) => "a boolean",
                Meaning::Number(_) | Meaning::NotFinite => "a number",
                Meaning::Text => "a string",
            },
            Content::Sequence(_) => "an array",
            Content::Mapping(_) => "an object",
        }
    }

    /// Returns whether this is null, written out or left out.
    pub fn is_null(&self) -> bool {
        matches!(&self.content, Content::Scalar(scalar) if scalar.meaning() == Meaning::Null)
    }
}

/// What [`read`] found: at most as many documents as were asked for, and where a further one begins.
pub(crate) struct Stream {
    pub(crate) documents: Vec<Node>,
    pub(crate) surplus: Option<Place>,
    pub(crate) end: Place,
}

/// Reads up to `documents_max` documents of `text` and stops there.
pub(crate) fn read(
    text: &str,
    documents_max: usize,
    tags: Tags,
    notes: &mut Notes,
) -> Result<Stream, Problem> {
    let options = granit_parser::options! {
        // One more than ours, so that the depth is refused in our words.
        flow_nesting_limit: DEPTH_MAX + 1,
        block_nesting_limit: DEPTH_MAX + 1,
        emit_comments: false,
    };
    let mut builder = Builder::new(tags, notes);
    let mut stream = Stream {
        documents: Vec::new(),
        surplus: None,
        end: Place::START,
    };
    for next in Parser::new_from_str_with_options(text, options) {
        let (event, span) = next.map_err(|error| syntax(&error))?;
        let place = Place::of_span(&span);
        stream.end = Place::of_marker(&span.start);
        match event {
            Event::StreamEnd => break,
            Event::DocumentStart(..) if stream.documents.len() == documents_max => {
                stream.surplus = Some(place);
                break;
            }
            Event::DocumentStart(..) => builder.start_document(),
            Event::DocumentEnd => stream.documents.extend(builder.root.take()),
            Event::Scalar(text, style, anchor, tag) => {
                // An absent value is reported as `~`; as a key it would otherwise pass for a name.
                let text = if span.is_empty() && style == ScalarStyle::Plain {
                    ""
                } else {
                    &*text
                };
                builder.scalar(place, text, style, anchor, tag.as_deref())?;
            }
            Event::SequenceStart(_, anchor, tag) => {
                let tag = builder.tag(place, tag.as_deref(), "seq")?;
                builder.open(place, anchor, tag, Holding::Sequence(Vec::new()))?;
            }
            Event::MappingStart(_, anchor, tag) => {
                let tag = builder.tag(place, tag.as_deref(), "map")?;
                builder.open(place, anchor, tag, Holding::mapping())?;
            }
            Event::SequenceEnd | Event::MappingEnd => builder.close(place)?,
            Event::Alias(anchor) => builder.alias(place, anchor)?,
            // The stream's start says nothing; comments and metadata are switched off above. The enum is open: what
            // a later parser adds is metadata too, or it would break every reader of today's events.
            _ => {}
        }
    }
    Ok(stream)
}

fn syntax(error: &granit_parser::ScanError) -> Problem {
    let fault = match error.kind() {
        granit_parser::ErrorKind::RecursionLimitExceeded => Fault::TooDeep,
        kind => Fault::Syntax(kind.clone()),
    };
    Problem::new(Place::of_marker(error.marker()), fault)
}

fn unsupported(place: Place, tag: &Tag) -> Problem {
    Problem::new(
        place,
        Fault::Tag {
            tag: Quoted::new(&tag.original()),
        },
    )
}

/// The lone `!`, which asks for the kind of the value as it stands.
fn is_non_specific(tag: &Tag) -> bool {
    tag.original() == "!"
}

/// A finished value with its size, as if every alias in it were written out.
#[derive(Clone)]
struct Measured {
    node: Node,
    nodes: usize,
    bytes: usize,
    height: usize,
}

/// A collection that is still open.
struct Frame {
    place: Place,
    anchor: usize,
    tag: Option<Rc<str>>,
    holding: Holding,
    nodes: usize,
    bytes: usize,
    height: usize,
}

enum Holding {
    Sequence(Vec<Node>),
    Mapping {
        entries: Vec<(Key, Node)>,
        keys: HashSet<Rc<str>>,
        pending: Option<Key>,
        merge: Option<(Place, usize)>,
    },
}

impl Holding {
    fn mapping() -> Self {
        Self::Mapping {
            entries: Vec::new(),
            keys: HashSet::new(),
            pending: None,
            merge: None,
        }
    }
}

/// Puts events together. A stack of frames instead of recursion: depth costs heap, and little of it.
struct Builder<'a> {
    tags: Tags,
    notes: &'a mut Notes,
    frames: Vec<Frame>,
    root: Option<Node>,
    /// Finished anchored values by the parser's id, which counts from 1.
    anchors: Vec<Option<Measured>>,
    nodes: usize,
    aliased_nodes: usize,
    aliased_bytes: usize,
}

impl<'a> Builder<'a> {
    fn new(tags: Tags, notes: &'a mut Notes) -> Self {
        Self {
            tags,
            notes,
            frames: Vec::new(),
            root: None,
            anchors: Vec::new(),
            nodes: 0,
            aliased_nodes: 0,
            aliased_bytes: 0,
        }
    }

    fn start_document(&mut self) {
        self.frames.clear();
        self.root = None;
        // Anchors do not reach into the next document: the parser reports those as unknown.
    }

    /// Returns the tag of a collection, if it says more than what the collection is anyway.
    fn tag(
        &mut self,
        place: Place,
        tag: Option<&Tag>,
        own: &str,
    ) -> Result<Option<Rc<str>>, Problem> {
        match (tag, self.tags) {
            (None, _) => Ok(None),
            (Some(tag), _) if tag.is_yaml_core_schema_tag(own) || is_non_specific(tag) => Ok(None),
            (Some(tag), Tags::Keep) => Ok(Some(tag.original().as_str().into())),
            (Some(tag), Tags::Refuse) => self.notes.hold(unsupported(place, tag)).map(|()| None),
        }
    }

    fn scalar(
        &mut self,
        place: Place,
        text: &str,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
    ) -> Result<(), Problem> {
        let mut kept = None;
        let string = match tag {
            None => style != ScalarStyle::Plain,
            Some(tag) if tag.is_yaml_core_schema_tag("str") || is_non_specific(tag) => true,
            Some(tag) => {
                let fits = match scalar::meaning(text) {
                    Meaning::Null => tag.is_yaml_core_schema_tag("null"),
                    Meaning::Boolean(_) => tag.is_yaml_core_schema_tag("bool"),
                    Meaning::Number(number) => {
                        tag.is_yaml_core_schema_tag("float")
                            || (tag.is_yaml_core_schema_tag("int") && number.fract() == 0.0)
                    }
                    Meaning::NotFinite => tag.is_yaml_core_schema_tag("float"),
                    Meaning::Text => false,
                };
                if !fits {
                    match self.tags {
                        Tags::Keep => kept = Some(tag.original().as_str().into()),
                        Tags::Refuse => self.notes.hold(unsupported(place, tag))?,
                    }
                }
                !fits && style != ScalarStyle::Plain
            }
        };
        self.count(place)?;
        let scalar = Scalar {
            text: text.into(),
            string,
        };
        if let Some(Frame {
            holding:
                Holding::Mapping {
                    pending: pending @ None,
                    merge,
                    entries,
                    keys,
                },
            bytes,
            ..
        }) = self.frames.last_mut()
        {
            if anchor != 0 {
                let node = Node {
                    place,
                    tag: kept,
                    content: Content::Scalar(scalar.clone()),
                };
                remember(
                    &mut self.anchors,
                    anchor,
                    Measured {
                        node,
                        nodes: 1,
                        bytes: text.len(),
                        height: 0,
                    },
                );
            }
            *bytes += scalar.text.len();
            if !string && text == "<<" {
                *merge = Some((place, entries.len()));
            }
            *pending = Some(key(place, scalar.text, keys, entries, self.notes)?);
            return Ok(());
        }
        let node = Node {
            place,
            tag: kept,
            content: Content::Scalar(scalar),
        };
        self.finish(
            anchor,
            Measured {
                node,
                nodes: 1,
                bytes: text.len(),
                height: 0,
            },
        )
    }

    fn open(
        &mut self,
        place: Place,
        anchor: usize,
        tag: Option<Rc<str>>,
        holding: Holding,
    ) -> Result<(), Problem> {
        self.count(place)?;
        if self.frames.len() >= DEPTH_MAX {
            return Err(Problem::new(place, Fault::TooDeep));
        }
        if self.awaits_key() {
            let found = match holding {
                Holding::Sequence(_) => "an array",
                Holding::Mapping { .. } => "an object",
            };
            return Err(Problem::new(place, Fault::KeyShape { found }));
        }
        self.frames.push(Frame {
            place,
            anchor,
            tag,
            holding,
            nodes: 1,
            bytes: 0,
            height: 0,
        });
        Ok(())
    }

    /// `last` is where its end is: the bracket, or nothing at all.
    fn close(&mut self, last: Place) -> Result<(), Problem> {
        let Some(frame) = self.frames.pop() else {
            return Ok(());
        };
        let content = match frame.holding {
            Holding::Sequence(items) => Content::Sequence(items.into()),
            Holding::Mapping {
                entries,
                keys,
                merge: Some((place, at)),
                ..
            } => Content::Mapping(merged(entries, keys, place, at, self.notes)?.into()),
            Holding::Mapping { entries, .. } => Content::Mapping(entries.into()),
        };
        // In brackets it reaches to the last one. A block is shown by its first key, or by its first dash.
        let end = match &content {
            _ if !last.bytes().is_empty() => last.end(),
            Content::Mapping(entries) => entries
                .first()
                .map_or(frame.place.end(), |(key, _)| key.place.end()),
            Content::Sequence(_) | Content::Scalar(_) => frame.place.end(),
        };
        let node = Node {
            place: frame.place.until(end),
            tag: frame.tag,
            content,
        };
        self.finish(
            frame.anchor,
            Measured {
                node,
                nodes: frame.nodes,
                bytes: frame.bytes,
                height: frame.height + 1,
            },
        )
    }

    fn alias(&mut self, place: Place, anchor: usize) -> Result<(), Problem> {
        self.count(place)?;
        let Some(Some(measured)) = self.anchors.get(anchor).cloned() else {
            return Err(Problem::new(place, Fault::AliasLoop));
        };
        self.aliased_nodes = self.aliased_nodes.saturating_add(measured.nodes);
        self.aliased_bytes = self.aliased_bytes.saturating_add(measured.bytes);
        if self.aliased_nodes > ALIASED_NODES_MAX || self.aliased_bytes > ALIASED_BYTES_MAX {
            return Err(Problem::new(place, Fault::AliasBomb));
        }
        if self.frames.len() + measured.height > DEPTH_MAX {
            return Err(Problem::new(place, Fault::TooDeep));
        }
        if self.awaits_key() {
            let Content::Scalar(scalar) = measured.node.content else {
                return Err(Problem::new(
                    place,
                    Fault::KeyShape {
                        found: measured.node.noun(),
                    },
                ));
            };
            if let Some(Frame {
                holding:
                    Holding::Mapping {
                        pending,
                        keys,
                        entries,
                        ..
                    },
                bytes,
                ..
            }) = self.frames.last_mut()
            {
                *bytes += measured.bytes;
                *pending = Some(key(place, scalar.text, keys, entries, self.notes)?);
            }
            return Ok(());
        }
        self.finish(0, measured)
    }

    fn awaits_key(&self) -> bool {
        matches!(
            self.frames.last(),
            Some(Frame {
                holding: Holding::Mapping { pending: None, .. },
                ..
            })
        )
    }

    /// Hands a finished value to whatever holds it.
    fn finish(&mut self, anchor: usize, measured: Measured) -> Result<(), Problem> {
        if anchor != 0 {
            remember(&mut self.anchors, anchor, measured.clone());
        }
        let Some(frame) = self.frames.last_mut() else {
            self.root = Some(measured.node);
            return Ok(());
        };
        frame.nodes = frame.nodes.saturating_add(measured.nodes);
        frame.bytes = frame.bytes.saturating_add(measured.bytes);
        frame.height = frame.height.max(measured.height);
        match &mut frame.holding {
            Holding::Sequence(items) => items.push(measured.node),
            // A collection cannot get here without a key: `open` and `alias` refuse it.
            Holding::Mapping {
                entries, pending, ..
            } => {
                entries.extend(pending.take().map(|key| (key, measured.node)));
            }
        }
        Ok(())
    }

    fn count(&mut self, place: Place) -> Result<(), Problem> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            Err(Problem::new(place, Fault::TooManyNodes))
        } else {
            Ok(())
        }
    }
}

fn remember(anchors: &mut Vec<Option<Measured>>, anchor: usize, measured: Measured) {
    if anchors.len() <= anchor {
        anchors.resize(anchor + 1, None);
    }
    anchors[anchor] = Some(measured);
}

fn key(
    place: Place,
    text: Rc<str>,
    keys: &mut HashSet<Rc<str>>,
    entries: &[(Key, Node)],
    notes: &mut Notes,
) -> Result<Key, Problem> {
    if text.is_empty() {
        return Err(Problem::new(place, Fault::KeyShape { found: "nothing" }));
    }
    if !keys.insert(Rc::clone(&text)) {
        let first = entries.iter().find(|(key, _)| key.text == text);
        let fault = Fault::DuplicateKey {
            key: Quoted::new(&text),
            first: first.map(|(key, _)| key.place),
        };
        notes.hold(Problem::new(place, fault))?;
    }
    Ok(Key { text, place })
}

/// Replaces the merge key at index `at` by what it brings.
fn merged(
    mut entries: Vec<(Key, Node)>,
    mut keys: HashSet<Rc<str>>,
    place: Place,
    at: usize,
    notes: &mut Notes,
) -> Result<Vec<(Key, Node)>, Problem> {
    if at >= entries.len() {
        return Ok(entries);
    }
    let (_, value) = entries.remove(at);
    let sources = match &value.content {
        Content::Mapping(_) => std::slice::from_ref(&value),
        Content::Sequence(items) => items,
        Content::Scalar(_) => {
            notes.hold(Problem::new(place, Fault::MergeShape))?;
            &[]
        }
    };
    for source in sources {
        let Content::Mapping(brought) = &source.content else {
            notes.hold(Problem::new(source.place, Fault::MergeShape))?;
            continue;
        };
        for (key, node) in brought.iter() {
            if keys.insert(Rc::clone(&key.text)) {
                entries.push((key.clone(), node.clone()));
            }
        }
    }
    Ok(entries)
}
