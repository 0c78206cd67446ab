//! `cargo xtask dist [--check]`: the release archive, and the proof that what is in it works.
//!
//! Owns what is in an archive and how it is built: one static program with the machine code of its builtins, what
//! belongs to it, and the licences of what it is linked of. The same checkout gives the same archive on every machine with the same compilers: nothing in it tells
//! where or when it was built. Leaves everything in `target/dist`; [`mod@check`] looks at it.

mod archive;
mod bill;
mod check;
mod licences;
mod linked;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};

use crate::cargo::{FEATURES, cargo, ensure_guest_target, ensure_target, root, target_dir};
use crate::files;

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Features of the program that is shipped.
const SHIPPED_FEATURES: &str = "stephost/mimalloc";
/// How C is compiled for musl where only the headers of glibc are. What C there is calls a handful of functions that look
/// the same to a caller in both libraries, as long as the headers do not turn them into others: into `__isoc23_strtol` for
/// newer standards, into `__memset_chk` for fortified programs, which some systems make by themselves.
const HEADERS_OF_GLIBC: &str = "-std=gnu11 -U_FORTIFY_SOURCE";
/// The allocator takes memory when it is needed. By itself it takes large pieces at once, which the kernel may fill with pages
/// of 2 MiB: a host at rest had 7 MiB more.
const ALLOCATOR: &str = "-DMI_DEFAULT_ARENA_EAGER_COMMIT=0";
/// Completions: the shell, and what its users call the file.
const COMPLETIONS: [(&str, &str); 5] = [
    ("bash", "stephost.bash"),
    ("elvish", "stephost.elv"),
    ("fish", "stephost.fish"),
    ("powershell", "_stephost.ps1"),
    ("zsh", "_stephost"),
];

/// What was made, and where it is.
struct Dist {
    target: String,
    /// `target/dist`.
    place: PathBuf,
    /// `stephost-VERSION-TARGET`: of the directory, of what is in the archive, and of the archive.
    name: String,
    /// What every file of the archive is dated: when the commit was made.
    date: u64,
}

impl Dist {
    fn dir(&self) -> PathBuf {
        self.place.join(&self.name)
    }

    fn archive(&self) -> PathBuf {
        self.place.join(format!("{}.tar.gz", self.name))
    }

    /// Where the machine code of the builtins lies until it is embedded.
    fn precompiled(&self) -> PathBuf {
        self.place.join("precompiled")
    }
}

/// Makes the archive; with `--check`, looks at it too.
pub(crate) fn dist(arguments: &[String]) -> anyhow::Result<()> {
    let checked = match arguments {
        [] => false,
        [only] if only == "--check" => true,
        _ => bail!("it is `cargo xtask dist` or `cargo xtask dist --check`"),
    };
    let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
    let dist = Dist {
        name: format!("stephost-{VERSION}-{target}"),
        place: target_dir().join("dist"),
        date: git(&["log", "-1", "--format=%ct"])
            .and_then(|date| date.parse().ok())
            .unwrap_or_default(),
        target,
    };
    ensure_guest_target()?;
    ensure_target(&dist.target)?;
    precompile(&dist)?;
    let program = build(&dist)?;
    lay_out(&dist, &program)?;
    archive::pack(&dist.dir(), &dist.archive(), dist.date)?;
    let sum = archive::sum(&dist.archive())?;
    fs::write(
        dist.place.join(format!("{}.tar.gz.sha256", dist.name)),
        format!("{sum}  {}.tar.gz\n", dist.name),
    )?;
    println!("{sum}  {}", dist.archive().display());
    if checked {
        check::check(&dist)?;
    }
    Ok(())
}

/// Compiles the builtins with the debug build that tests use anyway: how fast a compiler is does not change what it makes.
fn precompile(dist: &Dist) -> anyhow::Result<()> {
    cargo(
        &[
            "build",
            "--workspace",
            "--bin",
            "stephost-precompile",
            "--features",
            FEATURES,
        ],
        &[],
    )?;
    let dir = dist.precompiled();
    fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
    let status = Command::new(target_dir().join("debug/stephost-precompile"))
        .arg(&dist.target)
        .arg(&dir)
        .status()
        .context("starting stephost-precompile")?;
    ensure!(status.success(), "compiling the builtins failed");
    Ok(())
}

/// Builds the program.
fn build(dist: &Dist) -> anyhow::Result<PathBuf> {
    let target = &dist.target;
    // Nobody needs to know where it was built. The last one that fits counts.
    let flags: Vec<String> = [
        (root(), "/stephost"),
        (target_dir(), "/target"),
        (cargo_home(), "/cargo"),
    ]
    .iter()
    .map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display()))
    .collect();
    let flags = format!("target.{target}.rustflags={flags:?}");
    let precompiled = dist.precompiled();
    let commit = git(&[
        "describe",
        "--always",
        "--dirty",
        "--abbrev=40",
        "--exclude=*",
    ]);
    let commit = commit.map(PathBuf::from);
    let mut env = vec![("STEPHOST_PRECOMPILED", precompiled.as_path())];
    if let Some(commit) = &commit {
        env.push(("STEPHOST_COMMIT", commit));
    }
    let of_target = |name: &str| format!("{name}_{}", target.replace('-', "_"));
    let (compiler, flags_of_c) = (of_target("CC"), of_target("CFLAGS"));
    let is_chosen = [&compiler, &flags_of_c].map(|name| std::env::var_os(name).is_some());
    let with_headers_of_glibc = format!("{HEADERS_OF_GLIBC} {ALLOCATOR}");
    match is_chosen {
        [false, false] if !is_on_path("musl-gcc") => {
            env.push((&compiler, Path::new("cc")));
            env.push((&flags_of_c, Path::new(&with_headers_of_glibc)));
        }
        [_, false] => env.push((&flags_of_c, Path::new(ALLOCATOR))),
        [_, true] => {}
    }
    cargo(
        &[
            "build",
            "--locked",
            "--profile",
            "dist",
            "--target",
            target,
            "--package",
            "stephost",
            "--features",
            SHIPPED_FEATURES,
            "--config",
            &flags,
        ],
        &env,
    )
    .context(
        "building the program; if a C function was not found, musl-gcc (musl-tools on Debian) compiles for musl itself",
    )?;
    Ok(target_dir().join(target).join("dist/stephost"))
}

/// Puts everything where the archive has it.
fn lay_out(dist: &Dist, built: &Path) -> anyhow::Result<()> {
    let dir = dist.dir();
    empty(&dir)?;
    let program = dir.join("stephost");
    fs::copy(built, &program).with_context(|| format!("copying {}", built.display()))?;
    for (from, to) in [
        ("LICENSE", "LICENSE"),
        ("policies/default.toml", "policies/default.toml"),
    ] {
        let to = dir.join(to);
        fs::create_dir_all(to.parent().unwrap_or(&dir))?;
        fs::copy(root().join(from), to).with_context(|| format!("copying {from}"))?;
    }
    let completions = dir.join("completions");
    fs::create_dir(&completions)?;
    for (shell, file) in COMPLETIONS {
        fs::write(
            completions.join(file),
            told(&program, &["completions", shell])?,
        )?;
    }
    let man = dir.join("man/man1");
    fs::create_dir_all(&man)?;
    let man = man.to_str().context("the checkout's path is no text")?;
    told(&program, &["man", man])?;
    let linked = linked::Linked::ask(&dist.target, SHIPPED_FEATURES)?;
    let bill = bill::bill(&linked, &archive::sum(&program)?)?;
    fs::write(dir.join("stephost.cdx.json"), bill)?;
    licences::write(&linked, &dir).context("writing the licences of what is linked")?;

    let mut sums = String::new();
    for file in files::below(&dir)? {
        let sum = archive::sum(&dir.join(&file))?;
        sums.push_str(&format!("{sum}  {}\n", file.display()));
    }
    fs::write(dir.join(check::SUMS), sums)?;
    Ok(())
}

/// Runs the program; returns what it says.
fn told(program: &Path, arguments: &[&str]) -> anyhow::Result<Vec<u8>> {
    let output = Command::new(program)
        .args(arguments)
        .env_clear()
        .output()
        .with_context(|| format!("starting {}", program.display()))?;
    ensure!(
        output.status.success(),
        "`stephost {}` failed: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output.stdout)
}

fn empty(dir: &Path) -> anyhow::Result<()> {
    if dir.exists() {
        fs::remove_dir_all(dir).with_context(|| format!("removing {}", dir.display()))?;
    }
    fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))
}

/// What git says about this checkout, if it is one of git's.
fn git(arguments: &[&str]) -> Option<String> {
    let mut git = Command::new("git");
    let output = git.args(arguments).current_dir(root()).output().ok()?;
    let said = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| said.trim().to_owned())
}

fn cargo_home() -> PathBuf {
    std::env::var_os("CARGO_HOME").map_or_else(
        || std::env::home_dir().unwrap_or_default().join(".cargo"),
        PathBuf::from,
    )
}

fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}
