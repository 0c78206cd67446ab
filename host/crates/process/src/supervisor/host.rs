//! What a supervisor and its host say to each other: packets of [`wire`](crate::wire) over the socket that is its standard input.
//!
//! Takes descriptors with a step's start, and nothing else does. Never waits where it is told not to. The other side is `link`.

use std::{io::IoSliceMut, mem::MaybeUninit, os::fd::OwnedFd};

use rustix::{
    io::Errno,
    net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, recvmsg, send},
    stdio::stdin,
};

use crate::wire::{Request, Told};

/// What the host asks for, without borrowing the packet.
pub(super) enum Asked {
    Start {
        number: u32,
        outputs: Option<[OwnedFd; 2]>,
        /// The directory of the step's own cgroup, where it has one.
        group: Option<OwnedFd>,
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
    More,
    /// The host lives and lets go.
    Dismissed,
    /// The host is gone.
    End,
}

/// Receives one packet; `None` if there is none now. Parts of a plan go to `plan`.
pub(super) fn receive(
    flags: RecvFlags,
    packet: &mut [u8],
    plan: Option<&mut Vec<u8>>,
) -> Option<Asked> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
    let mut extra = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        let mut into = [IoSliceMut::new(packet)];
        match recvmsg(
            stdin(),
            &mut into,
            &mut extra,
            flags | RecvFlags::CMSG_CLOEXEC,
        ) {
            Ok(received) => break received,
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return None,
            Err(_) => return Some(Asked::End),
        }
    };
    let mut descriptors = extra.drain().flat_map(|message| {
        let rights = match message {
            RecvAncillaryMessage::ScmRights(rights) => Some(rights),
            _ => None,
        };
        rights.into_iter().flatten()
    });
    let outputs = match (descriptors.next(), descriptors.next()) {
        (Some(out), Some(err)) => Some([out, err]),
        _ => None,
    };
    let group = descriptors.next();
    // No packet of the host's is empty: this is the end.
    let Some(request) = Request::decode(&packet[..received.bytes]) else {
        return Some(Asked::End);
    };
    Some(match (request, plan) {
        (Request::Part(part), Some(plan)) => {
            plan.extend_from_slice(part);
            Asked::More
        }
        (Request::Start { number, part }, Some(plan)) => {
            plan.extend_from_slice(part);
            Asked::Start {
                number,
                outputs,
                group,
            }
        }
        // Two steps at once are none of the host's wishes.
        (Request::Part(_) | Request::Start { .. }, None) => Asked::End,
        (Request::Insist { number }, _) => Asked::Insist { number },
        (Request::Terminate { number }, _) => Asked::Terminate { number },
        (Request::Kill { number }, _) => Asked::Kill { number },
        (Request::Dismiss, _) => Asked::Dismissed,
    })
}

/// Tells the host. A failure is none of a supervisor's business: either the host is gone, which the socket's end will tell, or
/// it does not read.
pub(super) fn tell(told: &Told) {
    let packet = told.encode();
    let _ = send(
        stdin(),
        packet.as_bytes(),
        SendFlags::NOSIGNAL | SendFlags::DONTWAIT,
    );
}
