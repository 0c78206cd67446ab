//! The program between the host and a step: it has a console of its own that nobody sees, and holds the job object that the step lives in.
//!
//! Promises: the step is in the job before its first instruction, and nobody who descends from it leaves; it is over when the job is empty by the
//! system's own count, never earlier, and no message is taken for that; the leader's exit code is taken before anybody is killed by us.
//! When the host is gone, everybody is killed. Never: runs a second step; trusts that a message arrives.
//! Called by: the host's `main`, before anything else ([`supervise_if_asked`]). Spoken to by `link`.
//!
//! # Why a process, and a console
//!
//! The only thing that asks a Windows program to end is a key of its console, and a key reaches everybody in the console: so a step gets one that
//! is its own. A host that is a service has none, and could press no key anyway. Ctrl-C comes first, which programs treat as a person's wish
//! to end them (Ctrl-Break makes a JVM print its threads and go on). Half the grace later comes Ctrl-Break, for those who ignore Ctrl-C.
//!
//! # Three threads
//!
//! One hears the host, one waits for the leader; both only wake the third, which looks at the kernel, asks `phases` what is due, and does it.

use std::{
    env,
    ffi::OsStr,
    fs::File,
    io::{self, Read, Write},
    os::windows::io::{AsHandle, OwnedHandle},
    process::ExitCode,
    sync::{
        Arc,
        mpsc::{self, Receiver, Sender, TryRecvError},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    Exit, Survivor, Usage,
    command_line::Launch,
    framed::{self, Frames},
    phases::{Due, Event, Life, Over},
    sys::{self, Job, Key, Port, Started},
    wire::{End, Request, Told},
};

/// What the host puts first on its own command line to get a supervisor.
pub(crate) const MARKER: &str = "--supervise-one-step";
/// Bytes before a plan's: the numbers of both outputs' handles.
pub(crate) const HANDLES_BYTES: usize = 16;
/// Most survivors that are named.
const NAMED_MAX: usize = 16;
/// First and longest pause between two looks at killed processes of which none has died.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);
/// Pause between two looks when the leader has ended and others live: a job's messages may be lost.
const NET_PAUSE: Duration = Duration::from_millis(50);
/// Pause between two looks when nothing is due but what wakes us for certain.
const IDLE_PAUSE: Duration = Duration::from_secs(60);
/// Bytes that are read from the host at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// Becomes a supervisor if the command line asks for that, and returns its exit code at the end. Called before anything else in `main`.
pub fn supervise_if_asked() -> Option<ExitCode> {
    let asked = env::args_os().nth(1).as_deref() == Some(OsStr::new(MARKER));
    asked.then(|| match Supervisor::start() {
        Ok(mut supervisor) => {
            supervisor.serve();
            ExitCode::SUCCESS
        }
        // The host sees the pipe's end.
        Err(_) => ExitCode::FAILURE,
    })
}

/// What the host asks for.
enum Asked {
    Start {
        number: u32,
        outputs: [OwnedHandle; 2],
        launch: Launch,
    },
    Terminate {
        number: u32,
    },
    Insist {
        number: u32,
    },
    Kill {
        number: u32,
    },
    /// The host is gone, has let go of this step, or talks nonsense.
    End,
}

struct Supervisor {
    /// Woken by the job, by the host's wishes and by the leader's end.
    port: Arc<Port>,
    asked: Receiver<Asked>,
    host: File,
    job: Job,
    /// The input of the step.
    null: File,
}

impl Supervisor {
    fn start() -> io::Result<Supervisor> {
        sys::take_console()?;
        let port = Arc::new(Port::new()?);
        let job = Job::new()?;
        job.report_to(&port)?;
        let requests = File::from(io::stdin().as_handle().try_clone_to_owned()?);
        let host = File::from(io::stdout().as_handle().try_clone_to_owned()?);
        let (tell, asked) = mpsc::channel();
        let listener = Arc::clone(&port);
        // Ends with the host, or with this process.
        thread::spawn(move || listen(requests, &tell, &listener));
        Ok(Supervisor {
            port,
            asked,
            host,
            job,
            null: File::open("NUL")?,
        })
    }

    /// Runs one step.
    fn serve(&mut self) {
        // Whatever else comes first is not the host's wish.
        let Ok(Asked::Start {
            number,
            outputs,
            launch,
        }) = self.asked.recv()
        else {
            return;
        };
        let [out, err] = &outputs;
        let standard = [self.null.as_handle(), out.as_handle(), err.as_handle()];
        match sys::spawn(&launch, &self.job, standard) {
            Ok(leader) => {
                drop(outputs);
                self.watch(leader, number);
            }
            Err(error) => self.tell(&Told::Failed {
                errno: error.raw_os_error().unwrap_or_default(),
            }),
        }
    }

    /// Sees the step to its end.
    fn watch(&mut self, leader: Started, number: u32) {
        let Started { process, pid } = leader;
        let process = Arc::new(process);
        let (waits, port) = (Arc::clone(&process), Arc::clone(&self.port));
        // Ends with the leader, or with this process.
        thread::spawn(move || {
            sys::wait_for(&*waits);
            port.wake();
        });
        self.tell(&Told::Started {
            pid: pid.cast_signed(),
        });
        let mut step = Step {
            process,
            pid,
            began: Instant::now(),
            killed: 0,
            terminated_at: None,
            killed_at: None,
        };
        let mut life = Life::new();
        let mut host_listens = true;
        let mut pause = FIRST_PAUSE;
        loop {
            let active_before = self.active();
            let mut due = life.apply(self.look(&step), step.now());
            loop {
                self.perform(due, &life, &mut step);
                if life.over().is_some() || !host_listens {
                    break;
                }
                let event = match self.asked.try_recv() {
                    Err(TryRecvError::Empty) => break,
                    Ok(Asked::Terminate { number: of }) if of == number => Event::Terminate,
                    Ok(Asked::Insist { number: of }) if of == number => Event::Insist,
                    Ok(Asked::Kill { number: of }) if of == number => Event::Kill,
                    Ok(_) | Err(TryRecvError::Disconnected) => {
                        host_listens = false;
                        Event::Kill
                    }
                };
                // First what has happened already is noted, so that nobody is said to have been signalled after his end.
                let seen = life.apply(self.look(&step), step.now());
                self.perform(seen, &life, &mut step);
                due = life.apply(event, step.now());
            }
            if life.over().is_some() {
                // Whoever is left loses his job with this process, and dies of that if he ever can.
                return;
            }
            let limit = if life.killed() {
                pause = if self.active() < active_before {
                    FIRST_PAUSE
                } else {
                    LONGEST_PAUSE.min(pause * 2)
                };
                pause
            } else if life.exit().is_some() {
                NET_PAUSE
            } else {
                IDLE_PAUSE
            };
            self.port.wait(limit);
        }
    }

    /// Asks the kernel.
    fn look(&self, step: &Step) -> Event {
        let leader = sys::exit_code(&*step.process);
        let others = match (leader, self.active()) {
            (None, active) => active > 1,
            (Some(_), 0) => false,
            // For a moment a process has ended and is still counted.
            (Some(_), 1) => self.job.members() != [step.pid],
            (Some(_), _) => true,
        };
        Event::Seen {
            leader: leader.map(|code| Exit::Code(code.cast_signed())),
            others,
        }
    }

    /// How many live, by the system's count. One that cannot be asked is not empty.
    fn active(&self) -> u32 {
        self.job
            .accounting()
            .map_or(u32::MAX, |counted| counted.active)
    }

    fn perform(&mut self, due: Due, life: &Life, step: &mut Step) {
        match due {
            Due::Nothing => {}
            Due::TellLeaderEnded => self.tell_leader_ended(life),
            Due::Terminate => {
                step.terminated_at = Some(step.now());
                // One without a console, or one that does not listen to it, is killed when its time is over.
                let _ = sys::press(Key::C);
            }
            Due::Insist => {
                let _ = sys::press(Key::Break);
            }
            Due::Kill => {
                self.tell(&Told::Killing);
                step.killed_at = Some(step.now());
                step.killed = self.active();
                self.job.terminate();
            }
            // One who was being started at the time of the kill.
            Due::Sweep => self.job.terminate(),
            Due::TellEmpty => self.tell_end(life, step),
            Due::TellLeft => {
                for pid in self.job.members().into_iter().take(NAMED_MAX) {
                    self.tell(&Told::Survivor(survivor(pid)));
                }
                self.tell_end(life, step);
            }
        }
    }

    fn tell_leader_ended(&mut self, life: &Life) {
        let Some(exit) = life.exit() else { return };
        let told = Told::LeaderEnded {
            exit,
            signalled: life.signalled(),
            usage: self.usage(),
            others: self.active(),
        };
        self.tell(&told);
    }

    fn tell_end(&mut self, life: &Life, step: &Step) {
        let end = End {
            exit: life.exit(),
            signalled: life.signalled(),
            empty: life.over() == Some(Over::Empty),
            killed: step.killed,
            terminated_after: step.terminated_at,
            killed_after: step.killed_at,
            usage: self.usage(),
        };
        self.tell(&Told::Over(end));
    }

    /// What everybody used who was ever in the job.
    fn usage(&self) -> Usage {
        let peak_rss_kib = self.job.peak_kib();
        self.job
            .accounting()
            .map_or(Usage::default(), |counted| Usage {
                user: counted.user,
                system: counted.system,
                peak_rss_kib,
            })
    }

    /// Tells the host. A failure means that it is gone, which its pipe's end will tell.
    fn tell(&mut self, told: &Told) {
        let _ = self
            .host
            .write_all(&framed::frame(told.encode().as_bytes()));
    }
}

/// The step, as far as it is not the job's.
struct Step {
    process: Arc<OwnedHandle>,
    pid: u32,
    began: Instant,
    killed: u32,
    /// When it was asked to end and when it was killed, counted from its start.
    terminated_at: Option<Duration>,
    killed_at: Option<Duration>,
}

impl Step {
    fn now(&self) -> Duration {
        self.began.elapsed()
    }
}

/// Names one who could not be killed.
pub(crate) fn survivor(pid: u32) -> Survivor {
    let image = sys::image_of(pid);
    let name = image.as_deref().and_then(|path| path.file_name());
    Survivor {
        pid: pid.cast_signed(),
        name: name.unwrap_or_default().to_string_lossy().into_owned(),
        state: b'?',
        uid: u32::MAX,
        refused: false,
        waits_in: String::new(),
    }
}

/// Hears the host until it is gone.
fn listen(mut requests: File, tell: &Sender<Asked>, port: &Port) {
    let mut frames = Frames::default();
    let mut plan = Vec::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        loop {
            let asked = match frames.next() {
                Ok(None) => break,
                Ok(Some(packet)) => read(&packet, &mut plan),
                Err(framed::Nonsense) => Some(Asked::End),
            };
            let Some(asked) = asked else { continue };
            let is_end = matches!(asked, Asked::End);
            // Nobody hears it when the step is over.
            let _ = tell.send(asked);
            port.wake();
            if is_end {
                return;
            }
        }
        match requests.read(&mut chunk) {
            Ok(read_bytes) if read_bytes > 0 => frames.push(&chunk[..read_bytes]),
            Ok(_) | Err(_) => {
                let _ = tell.send(Asked::End);
                return port.wake();
            }
        }
    }
}

/// Reads one packet; `None` for a part of a plan, which goes to `plan`.
fn read(packet: &[u8], plan: &mut Vec<u8>) -> Option<Asked> {
    Some(match Request::decode(packet) {
        Some(Request::Part(part)) => {
            plan.extend_from_slice(part);
            return None;
        }
        Some(Request::Start { number, part }) => {
            plan.extend_from_slice(part);
            start(number, plan).unwrap_or(Asked::End)
        }
        Some(Request::Terminate { number }) => Asked::Terminate { number },
        Some(Request::Insist { number }) => Asked::Insist { number },
        Some(Request::Kill { number }) => Asked::Kill { number },
        Some(Request::Dismiss) | None => Asked::End,
    })
}

fn start(number: u32, plan: &[u8]) -> Option<Asked> {
    let (handles, launch) = plan.split_first_chunk::<HANDLES_BYTES>()?;
    let (out, err) = handles.split_first_chunk()?;
    let outputs = [
        sys::take_handle(u64::from_le_bytes(*out))?,
        sys::take_handle(u64::from_le_bytes(err.try_into().ok()?))?,
    ];
    Some(Asked::Start {
        number,
        outputs,
        launch: Launch::decode(launch)?,
    })
}
