//! What cannot be undercut: a spawn, and bytes that go from a pipe to a file and from the file to a socket.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::fs::FileExt as _;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use stephost_bench::figure::micros;

/// Bytes that are moved at once.
const BLOCK: usize = 64 << 10;

/// Microseconds from spawn to wait.
pub(crate) fn spawn(program: &str, arguments: &[&str]) -> f64 {
    let since = Instant::now();
    let status = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    micros(since.elapsed())
}

/// Megabytes a second of a writer's output through a pipe, a file and a socket, with nothing done to them.
pub(crate) fn megabytes_per_second(writer: &mut Command, bytes: usize) -> f64 {
    let file = tempfile::tempfile().unwrap();
    let (mut sender, mut receiver) = UnixStream::pair().unwrap();
    let (published, lengths) = mpsc::channel::<u64>();
    let since = Instant::now();
    let mut child = writer.stdout(Stdio::piped()).spawn().unwrap();
    let mut pipe = child.stdout.take().unwrap();
    let follower = file.try_clone().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || append(&mut pipe, &file, &published));
        scope.spawn(move || {
            follow(&follower, &lengths, &mut sender);
            sender.shutdown(Shutdown::Write).unwrap();
        });
        let mut block = vec![0; BLOCK];
        let mut received = 0;
        loop {
            match receiver.read(&mut block).unwrap() {
                0 => break,
                read => received += read,
            }
        }
        assert_eq!(received, bytes);
    });
    let took = since.elapsed();
    assert!(child.wait().unwrap().success());
    bytes as f64 / 1e6 / took.as_secs_f64()
}

fn append(pipe: &mut impl std::io::Read, mut file: &File, published: &mpsc::Sender<u64>) {
    let mut block = vec![0; BLOCK];
    let mut length = 0;
    loop {
        match pipe.read(&mut block).unwrap() {
            0 => return,
            read => {
                file.write_all(&block[..read]).unwrap();
                length += read as u64;
                published.send(length).unwrap();
            }
        }
    }
}

fn follow(file: &File, lengths: &mpsc::Receiver<u64>, socket: &mut UnixStream) {
    let mut block = vec![0; BLOCK];
    let mut offset = 0;
    for length in lengths {
        while offset < length {
            let read = file.read_at(&mut block, offset).unwrap();
            socket.write_all(&block[..read]).unwrap();
            offset += read as u64;
        }
    }
}
