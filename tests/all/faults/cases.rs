//! The list of all cases: every point × its actions × whoever reaches it, and every stage of every call. Pure.

use super::calls::{is_about_a_job, methods};

/// What every call passes, in this order. `call` and `begin` come before anybody knows which job it is about.
const STAGES: [&str; 5] = ["call", "begin", "answer", "frame", "trailers"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Panic,
    Error,
    Delay,
    /// The caller goes away, or the job is cancelled, while the host is at the point.
    Cancel,
}

/// The job of a case when the point is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    /// There is none: Run makes it, with a file to write or without.
    New {
        file: bool,
    },
    Running,
    Finished,
    /// The call is about no job.
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// A native step and a builtin.
    Steps,
    /// A builtin that runs a program.
    Script,
}

/// Who reaches the point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Who {
    Call { method: String, life: Life },
    Job(Work),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Case {
    pub(super) point: String,
    pub(super) action: Action,
    pub(super) who: Who,
}

/// Every case, for the points that are compiled in.
pub(super) fn cases(points: &[(String, bool)]) -> Vec<Case> {
    use Action::{Cancel, Delay, Error, Panic};
    let mut cases = Vec::new();
    let mut add = |point: &str, actions: &[Action], who: Who| {
        cases.extend(actions.iter().map(|action| Case {
            point: point.to_owned(),
            action: *action,
            who: who.clone(),
        }));
    };
    for method in methods() {
        let lives: &[Life] = match method.as_str() {
            "Run" => &[
                Life::New { file: false },
                Life::New { file: true },
                Life::Running,
                Life::Finished,
            ],
            // A plain answer to nobody: the health service of this host has no such call.
            "List" => continue,
            method if is_about_a_job(method) => &[Life::Running, Life::Finished],
            _ => &[Life::None],
        };
        for life in lives {
            for stage in STAGES {
                let endless =
                    method == "Watch" || (method == "FollowLogs" && *life == Life::Running);
                if stage == "trailers" && endless {
                    continue;
                }
                let actions: &[Action] = match stage {
                    "begin" => &[Panic, Error, Delay, Cancel],
                    _ => &[Panic, Delay, Cancel],
                };
                let (method, life) = (method.clone(), *life);
                add(
                    &format!("rpc.{method}.{stage}"),
                    actions,
                    Who::Call { method, life },
                );
            }
        }
    }
    for (point, fails) in points {
        let actions: &[Action] = match fails {
            true => &[Panic, Error, Delay, Cancel],
            false => &[Panic, Delay, Cancel],
        };
        let (room, _) = point.split_once('.').expect("a point has a room");
        let of_job = |method: &str| {
            [Life::Running, Life::Finished].map(|life| Who::Call {
                method: method.to_owned(),
                life,
            })
        };
        let new_job = [false, true].map(|file| Who::Call {
            method: "Run".to_owned(),
            life: Life::New { file },
        });
        let both = vec![Who::Job(Work::Steps), Who::Job(Work::Script)];
        let who = match room {
            "run" | "prepare" => new_job.to_vec(),
            "follow" => of_job("FollowLogs").to_vec(),
            "status" => of_job("Status").to_vec(),
            "cancel" => of_job("Cancel").to_vec(),
            "close" => of_job("Close").to_vec(),
            "exec" | "guest" => vec![Who::Job(Work::Steps)],
            "walk" if point == "walk.resolved" => vec![Who::Job(Work::Steps)],
            "driver" | "walk" | "pool" | "link" | "pump" | "running" | "log" => both,
            unknown => panic!("{unknown} is a new room: say here who reaches its points"),
        };
        for who in who {
            add(point, actions, who);
        }
    }
    cases
}
