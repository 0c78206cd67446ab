//! `dist --check`: the archive, unpacked into an empty place and used as its users will, without any environment.
//!
//! Looks at the files (sums, the bill, that packing again gives the same bytes), at the program's own bytes (static, no
//! guests of the tests, no paths of who built it), and at what it does: every command a runner calls, a job of native
//! steps and builtins through the client crate, and that its builtins are not compiled but loaded, unless the machine
//! code does not suit.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use object::elf::{DT_NEEDED, FileHeader64, PT_DYNAMIC, PT_INTERP};
use object::read::elf::{Dyn as _, FileHeader as _, ProgramHeader as _};
use object::{Endianness, Object as _, ObjectSection as _};
use serde_json::Value;
use stephost_client::{Client, Request, State};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::UnixListener;
use tokio::process::{Child, Command};

use super::{COMPLETIONS, Dist, VERSION, archive, cargo_home, licences};
use crate::cargo::{root, target_dir};

/// Where the sums of the other files stand.
pub(super) const SUMS: &str = "SHA256SUMS";
/// What the host says before the path of its socket.
const MARKER: &str = "step-runner is listening on socket ";
/// The shipped builtins.
const BUILTINS: [&str; 3] = ["hello", "script", "script_legacy"];
/// Longest time of everything that runs.
const TIMEOUT: Duration = Duration::from_secs(120);
/// What is in every program that has points at which tests can make it fail (`stephost_fault::MARKER`).
const POINTS: &str = "this program has points at which a test can make it fail";
/// The section in which wasmtime says who compiled a component.
const ENGINE_SECTION: &str = ".wasmtime.engine";
/// What a host says of a builtin.
const LOADED: &str = "a builtin was loaded as it was compiled with this program";
const REFUSED: &str =
    "a builtin is compiled, because the code that came with this program does not suit";

/// A native step, a script and a builtin.
const STEPS: &str = "{}
---
run:
- { name: native, func: ./native }
- { name: scripted, script: echo scripted }
- { name: greeted, func: 'builtin://hello', inputs: { name: dist } }
";
/// What they say.
const SAID: [&str; 3] = ["native\n", "scripted\n", "Hello, dist!\n"];
/// The function of the native step.
const NATIVE: &str = "spec: {}\n---\nexec:\n  command: [/bin/sh, -c, echo native]\n";

/// Looks at everything.
pub(super) fn check(dist: &Dist) -> anyhow::Result<()> {
    let place = TempDir::with_prefix("dist").context("making a temporary directory")?;
    let dir = unpacked(dist, place.path()).context("unpacking the archive")?;
    let program = dir.join("stephost");
    step("files and sums", || files(dist, &dir, place.path()))?;
    step("bill of materials", || bill(&dir))?;
    step("licences", || licences_of_all(&dir))?;
    step("static, and of nobody's machine", || bytes(dist, &program))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    runtime.block_on(async {
        let looks = looks(dist, &program, place.path());
        let looked = tokio::time::timeout(TIMEOUT, looks).await;
        looked.unwrap_or_else(|_elapsed| bail!("it took longer than {TIMEOUT:?}"))
    })?;
    println!("{} is fine", dist.name);
    Ok(())
}

fn step(what: &str, check: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    check().with_context(|| format!("checking {what}"))?;
    println!("ok    {what}");
    Ok(())
}

fn unpacked(dist: &Dist, place: &Path) -> anyhow::Result<PathBuf> {
    let file = fs::File::open(dist.archive())?;
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(file));
    archive.unpack(place)?;
    Ok(place.join(&dist.name))
}

fn files(dist: &Dist, dir: &Path, place: &Path) -> anyhow::Result<()> {
    let mut listed = BTreeSet::from([PathBuf::from(SUMS)]);
    for line in fs::read_to_string(dir.join(SUMS))?.lines() {
        let (sum, file) = line
            .split_once("  ")
            .context("a line has a sum and a name")?;
        ensure!(
            archive::sum(&dir.join(file))? == sum,
            "{file} has another sum"
        );
        listed.insert(file.into());
    }
    let found: BTreeSet<PathBuf> = crate::files::below(dir)?.into_iter().collect();
    ensure!(
        listed == found,
        "{SUMS} lists {listed:?}, and there are {found:?}"
    );
    let mut expected: Vec<String> = COMPLETIONS
        .iter()
        .map(|(_, file)| format!("completions/{file}"))
        .collect();
    expected.extend(
        [
            "stephost",
            "LICENSE",
            "stephost.cdx.json",
            licences::FILE,
            licences::RUST_FILE,
            "man/man1/stephost.1",
        ]
        .map(str::to_owned),
    );
    for file in expected {
        ensure!(found.contains(Path::new(&file)), "{file} is missing");
    }
    for file in &found {
        let length = dir.join(file).metadata()?.len();
        ensure!(length > 0, "{} is empty", file.display());
    }
    let again = place.join("again.tar.gz");
    archive::pack(dir, &again, dist.date)?;
    ensure!(
        archive::sum(&again)? == archive::sum(&dist.archive())?,
        "packing again gives another archive"
    );
    let beside = fs::read_to_string(dist.place.join(format!("{}.tar.gz.sha256", dist.name)))?;
    ensure!(
        beside.starts_with(&archive::sum(&again)?),
        "the sum beside the archive is another"
    );
    Ok(())
}

fn bill(dir: &Path) -> anyhow::Result<()> {
    let bill: Value = serde_json::from_slice(&fs::read(dir.join("stephost.cdx.json"))?)?;
    ensure!(
        bill["bomFormat"] == "CycloneDX" && bill["specVersion"] == "1.5",
        "it is no CycloneDX"
    );
    let program = &bill["metadata"]["component"];
    ensure!(
        program["hashes"][0]["content"] == archive::sum(&dir.join("stephost"))?,
        "it is the bill of another program"
    );
    let components = bill["components"]
        .as_array()
        .context("it lists components")?;
    let text =
        |component: &Value, key: &str| component[key].as_str().unwrap_or_default().to_owned();
    let names: BTreeSet<String> = components
        .iter()
        .map(|component| text(component, "name"))
        .collect();
    for name in [
        "wasmtime",
        "tonic",
        "mimalloc",
        "stephost-sandbox",
        "stephost-builtin-script",
        "wit-bindgen",
    ] {
        ensure!(names.contains(name), "{name} is missing");
    }
    for name in [
        "protox",
        "clap_derive",
        "expect-test",
        "stephost-guest-misbehave",
        "xtask",
    ] {
        ensure!(!names.contains(name), "{name} is not in the program");
    }
    let mut known: BTreeSet<String> = components
        .iter()
        .map(|component| text(component, "bom-ref"))
        .collect();
    ensure!(
        known.len() == components.len(),
        "two components have one name"
    );
    known.insert(text(program, "bom-ref"));
    for component in components {
        ensure!(
            !component["licenses"].is_null(),
            "{} has no licence",
            component["name"]
        );
    }
    for dependency in bill["dependencies"].as_array().into_iter().flatten() {
        let used = dependency["dependsOn"].as_array().into_iter().flatten();
        for reference in used.chain([&dependency["ref"]]) {
            let reference = reference.as_str().unwrap_or_default();
            ensure!(
                known.contains(reference),
                "{reference} is used and not listed"
            );
        }
    }
    Ok(())
}

/// Every crate of the bill that has a sum, which ours have not, is listed with a licence and texts that are there.
fn licences_of_all(dir: &Path) -> anyhow::Result<()> {
    let bill: Value = serde_json::from_slice(&fs::read(dir.join("stephost.cdx.json"))?)?;
    let text = fs::read_to_string(dir.join(licences::FILE))?;
    let components = bill["components"].as_array().into_iter().flatten();
    let others = components.filter(|component| !component["hashes"].is_null());
    let mut listed = 0;
    for component in others {
        let part = |key: &str| component[key].as_str().unwrap_or_default();
        let title = format!("\n{} {}\n    ", part("name"), part("version"));
        let (_, after) = text
            .split_once(&title)
            .with_context(|| format!("{} is not listed", title.trim()))?;
        let line = after.lines().next().unwrap_or_default();
        let (_, numbers) = line
            .split_once("; text ")
            .with_context(|| format!("{} has no text", title.trim()))?;
        for number in numbers.split(", ") {
            ensure!(
                text.contains(&format!("\nText {number}, of\n")),
                "text {number} is not there"
            );
        }
        listed += 1;
    }
    ensure!(listed > 100, "it lists only {listed}");
    for words in [
        "Apache License",
        "LLVM Exceptions to the Apache 2.0 License",
        "Microsoft Corporation",
        "Rich Felker",
    ] {
        ensure!(text.contains(words), "{words:?} is not in it");
    }
    let rust = fs::read_to_string(dir.join(licences::RUST_FILE))?;
    ensure!(
        rust.contains("The Rust Standard Library"),
        "it is not the page of the standard library"
    );
    Ok(())
}

fn bytes(dist: &Dist, program: &Path) -> anyhow::Result<()> {
    let bytes = fs::read(program)?;
    let header = FileHeader64::<Endianness>::parse(&*bytes)?;
    let endian = header.endian()?;
    for segment in header.program_headers(endian, &*bytes)? {
        ensure!(
            segment.p_type(endian) != PT_INTERP,
            "it asks for a dynamic loader"
        );
        if segment.p_type(endian) == PT_DYNAMIC {
            let entries = segment.dynamic(endian, &*bytes)?.unwrap_or_default();
            let needed = entries
                .iter()
                .any(|entry| entry.tag32(endian).map(i64::from) == Some(DT_NEEDED));
            ensure!(!needed, "it needs a shared library");
        }
    }
    let has = |text: &str| memchr::memmem::find(&bytes, text.as_bytes()).is_some();
    ensure!(
        has("stephost_builtin_hello"),
        "the builtins in it have no names"
    );
    ensure!(!has("stephost_guest_"), "it holds a guest of the tests");
    ensure!(
        !has(POINTS),
        "tests can make it fail: it was built with the feature `fault`"
    );
    for path in [root(), target_dir(), cargo_home()] {
        let path = path.to_string_lossy();
        ensure!(
            !has(&format!("{path}/")),
            "it tells where it was built: {path}"
        );
    }
    for name in BUILTINS {
        let code = fs::read(dist.precompiled().join(format!("{name}.cwasm")))?;
        ensure!(
            memchr::memmem::find(&bytes, &code).is_some(),
            "the machine code of {name} is not in it"
        );
    }
    Ok(())
}

/// Uses the program.
async fn looks(dist: &Dist, program: &Path, place: &Path) -> anyhow::Result<()> {
    version(dist, program, place)
        .await
        .context("checking version")?;
    println!("ok    version");
    let doctor = run(program, place, &["doctor", "--json"])
        .await
        .context("checking doctor")?;
    let doctor: Value = serde_json::from_str(&doctor)?;
    ensure!(doctor["verdict"] != "fail", "doctor says: {doctor:#}");
    println!("ok    doctor");

    let first = Place::new(place, "first")?;
    serves(program, &first, Way::Socket)
        .await
        .context("checking serve")?;
    loaded(&first).context("checking what becomes of builtins")?;
    println!("ok    serve: a native step, a script and a builtin; nothing is compiled");

    let second = Place::new(place, "second")?;
    serves(program, &second, Way::Proxy)
        .await
        .context("checking proxy")?;
    println!("ok    proxy");

    let third = Place::new(place, "third")?;
    let copy = third.dir.join("copy");
    run(program, place, &["steps", "bootstrap", text(&copy)?])
        .await
        .context("checking bootstrap")?;
    serves(&copy, &third, Way::Socket)
        .await
        .context("checking the copy of bootstrap")?;
    println!("ok    bootstrap: the copy does the same");

    let fourth = Place::new(place, "fourth")?;
    let other = fourth.dir.join("other");
    of_another_version(dist, program, &other).context("changing the machine code's version")?;
    serves(&other, &fourth, Way::Socket)
        .await
        .context("checking a version that does not suit")?;
    refused(&fourth).context("checking a version that does not suit")?;
    println!(
        "ok    machine code of another version is passed over, with one line for the operator"
    );
    Ok(())
}

async fn version(dist: &Dist, program: &Path, place: &Path) -> anyhow::Result<()> {
    let version: Value = serde_json::from_str(&run(program, place, &["version", "--json"]).await?)?;
    ensure!(
        version["version"] == VERSION,
        "it is {}",
        version["version"]
    );
    ensure!(
        version["target"] == *dist.target,
        "it is for {}",
        version["target"]
    );
    let builtins = version["builtins"]
        .as_array()
        .context("it lists builtins")?;
    let names: Vec<&str> = builtins
        .iter()
        .filter_map(|builtin| builtin["name"].as_str())
        .collect();
    ensure!(names == BUILTINS, "it has the builtins {names:?}");
    for builtin in builtins {
        ensure!(
            builtin["precompiled"] == true,
            "{} has no machine code",
            builtin["name"]
        );
    }
    Ok(())
}

/// A program in an empty directory, without any environment.
fn command(program: &Path, dir: &Path) -> anyhow::Result<Command> {
    let empty = dir.join("empty");
    fs::create_dir_all(&empty)?;
    let mut command = Command::new(program);
    command
        .env_clear()
        .current_dir(empty)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    Ok(command)
}

async fn run(program: &Path, dir: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let output = command(program, dir)?.args(arguments).output().await?;
    ensure!(
        output.status.success(),
        "`stephost {}` ended with {}: {}{}",
        arguments.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// Where one host lives.
struct Place {
    dir: PathBuf,
}

impl Place {
    fn new(below: &Path, name: &str) -> anyhow::Result<Place> {
        let dir = below.join(name);
        fs::create_dir_all(dir.join("native"))?;
        fs::write(dir.join("native/func.yml"), NATIVE)?;
        Ok(Place { dir })
    }

    fn socket(&self) -> PathBuf {
        self.dir.join("s")
    }

    fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// What the operator is told of one builtin.
    fn told(&self, builtin: &str) -> anyhow::Result<Vec<String>> {
        let log = fs::read_to_string(self.log())?;
        let about = format!("func.ref=\"{builtin}\"");
        let lines = log.lines().filter(|line| line.contains(&about));
        Ok(lines.map(str::to_owned).collect())
    }
}

/// How a client comes to the host.
enum Way {
    Socket,
    Proxy,
}

/// Starts a host, runs the job, asks for its health, and ends it.
async fn serves(program: &Path, place: &Place, way: Way) -> anyhow::Result<()> {
    let socket = place.socket();
    let mut host = command(program, &place.dir)?
        .args(["steps", "serve", "--socket"])
        .arg(&socket)
        .arg("--log-file")
        .arg(place.log())
        .stderr(Stdio::piped())
        .spawn()
        .context("starting it")?;
    listens(&mut host).await?;
    let health = run(program, &place.dir, &["health", "--socket", text(&socket)?]).await?;
    ensure!(health == "serving\n", "health says {health}");
    match way {
        Way::Socket => job(&socket, &place.dir).await?,
        Way::Proxy => through_proxy(program, place).await?,
    }
    let pid = host.id().context("the host ended early")?;
    let told = std::process::Command::new("kill")
        .arg(pid.to_string())
        .status()?;
    ensure!(told.success(), "the host is gone already");
    let status = host.wait().await?;
    ensure!(status.success(), "the host ended with {status}");
    Ok(())
}

async fn listens(host: &mut Child) -> anyhow::Result<()> {
    let mut stderr = BufReader::new(host.stderr.take().context("stderr is piped")?);
    let mut line = String::new();
    stderr.read_line(&mut line).await?;
    if !line.starts_with(MARKER) {
        stderr.read_to_string(&mut line).await?;
        bail!("the host does not listen: {line}");
    }
    host.stderr = Some(stderr.into_inner());
    Ok(())
}

/// The whole job, and one that asks for a guest of the tests.
async fn job(socket: &Path, dir: &Path) -> anyhow::Result<()> {
    let client = Client::connect(socket).await?;
    let (state, log) = ended(&client, STEPS, dir).await?;
    ensure!(state == State::Success, "the job ended as {state:?}: {log}");
    for said in SAID {
        ensure!(log.contains(said), "the log lacks {said:?}: {log}");
    }
    let steps = "{}\n---\nrun:\n- { name: it, func: 'builtin://test/misbehave', inputs: { how: succeed } }\n";
    let (state, log) = ended(&client, steps, dir).await?;
    ensure!(
        state == State::Failure && log.contains("no builtin function"),
        "it knows a guest of the tests: {state:?} {log}"
    );
    Ok(())
}

/// Runs a job; returns its ending, and its log with its message.
async fn ended(client: &Client, steps: &str, dir: &Path) -> anyhow::Result<(State, String)> {
    let request = Request {
        id: "dist".to_owned(),
        steps: steps.to_owned(),
        build_dir: text(dir)?.to_owned(),
        // What an image has; the host itself has none.
        env: vec![("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned())],
        ..Request::default()
    };
    let mut log = Vec::new();
    let status = client
        .run_and_follow(request, |piece| log.extend_from_slice(piece))
        .await?;
    let log = String::from_utf8_lossy(&log);
    Ok((status.state, format!("{log}{}\n", status.message)))
}

/// The job once more, over the stdin and stdout of a proxy.
async fn through_proxy(program: &Path, place: &Place) -> anyhow::Result<()> {
    let mut proxy = command(program, &place.dir)?
        .args(["steps", "proxy", "--socket"])
        .arg(place.socket())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let stdin = proxy.stdin.take().context("stdin is piped")?;
    let stdout = proxy.stdout.take().context("stdout is piped")?;
    let near = place.dir.join("near");
    let listener = UnixListener::bind(&near)?;
    let copied = async {
        if let Ok((mut stream, _)) = listener.accept().await {
            let mut stdio = tokio::io::join(stdout, stdin);
            // How a connection breaks off when its client goes away is not looked at.
            let _ = tokio::io::copy_bidirectional(&mut stream, &mut stdio).await;
        }
    };
    let (asked, ()) = tokio::join!(job(&near, &place.dir), copied);
    asked?;
    let status = proxy.wait().await?;
    ensure!(status.success(), "the proxy ended with {status}");
    Ok(())
}

/// What was used was loaded, and what was not used was not touched.
fn loaded(place: &Place) -> anyhow::Result<()> {
    for (builtin, used) in [("hello", true), ("script", true), ("script_legacy", false)] {
        let told = place.told(builtin)?;
        let fine = match told.as_slice() {
            [line] => used && line.contains(" INFO ") && line.contains(LOADED),
            lines => !used && lines.is_empty(),
        };
        ensure!(fine, "{builtin}: {told:?}");
    }
    Ok(())
}

/// What was used was compiled, and the operator knows why.
fn refused(place: &Place) -> anyhow::Result<()> {
    for builtin in ["hello", "script"] {
        let told = place.told(builtin)?;
        let [line] = told.as_slice() else {
            bail!("{builtin}: {told:?}");
        };
        ensure!(
            line.contains(" WARN ") && line.contains(REFUSED),
            "{builtin}: {line}"
        );
    }
    Ok(())
}

/// Writes a program whose machine code says that another version of wasmtime made it, as after an update of one half.
fn of_another_version(dist: &Dist, program: &Path, changed: &Path) -> anyhow::Result<()> {
    let mut bytes = fs::read(program)?;
    for name in BUILTINS {
        let code = fs::read(dist.precompiled().join(format!("{name}.cwasm")))?;
        let section = object::File::parse(&*code)?;
        let section = section
            .section_by_name(ENGINE_SECTION)
            .context("wasmtime signs what it makes")?;
        let (at, _) = section.file_range().context("a section has a place")?;
        let at = usize::try_from(at)?;
        // Its format, the length of the version, the version.
        ensure!(
            code[at..].starts_with(b"\0\x0248"),
            "{name} is not signed by wasmtime 48"
        );
        let place = memchr::memmem::find(&bytes, &code).context("the code is in the program")?;
        bytes[place + at + 2] = b'9';
    }
    fs::write(changed, bytes)?;
    fs::set_permissions(changed, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().context("the path is no text")
}
