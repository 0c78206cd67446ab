//! How long the outputs of a step are read, on every system; how one turn of it goes is said by the system's `pump`.
//!
//! Promises: every future may be dropped at any await without losing a byte. Called by: `running` and `leftovers`.

use std::{convert::Infallible, future};

use tokio::{
    select,
    sync::oneshot,
    time::{Instant, timeout_at},
};

use crate::{Output, Stream, pump::Pump};

/// How long a held pipe is read after the leader's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Whoever might have had something to say is gone; only a moment for one who holds a pipe without knowing it.
    Short,
    /// A helper of the step (`> >(tee)`) may be finishing.
    Long,
}

impl Pump {
    /// How many pipes somebody still holds, as far as was read.
    pub(crate) fn held(&self) -> usize {
        self.pipes.len()
    }

    /// Reads for as long as it is polled.
    pub(crate) async fn run(&mut self) -> Infallible {
        loop {
            self.turn().await;
        }
    }

    /// Reads until all pipes are at their end, or `patience` is over.
    pub(crate) async fn run_until_silent(&mut self, patience: Patience) {
        let (silence, limit) = patience.times();
        let give_up = Instant::now() + limit;
        while !self.pipes.is_empty() && Instant::now() < give_up {
            let silent = give_up.min(Instant::now() + silence);
            if timeout_at(silent, self.turn()).await.is_err() {
                return;
            }
        }
    }

    /// Reads on after the step's report until all pipes are at their end: whoever holds one goes on writing and never sees a closed
    /// pipe. After `killed`, whoever could write is gone: what is there is read, and then it is over.
    pub(crate) async fn run_late(mut self, killed: oneshot::Receiver<()>) {
        self.late = true;
        let all_read = async {
            while !self.pipes.is_empty() {
                self.turn().await;
            }
        };
        let killed = select! {
            biased;
            killed = killed => killed,
            () = all_read => return,
        };
        // Let go of without a kill: its reader is on its way out too.
        if killed.is_ok() {
            self.read_what_is_there();
            self.run_until_silent(Patience::Short).await;
        }
    }

    /// Hands on one chunk or sees one end. Waits for ever when no pipe is left.
    pub(crate) async fn turn(&mut self) {
        future::poll_fn(|context| self.poll_turn(context)).await;
    }
}

/// Hands bytes on as what they are: the step's, or those of somebody who outlived it.
pub(crate) fn give(output: &dyn Output, late: bool, stream: Stream, bytes: &[u8]) {
    if late {
        output.write_late(stream, bytes);
    } else {
        output.write(stream, bytes);
    }
}
