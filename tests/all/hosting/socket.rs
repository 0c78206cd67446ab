//! Where the socket may be, and who may use it (design D12).

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use rustix::process::Signal;
use stephost_tests::{Client, block_on, program, run_program, step_test};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;
use tokio::process::Command;

use super::{
    HELLO, MARKER, directory, make_dir, mode, refused, serve_to_the_end, spawn, start, text,
};

step_test!(d12_the_socket_is_for_its_owner_only, |host| {
    assert_eq!(mode(host.socket()), 0o600);
});

#[test]
fn d12_the_socket_is_for_its_owner_only_whatever_the_umask() {
    block_on(async {
        let dir = directory();
        let socket = dir.path().join("s");
        let serve = format!(
            "umask 0; exec {} steps serve --socket {}",
            program().display(),
            socket.display()
        );
        let mut host = spawn(
            Command::new("sh")
                .args(["-c", &serve])
                .current_dir(dir.path()),
        );
        host.marker().await;
        assert_eq!(mode(&socket), 0o600);
        host.signal(Signal::TERM);
        assert_eq!(host.ended().await.code(), Some(0));
    });
}

#[test]
fn d12_without_a_path_serve_and_proxy_meet_in_a_private_directory() {
    block_on(async {
        let dir = directory();
        let mut host = start(&dir, &["steps", "serve"], &[]);
        let marker = host.marker().await;
        let socket = Path::new(marker.trim_end().strip_prefix(MARKER).expect("the marker"));
        let parent = socket.parent().expect("a directory");
        assert!(parent.parent() == Some(dir.path()), "{marker}");
        assert_eq!((mode(parent), mode(socket)), (0o700, 0o600));
        let mut proxy = start(&dir, &["steps", "proxy"], &[]);
        let mut stdin = proxy.stdin.take().expect("stdin is piped");
        stdin.write_all(HELLO).await.expect("it reads");
        let mut hello = [0; 9];
        proxy
            .stdout
            .read_exact(&mut hello)
            .await
            .expect("a host answers with its settings");
        assert_eq!(hello[3], 4, "{hello:?}");
        drop(stdin);
        assert_eq!(proxy.ended().await.code(), Some(0));
        host.signal(Signal::TERM);
        assert_eq!(host.ended().await.code(), Some(0));
        let again = start(&dir, &["steps", "serve"], &[])
            .marker_then_end()
            .await;
        assert_eq!(again, marker, "the directory may be there already");
    });
}

#[test]
fn d12_places_where_others_could_put_a_socket_are_refused() {
    block_on(async {
        let dir = directory();
        let path = |name: &str| dir.path().join(name);
        std::fs::write(path("file"), "keep me").expect("a file");
        symlink(path("file"), path("link")).expect("a link");
        symlink(path("nowhere"), path("dangling")).expect("a link");
        make_dir(&path("open"), 0o777);
        make_dir(&path("group"), 0o770);
        let long = path(&"x".repeat(108));
        let table = [
            ("a file", path("file")),
            ("a link to a file", path("link")),
            ("a link to nothing", path("dangling")),
            ("a directory", path("open")),
            ("a parent that everybody may write to", path("open/s")),
            ("a parent that a group may write to", path("group/s")),
            ("a parent that is not there", path("missing/s")),
            ("a path that is too long", long),
        ];
        for (row, socket) in table {
            refused(
                row,
                &serve_to_the_end(&dir, &["--socket", text(&socket)]).await,
            );
            assert!(
                !path("nowhere").exists() && !path("open/s").exists(),
                "{row}"
            );
            assert_eq!(
                std::fs::read_to_string(path("file")).ok().as_deref(),
                Some("keep me"),
                "{row}"
            );
        }
    });
}

#[test]
fn d12_a_link_to_a_socket_and_a_socket_that_somebody_answers_at_are_refused() {
    block_on(async {
        let dir = directory();
        let (socket, link) = (dir.path().join("s"), dir.path().join("link"));
        let mut first = start(&dir, &["steps", "serve", "--socket", text(&socket)], &[]);
        first.marker().await;
        symlink(&socket, &link).expect("a link");
        for taken in [&socket, &link] {
            refused(
                "taken",
                &serve_to_the_end(&dir, &["--socket", text(taken)]).await,
            );
        }
        let client = Client::connect(&socket)
            .await
            .expect("the first one is unharmed");
        assert_eq!(client.list().await.expect("and answers"), []);
        first.signal(Signal::TERM);
        assert_eq!(first.ended().await.code(), Some(0));
    });
}

#[test]
fn d12_what_a_killed_host_left_does_not_stop_the_next() {
    block_on(async {
        let dir = directory();
        let socket = dir.path().join("s");
        let arguments = ["steps", "serve", "--socket", text(&socket)];
        let mut first = start(&dir, &arguments, &[]);
        first.marker().await;
        first.signal(Signal::KILL);
        first.ended().await;
        assert!(socket.exists());
        start(&dir, &arguments, &[]).marker_then_end().await;
    });
}

#[test]
fn d12_a_sticky_directory_of_everybody_is_fine() {
    block_on(async {
        let dir = directory();
        let open = dir.path().join("tmp");
        make_dir(&open, 0o1777);
        start(
            &dir,
            &["steps", "serve", "--socket", text(&open.join("s"))],
            &[],
        )
        .marker_then_end()
        .await;
    });
}

#[test]
fn d12_a_default_directory_that_is_not_private_is_refused() {
    block_on(async {
        let name = format!("stephost-{}", rustix::process::geteuid().as_raw());
        for (row, made) in [
            ("readable", Some(0o755)),
            ("writable", Some(0o777)),
            ("a link", None),
        ] {
            let dir = directory();
            let default = dir.path().join(&name);
            match made {
                Some(mode) => make_dir(&default, mode),
                None => {
                    make_dir(&dir.path().join("elsewhere"), 0o700);
                    symlink(dir.path().join("elsewhere"), &default).expect("a link");
                }
            }
            refused(row, &serve_to_the_end(&dir, &[]).await);
        }
    });
}

#[test]
fn d12_what_belongs_to_another_user_is_refused() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can give a directory away");
        return;
    }
    block_on(async {
        let dir = directory();
        let default = dir.path().join("stephost-0");
        make_dir(&default, 0o700);
        std::os::unix::fs::chown(&default, Some(65534), Some(65534)).expect("root may");
        refused(
            "a default directory of another",
            &serve_to_the_end(&dir, &[]).await,
        );
        let socket = dir.path().join("s");
        drop(UnixListener::bind(&socket).expect("a socket"));
        std::os::unix::fs::chown(&socket, Some(65534), Some(65534)).expect("root may");
        refused(
            "a socket of another",
            &serve_to_the_end(&dir, &["--socket", text(&socket)]).await,
        );
        assert!(socket.exists());
    });
}

#[test]
fn d12_a_peer_of_another_user_is_not_served_even_if_it_can_connect() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can be another user");
        return;
    }
    block_on(async {
        let dir = directory();
        let (socket, copy) = (dir.path().join("s"), dir.path().join("copy"));
        let copied = run_program(&["steps", "bootstrap", text(&copy)], &[]).await;
        assert!(copied.status.success(), "{copied:?}");
        let mut host = start(&dir, &["steps", "serve", "--socket", text(&socket)], &[]);
        host.marker().await;
        for path in [dir.path(), &socket] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).expect("ours");
        }
        for (user, answers) in [(65534, false), (1, false), (0, true)] {
            let mut command = Command::new(&copy);
            command
                .args(["steps", "proxy", "--socket", text(&socket)])
                .uid(user)
                .current_dir("/");
            let mut peer = spawn(&mut command);
            let mut stdin = peer.stdin.take().expect("stdin is piped");
            // A host that hangs up first is what is looked for.
            let _ = stdin.write_all(HELLO).await;
            let mut first = [0; 1];
            let got = peer
                .stdout
                .read(&mut first)
                .await
                .expect("stdout can be read");
            assert_eq!(got == 1, answers, "user {user}");
            drop(stdin);
            assert_eq!(
                peer.ended().await.code(),
                Some(0),
                "user {user}: it could connect"
            );
        }
        host.signal(Signal::TERM);
        assert_eq!(host.ended().await.code(), Some(0));
    });
}
