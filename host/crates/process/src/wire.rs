//! What host and supervisor say to each other: one packet each, over a socket that keeps packets whole.
//!
//! Both ends are the same program, so there is no version. Decoding is total all the same: what cannot be read is `None`, and the
//! reader treats it as the end of the other side. What the supervisor says is encoded without allocating.
//! Called by: `link` (host side), `supervisor`.

use std::time::Duration;
#[cfg(unix)]
use std::{
    collections::BTreeMap,
    ffi::{CStr, OsStr},
    path::Path,
};

#[cfg(unix)]
use crate::Plan;
use crate::{Exit, Survivor, Usage};

/// Largest packet to the supervisor; a larger plan takes several. Well below what a socket's buffer holds by default.
pub(crate) const REQUEST_BYTES_MAX: usize = 64 * 1024;
/// Room for everything that a supervisor says.
pub(crate) const TOLD_BYTES_MAX: usize = 128;

const PART: u8 = 1;
const START: u8 = 2;
const TERMINATE: u8 = 3;
const KILL: u8 = 4;
const INSIST: u8 = 5;
const DISMISS: u8 = 6;
/// Bytes before the plan's in a packet: what it is, and the step's number.
const HEAD_BYTES: usize = 5;

/// What the host asks for. Steps are numbered, so that a late stop never meets the next step.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Request<'a> {
    /// A part of a plan; more comes.
    Part(&'a [u8]),
    /// The last part of a plan, and the step's two outputs and its cgroup with it.
    Start { number: u32, part: &'a [u8] },
    /// Asks everybody to end.
    Terminate { number: u32 },
    /// Asks everybody once more, in the stronger way, where there is one.
    Insist { number: u32 },
    /// Kills everybody.
    Kill { number: u32 },
    /// Is said before the socket is closed by a host that lives.
    Dismiss,
}

impl Request<'_> {
    /// Reads a packet.
    pub(crate) fn decode(packet: &[u8]) -> Option<Request<'_>> {
        let (head, part) = packet.split_at_checked(HEAD_BYTES)?;
        let number = u32::from_le_bytes(head[1..].try_into().ok()?);
        match head[0] {
            PART => Some(Request::Part(part)),
            START => Some(Request::Start { number, part }),
            TERMINATE => Some(Request::Terminate { number }),
            INSIST => Some(Request::Insist { number }),
            KILL => Some(Request::Kill { number }),
            DISMISS => Some(Request::Dismiss),
            _ => None,
        }
    }
}

/// The packet that asks for a polite stop.
pub(crate) fn terminate(number: u32) -> [u8; HEAD_BYTES] {
    head(TERMINATE, number)
}

/// The packet that asks for the stronger polite stop.
pub(crate) fn insist(number: u32) -> [u8; HEAD_BYTES] {
    head(INSIST, number)
}

/// The packet that asks for a hard stop.
pub(crate) fn kill(number: u32) -> [u8; HEAD_BYTES] {
    head(KILL, number)
}

/// The packet that says that the supervisor is not needed any more.
#[cfg(any(test, target_os = "linux"))]
pub(crate) fn dismiss() -> [u8; HEAD_BYTES] {
    head(DISMISS, 0)
}

fn head(kind: u8, number: u32) -> [u8; HEAD_BYTES] {
    let mut head = [kind; HEAD_BYTES];
    head[1..].copy_from_slice(&number.to_le_bytes());
    head
}

/// The packets that start step `number`; the outputs go with the last one.
pub(crate) fn start(number: u32, plan: &[u8]) -> Vec<Vec<u8>> {
    let parts = plan.chunks(REQUEST_BYTES_MAX - HEAD_BYTES);
    let last = parts.len().saturating_sub(1);
    parts
        .enumerate()
        .map(|(index, part)| {
            let kind = if index == last { START } else { PART };
            [&head(kind, number), part].concat()
        })
        .collect()
}

/// Writes a plan, none of whose strings has a zero byte, for the program at `path`, started in `work_dir` and carrying the variable `mark`.
#[cfg(unix)]
pub(crate) fn encode_plan(
    plan: &Plan,
    path: &Path,
    work_dir: &Path,
    mark: Option<(&OsStr, &OsStr)>,
) -> Vec<u8> {
    // Of two values for one name the later one counts.
    let environment: BTreeMap<&OsStr, &OsStr> = plan
        .env
        .iter()
        .map(|(name, value)| (name.as_os_str(), value.as_os_str()))
        .chain(mark)
        .collect();
    let arguments = [&plan.program].into_iter().chain(&plan.args);
    let mut bytes = Vec::with_capacity(4096);
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes();
    bytes.extend(count(plan.args.len() + 1));
    bytes.extend(count(environment.len()));
    let mut put = |parts: &[&[u8]]| {
        for part in parts {
            bytes.extend_from_slice(part);
        }
        bytes.push(0);
    };
    put(&[path.as_os_str().as_encoded_bytes()]);
    put(&[work_dir.as_os_str().as_encoded_bytes()]);
    for argument in arguments {
        put(&[argument.as_encoded_bytes()]);
    }
    for (name, value) in environment {
        put(&[name.as_encoded_bytes(), b"=", value.as_encoded_bytes()]);
    }
    bytes
}

/// A plan as the supervisor reads it, in place.
#[cfg(unix)]
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ReadPlan<'a> {
    pub(crate) path: &'a CStr,
    pub(crate) work_dir: &'a CStr,
    pub(crate) arguments: Vec<&'a CStr>,
    pub(crate) environment: Vec<&'a CStr>,
}

/// Reads a plan.
#[cfg(unix)]
pub(crate) fn decode_plan(bytes: &[u8]) -> Option<ReadPlan<'_>> {
    let (counts, strings) = bytes.split_at_checked(8)?;
    let count = |bytes: &[u8]| {
        let count = u32::from_le_bytes(bytes.try_into().ok()?);
        usize::try_from(count).ok()
    };
    let (arguments, variables) = (count(&counts[..4])?, count(&counts[4..])?);
    let mut strings = strings
        .split_inclusive(|&byte| byte == 0)
        .map_while(|string| CStr::from_bytes_with_nul(string).ok());
    let plan = ReadPlan {
        path: strings.next()?,
        work_dir: strings.next()?,
        arguments: strings.by_ref().take(arguments).collect(),
        environment: strings.by_ref().take(variables).collect(),
    };
    let complete = plan.arguments.len() == arguments && plan.environment.len() == variables;
    (complete && strings.next().is_none()).then_some(plan)
}

/// The end of a step, as its supervisor tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct End {
    /// How the leader ended; `None` if it could not be killed.
    pub(crate) exit: Option<Exit>,
    /// A stop was asked for before the leader ended.
    pub(crate) signalled: bool,
    /// The kernel knows no descendant any more.
    pub(crate) empty: bool,
    /// How many processes the kill ended.
    pub(crate) killed: u32,
    /// When TERM was sent, counted from the start.
    pub(crate) terminated_after: Option<Duration>,
    /// When KILL was sent first.
    pub(crate) killed_after: Option<Duration>,
    /// What everybody used who was reaped.
    pub(crate) usage: Usage,
}

/// What a supervisor says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    /// The leader runs.
    Started { pid: i32 },
    /// The system refused to start the program.
    Failed { errno: i32 },
    /// The step's cgroup cannot be had; nothing was started.
    NotJoined { errno: i32 },
    /// Something that children inherit is not as it was; this supervisor starts nothing more.
    Retired,
    /// The leader has ended, others live on.
    LeaderEnded {
        exit: Exit,
        signalled: bool,
        usage: Usage,
        others: u32,
    },
    /// The kill was heard.
    Killing,
    /// Somebody could not be killed. Comes before the end.
    Survivor(Survivor),
    /// Nobody is left, or there is no more time.
    Over(End),
}

/// A packet under construction. What does not fit is cut; [`TOLD_BYTES_MAX`] is room for all.
pub(crate) struct Packet {
    bytes: [u8; TOLD_BYTES_MAX],
    len: usize,
}

impl Packet {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn put(&mut self, bytes: &[u8]) {
        let room = &mut self.bytes[self.len..];
        let fits = bytes.len().min(room.len());
        room[..fits].copy_from_slice(&bytes[..fits]);
        self.len += fits;
    }

    fn put_exit(&mut self, exit: Option<Exit>) {
        let (kind, value) = match exit {
            None => (0, 0),
            Some(Exit::Code(code)) => (1, code),
            Some(Exit::Signal(signal)) => (2, signal),
            Some(Exit::Dumped(signal)) => (3, signal),
        };
        self.put(&[kind]);
        self.put(&value.to_le_bytes());
    }

    fn put_time(&mut self, time: Option<Duration>) {
        let micros = time.map_or(u64::MAX, |time| {
            u64::try_from(time.as_micros()).unwrap_or(u64::MAX - 1)
        });
        self.put(&micros.to_le_bytes());
    }

    fn put_usage(&mut self, usage: &Usage) {
        self.put_time(Some(usage.user));
        self.put_time(Some(usage.system));
        self.put(&usage.peak_rss_kib.to_le_bytes());
    }

    fn put_text(&mut self, text: &str) {
        self.put(&[u8::try_from(text.len()).unwrap_or(u8::MAX)]);
        self.put(&text.as_bytes()[..text.len().min(usize::from(u8::MAX))]);
    }
}

impl Told {
    /// Writes the packet; allocates nothing.
    pub(crate) fn encode(&self) -> Packet {
        let mut packet = Packet {
            bytes: [0; TOLD_BYTES_MAX],
            len: 0,
        };
        match self {
            Told::Started { pid } => {
                packet.put(&[1]);
                packet.put(&pid.to_le_bytes());
            }
            Told::Failed { errno } => {
                packet.put(&[2]);
                packet.put(&errno.to_le_bytes());
            }
            Told::NotJoined { errno } => {
                packet.put(&[8]);
                packet.put(&errno.to_le_bytes());
            }
            Told::Retired => packet.put(&[3]),
            Told::LeaderEnded {
                exit,
                signalled,
                usage,
                others,
            } => {
                packet.put(&[4, u8::from(*signalled)]);
                packet.put_exit(Some(*exit));
                packet.put_usage(usage);
                packet.put(&others.to_le_bytes());
            }
            Told::Killing => packet.put(&[5]),
            Told::Survivor(survivor) => {
                packet.put(&[6, survivor.state]);
                packet.put(&survivor.pid.to_le_bytes());
                packet.put(&survivor.uid.to_le_bytes());
                packet.put(&[u8::from(survivor.refused)]);
                packet.put_text(&survivor.name);
                packet.put_text(&survivor.waits_in);
            }
            Told::Over(end) => {
                packet.put(&[7, u8::from(end.signalled), u8::from(end.empty)]);
                packet.put_exit(end.exit);
                packet.put(&end.killed.to_le_bytes());
                packet.put_time(end.terminated_after);
                packet.put_time(end.killed_after);
                packet.put_usage(&end.usage);
            }
        }
        packet
    }

    /// Reads a packet.
    pub(crate) fn decode(packet: &[u8]) -> Option<Told> {
        let mut rest = Rest(packet);
        let told = match rest.byte()? {
            1 => Told::Started { pid: rest.i32()? },
            2 => Told::Failed { errno: rest.i32()? },
            3 => Told::Retired,
            4 => {
                let signalled = rest.flag()?;
                Told::LeaderEnded {
                    signalled,
                    exit: rest.exit()??,
                    usage: rest.usage()?,
                    others: rest.u32()?,
                }
            }
            5 => Told::Killing,
            6 => Told::Survivor(Survivor {
                state: rest.byte()?,
                pid: rest.i32()?,
                uid: rest.u32()?,
                refused: rest.flag()?,
                name: rest.text()?,
                waits_in: rest.text()?,
            }),
            7 => Told::Over(End {
                signalled: rest.flag()?,
                empty: rest.flag()?,
                exit: rest.exit()?,
                killed: rest.u32()?,
                terminated_after: rest.time()?,
                killed_after: rest.time()?,
                usage: rest.usage()?,
            }),
            8 => Told::NotJoined { errno: rest.i32()? },
            _ => return None,
        };
        rest.0.is_empty().then_some(told)
    }
}

/// The part of a packet that was not read yet.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*head)
    }

    fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn flag(&mut self) -> Option<bool> {
        match self.byte()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    fn i32(&mut self) -> Option<i32> {
        self.array().map(i32::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn exit(&mut self) -> Option<Option<Exit>> {
        let kind = self.byte()?;
        let value = self.i32()?;
        match kind {
            0 => Some(None),
            1 => Some(Some(Exit::Code(value))),
            2 => Some(Some(Exit::Signal(value))),
            3 => Some(Some(Exit::Dumped(value))),
            _ => None,
        }
    }

    fn time(&mut self) -> Option<Option<Duration>> {
        let micros = self.u64()?;
        Some((micros != u64::MAX).then(|| Duration::from_micros(micros)))
    }

    fn usage(&mut self) -> Option<Usage> {
        Some(Usage {
            user: self.time()??,
            system: self.time()??,
            peak_rss_kib: self.u64()?,
        })
    }

    fn text(&mut self) -> Option<String> {
        let len = usize::from(self.byte()?);
        let (text, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(String::from_utf8_lossy(text).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn usage() -> Usage {
        Usage {
            user: Duration::from_micros(1_234_567),
            system: Duration::ZERO,
            peak_rss_kib: u64::MAX,
        }
    }

    fn everything_told() -> Vec<Told> {
        let survivor = Survivor {
            pid: 4711,
            name: "fifteen letters".to_owned(),
            state: b'D',
            uid: u32::MAX,
            refused: true,
            waits_in: "x".repeat(60),
        };
        let end = End {
            exit: Some(Exit::Dumped(11)),
            signalled: true,
            empty: false,
            killed: 211,
            terminated_after: Some(Duration::from_secs(1 << 33)),
            killed_after: None,
            usage: usage(),
        };
        vec![
            Told::Started { pid: i32::MAX },
            Told::Failed { errno: 2 },
            Told::NotJoined { errno: 95 },
            Told::Retired,
            Told::LeaderEnded {
                exit: Exit::Code(-1),
                signalled: false,
                usage: usage(),
                others: 7,
            },
            Told::Killing,
            Told::Survivor(survivor),
            Told::Over(end),
            Told::Over(End { exit: None, ..end }),
        ]
    }

    #[test]
    fn whatever_a_supervisor_says_arrives() {
        for told in everything_told() {
            let packet = told.encode();
            assert!(packet.as_bytes().len() < TOLD_BYTES_MAX, "{told:?} is cut");
            assert_eq!(Told::decode(packet.as_bytes()), Some(told));
        }
    }

    #[test]
    fn a_cut_packet_is_not_read() {
        for told in everything_told() {
            let packet = told.encode();
            for cut in 0..packet.as_bytes().len() {
                assert_eq!(
                    Told::decode(&packet.as_bytes()[..cut]),
                    None,
                    "{told:?} cut at {cut}"
                );
            }
        }
    }

    #[cfg(unix)]
    #[test]
    fn of_two_values_for_one_name_the_later_one_is_sent() {
        let plan = Plan {
            program: "sh".into(),
            args: vec!["".into(), "a b".into()],
            env: vec![
                ("B".into(), "1".into()),
                ("A".into(), "x=y".into()),
                ("B".into(), "2".into()),
            ],
            work_dir: "unused".into(),
        };
        let bytes = encode_plan(&plan, Path::new("/bin/sh"), Path::new("/"), None);
        let read = decode_plan(&bytes).unwrap();
        assert_eq!((read.path, read.work_dir), (c"/bin/sh", c"/"));
        assert_eq!(read.arguments, [c"sh", c"", c"a b"]);
        assert_eq!(read.environment, [c"A=x=y", c"B=2"]);
        for cut in 0..bytes.len() {
            assert_eq!(decode_plan(&bytes[..cut]), None, "cut at {cut}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = (Told::decode(&bytes), Request::decode(&bytes));
            #[cfg(unix)]
            let _ = decode_plan(&bytes);
        }

        #[test]
        fn a_plan_of_any_size_arrives_in_its_parts(bytes in 1..400_000_usize) {
            let plan: Vec<u8> = (0..bytes).map(|index| u8::try_from(index % 251).unwrap()).collect();
            let packets = start(9, &plan);
            let mut got = Vec::new();
            for (index, packet) in packets.iter().enumerate() {
                prop_assert!(packet.len() <= REQUEST_BYTES_MAX);
                match Request::decode(packet).unwrap() {
                    Request::Part(part) => {
                        prop_assert!(index + 1 < packets.len());
                        got.extend_from_slice(part);
                    }
                    Request::Start { number, part } => {
                        prop_assert_eq!((number, index + 1), (9, packets.len()));
                        got.extend_from_slice(part);
                    }
                    other => prop_assert!(false, "{:?}", other),
                }
            }
            prop_assert!(got == plan);
        }
    }

    #[test]
    fn a_stop_names_its_step() {
        assert_eq!(
            Request::decode(&terminate(7)),
            Some(Request::Terminate { number: 7 })
        );
        assert_eq!(
            Request::decode(&insist(8)),
            Some(Request::Insist { number: 8 })
        );
        assert_eq!(
            Request::decode(&kill(u32::MAX)),
            Some(Request::Kill { number: u32::MAX })
        );
        assert_eq!(Request::decode(&dismiss()), Some(Request::Dismiss));
    }
}
