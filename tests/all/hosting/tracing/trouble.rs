//! A collector that is down, silent, wrong or away for a while is no job's business.

use std::time::{Duration, Instant};

use stephost_tests::{State, block_on, run_program};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tonic::Code;

use super::super::daemon::Place;
use super::super::text;
use super::collector::{Collector, Manner, named};
use super::{NOTHING, end, request, run, sending};

/// Longest end of a host on a loaded machine. It waits for its collector for a second and a half.
const END: Duration = Duration::from_secs(20);

/// A port at which nobody listens, for a while.
async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await;
    let address = listener.expect("there is a free port").local_addr();
    format!("http://{}", address.expect("it has one"))
}

/// Somebody who speaks another protocol.
async fn somebody_else() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("there is a free port");
    let address = listener.local_addr().expect("it has one");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            // That it has gone away is as good.
            let _ = stream.write_all(b"HTTP/1.1 418 I'm a teapot\r\n\r\n").await;
        }
    });
    format!("http://{address}")
}

#[test]
fn whatever_a_collector_does_jobs_run_and_the_host_ends_in_time() {
    block_on(async {
        let stalls = Collector::start(Manner::Stalls).await;
        let refuses = Collector::start(Manner::Refuses(Code::PermissionDenied)).await;
        let overloaded = Collector::start(Manner::Refuses(Code::Unavailable)).await;
        let cases = [
            ("down", nobody().await),
            ("silent", stalls.address.clone()),
            ("refuses", refuses.address.clone()),
            ("overloaded", overloaded.address.clone()),
            ("another protocol", somebody_else().await),
            ("unknown name", "http://collector.invalid:4317".to_owned()),
            ("no socket", "unix:///nowhere/otel.sock".to_owned()),
        ];
        for (case, address) in cases {
            let place = Place::new();
            let (mut daemon, client) = sending(&place, &address, &[], &[]).await;
            for _ in 0..3 {
                let job = request("run: [{name: it, func: 'builtin://hello'}]");
                let (state, log) = run(&client, &place, job).await;
                assert_eq!(state, State::Success, "{case}: {log}");
            }
            let asked = Instant::now();
            let log = end(&mut daemon).await;
            assert!(asked.elapsed() < END, "{case}: {:?}", asked.elapsed());
            let told = "traces or logs did not reach their collector";
            assert_eq!(log.matches(told).count(), 1, "{case}: {log}");
            assert!(
                !log.contains('\u{1b}') && !log.contains("and no"),
                "{case}: {log}"
            );
        }
    });
}

#[test]
fn a_refusal_is_told_once_and_what_was_refused_is_counted() {
    block_on(async {
        let place = Place::new();
        let mut collector = Collector::start(Manner::Refuses(Code::Unauthenticated)).await;
        let (mut daemon, client) = sending(&place, &collector.address, &[], &[]).await;
        for calls in [2, 4] {
            run(&client, &place, request(NOTHING)).await;
            collector.until(|sent| sent.calls >= calls).await;
        }
        let log = end(&mut daemon).await;
        for signal in ["traces", "logs"] {
            let told = format!(
                "the collector does not take what is sent to it signal=\"{signal}\" grpc.code=Unauthenticated"
            );
            assert_eq!(log.matches(&told).count(), 1, "{log}");
        }
    });
}

#[test]
fn what_was_said_while_the_collector_was_away_arrives_when_it_is_back() {
    block_on(async {
        let place = Place::new();
        let socket = place.path("otel.sock");
        let address = format!("unix://{}", text(&socket));
        let log_file = place.path("log");
        let arguments = ["--log-file", text(&log_file)];
        let (mut daemon, client) = sending(&place, &address, &arguments, &[]).await;
        run(&client, &place, request(NOTHING)).await;
        let told = "the collector does not take what is sent to it";
        let mut look = tokio::time::interval(Duration::from_millis(5));
        while !std::fs::read_to_string(&log_file)
            .expect("a log")
            .contains(told)
        {
            // There is no event for it.
            look.tick().await;
        }
        let mut collector = Collector::start_at(&socket);
        let sent = collector.jobs(1).await;
        assert_eq!(named(&sent, "job").count(), 1);
        let back = "the collector takes what is sent to it again";
        while !std::fs::read_to_string(&log_file)
            .expect("a log")
            .contains(back)
        {
            look.tick().await;
        }
        end(&mut daemon).await;
    });
}

#[test]
fn what_is_left_at_the_end_is_sent() {
    block_on(async {
        let place = Place::new();
        let mut collector = Collector::start_at(&place.path("otel.sock"));
        let address = collector.address.clone();
        let (mut daemon, client) = sending(&place, &address, &[], &[]).await;
        run(&client, &place, request(NOTHING)).await;
        let log = end(&mut daemon).await;
        assert!(!log.contains("collector"), "{log}");
        // Nothing comes any more: what is here was sent before the end.
        let sent = collector.until(|_| true).await;
        assert_eq!(named(&sent, "job").count(), 1);
        let body =
            |log: &opentelemetry_proto::tonic::logs::v1::LogRecord| format!("{:?}", log.body);
        assert!(sent.logs.iter().any(|log| body(log).contains("\"ended\"")));
    });
}

#[test]
fn an_address_stands_in_a_file_and_a_wrong_one_keeps_the_daemon_from_starting() {
    block_on(async {
        let place = Place::new();
        let file = place.path("c.toml");
        std::fs::write(&file, "otlp = \"http://127.0.0.1:4317\"\n").expect("a file");
        let show = ["config", "show", "--origin", "--config", text(&file)];
        let shown = run_program(&show, &[]).await;
        let line = format!(
            "otlp = \"http://127.0.0.1:4317\"  # {:?} line 1\n",
            text(&file)
        );
        assert!(shown.out.contains(&line), "{}", shown.out);
        let refused = run_program(&["serve", "--otlp", "https://otel:4317"], &[]).await;
        assert_eq!(refused.status.code(), Some(2), "{refused:?}");
        assert!(
            refused.err.contains("https is not spoken here"),
            "{refused:?}"
        );
    });
}
