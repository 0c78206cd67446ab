//! docs/SPECIFICATION.md: each bench has a section there, which is written by its run and never by hand.
//!
//! A section says what was measured, by which command, when, of which commit, and on what kind of machine; the name of
//! the machine does not matter to anybody. Everything else of the page stays as it is.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::cargo::root;

const PAGE: &str = "docs/SPECIFICATION.md";
/// Between these lines are the sections of the benches.
const BEGIN: &str = "<!-- figures: `cargo xtask bench --write` writes them -->\n";
const END: &str = "<!-- end of the figures -->\n";

/// Where and when something was measured.
struct Circumstances {
    date: String,
    commit: String,
    machine: String,
}

/// Puts what a bench printed into the page.
pub(super) fn write(name: &str, document: &[u8]) -> anyhow::Result<()> {
    let file = root().join(PAGE);
    let page = std::fs::read_to_string(&file).with_context(|| format!("reading {PAGE}"))?;
    let document: Value = serde_json::from_slice(document).context("reading the figures")?;
    let written = with_section(&page, name, &section(name, &document, &circumstances())?)?;
    std::fs::write(&file, written).with_context(|| format!("writing {PAGE}"))?;
    println!("{name}: written to {PAGE}");
    Ok(())
}

fn circumstances() -> Circumstances {
    let git = |arguments: &[&str]| {
        let output = Command::new("git")
            .args(arguments)
            .current_dir(root())
            .output();
        let output = output.ok().filter(|output| output.status.success());
        output.map_or_else(
            || "unknown".to_owned(),
            |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        )
    };
    let mut commit = git(&["describe", "--always", "--exclude=*"]);
    // What is written here says nothing about what was measured.
    let page = format!(":!{PAGE}");
    if !git(&["status", "--porcelain", "--", ".", &page]).is_empty() {
        commit.push_str("-dirty");
    }
    let read = |file: &str| std::fs::read_to_string(Path::new("/proc").join(file));
    let machine = machine(
        &read("cpuinfo").unwrap_or_default(),
        &read("meminfo").unwrap_or_default(),
        &read("sys/kernel/osrelease").unwrap_or_default(),
        std::thread::available_parallelism().map_or(1, usize::from),
    );
    let load = read("loadavg").unwrap_or_default();
    if load.split(' ').next().and_then(|load| load.parse().ok()) > Some(1.0) {
        eprintln!(
            "warning: others work on this machine (load {}): figures may be worse than they are",
            load.trim()
        );
    }
    let now = jiff::Timestamp::now().to_string();
    Circumstances {
        date: now.split('T').next().unwrap_or_default().to_owned(),
        commit,
        machine,
    }
}

/// The class of a machine: processor, cores, kernel, memory.
fn machine(cpuinfo: &str, meminfo: &str, release: &str, cores: usize) -> String {
    let value = |text: &str, key: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once(':'));
        let (_, value) = lines.find(|(found, _)| found.trim() == key)?;
        Some(value.trim().to_owned())
    };
    let processor =
        value(cpuinfo, "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    let kibibytes = value(meminfo, "MemTotal").and_then(|total| {
        let number = total.split(' ').next()?;
        number.parse::<u64>().ok()
    });
    let memory = kibibytes.map_or_else(String::new, |kibibytes| {
        // The kernel keeps some for itself.
        format!(", {} GiB", kibibytes.div_ceil(1 << 20))
    });
    // What follows the version tells of who built it.
    let version = release.split(|letter: char| !letter.is_ascii_digit() && letter != '.');
    let version = version.take(1).collect::<String>();
    format!("{processor}, {cores} cores, Linux {version}{memory}")
}

fn section(name: &str, document: &Value, at: &Circumstances) -> anyhow::Result<String> {
    ensure!(
        document["schema"] == "stephost.bench/1" && document["bench"] == name,
        "these are no figures of {name}"
    );
    let figures = document["figures"]
        .as_array()
        .context("there are figures")?;
    let mut section = format!(
        "### {name}\n\n`cargo xtask bench {name}`, {}, commit {}, {}:\n\n\
         | figure | measured | goal | |\n|---|---|---|---|\n",
        at.date, at.commit, at.machine
    );
    for figure in figures {
        let value = figure["value"].as_f64().context("a figure has a value")?;
        let text = |key: &str| {
            figure[key]
                .as_str()
                .context("a figure has a name and a unit")
        };
        let places = if value < 100.0 { 2 } else { 0 };
        let (goal, verdict) = match (figure["at_most"].as_f64(), figure["at_least"].as_f64()) {
            (Some(bound), _) => (format!("at most {bound}"), verdict(value <= bound)),
            (_, Some(bound)) => (format!("at least {bound}"), verdict(value >= bound)),
            (None, None) => (String::new(), ""),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(
            section,
            "| {} | {value:.places$} {} | {goal} | {verdict} |",
            text("name")?,
            text("unit")?
        );
    }
    Ok(section)
}

fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "missed" }
}

/// The page with this section in place of the one that it had, in the order of their names.
fn with_section(page: &str, name: &str, section: &str) -> anyhow::Result<String> {
    let lost = || format!("{PAGE} has no place for figures: the line {}", BEGIN.trim());
    let (before, rest) = page.split_once(BEGIN).with_context(lost)?;
    let (figures, after) = rest.split_once(END).with_context(lost)?;
    let title = |section: &str| section.lines().next().unwrap_or_default().to_owned();
    let own = format!("### {name}");
    let mut sections: Vec<String> = figures
        .split("### ")
        .skip(1)
        .map(|kept| format!("### {}\n", kept.trim_end()))
        .filter(|kept| title(kept) != own)
        .collect();
    sections.push(section.to_owned());
    sections.sort_by_key(|section| title(section));
    Ok(format!(
        "{before}{BEGIN}\n{}\n{END}{after}",
        sections.join("\n")
    ))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    fn at() -> Circumstances {
        Circumstances {
            date: "2026-01-02".to_owned(),
            commit: "c0ffee".to_owned(),
            machine: "a processor, 2 cores, Linux 6.1, 8 GiB".to_owned(),
        }
    }

    fn document(name: &str, value: f64) -> Value {
        let figure = |name: &str, at_most: Option<f64>, at_least: Option<f64>| json!({ "name": name, "value": value, "unit": "ms", "at_most": at_most, "at_least": at_least });
        json!({
            "schema": "stephost.bench/1", "bench": name,
            "figures": [figure("a job", Some(1.2), None), figure("speed", None, Some(1.0)), figure("floor", None, None)],
        })
    }

    #[test]
    fn a_bench_writes_its_own_section_and_no_other() {
        let empty = format!("# Figures\n\n{BEGIN}{END}\nThe rest.\n");
        let put = |page: &str, name: &str, value: f64| {
            let section = section(name, &document(name, value), &at()).unwrap();
            with_section(page, name, &section).unwrap()
        };
        let page = put(&empty, "sandbox", 2.0);
        let page = put(&page, "host", 150.4);
        let page = put(&page, "sandbox", 0.5);
        expect![[r#"
            # Figures

            <!-- figures: `cargo xtask bench --write` writes them -->

            ### host

            `cargo xtask bench host`, 2026-01-02, commit c0ffee, a processor, 2 cores, Linux 6.1, 8 GiB:

            | figure | measured | goal | |
            |---|---|---|---|
            | a job | 150 ms | at most 1.2 | missed |
            | speed | 150 ms | at least 1 | met |
            | floor | 150 ms |  |  |

            ### sandbox

            `cargo xtask bench sandbox`, 2026-01-02, commit c0ffee, a processor, 2 cores, Linux 6.1, 8 GiB:

            | figure | measured | goal | |
            |---|---|---|---|
            | a job | 0.50 ms | at most 1.2 | met |
            | speed | 0.50 ms | at least 1 | missed |
            | floor | 0.50 ms |  |  |

            <!-- end of the figures -->

            The rest.
        "#]].assert_eq(&page);
        assert_eq!(
            put(&page, "host", 150.4),
            page,
            "the same figures change nothing"
        );
    }

    #[test]
    fn figures_of_something_else_are_not_written() {
        assert!(section("host", &document("sandbox", 1.0), &at()).is_err());
        assert!(section("host", &json!({}), &at()).is_err());
        let error = with_section("# Figures\n", "host", "").unwrap_err();
        assert!(
            error.to_string().contains("no place for figures"),
            "{error}"
        );
    }

    #[test]
    fn a_machine_is_its_class_and_not_its_name() {
        let cpuinfo = "processor\t: 0\nmodel name\t: Fast CPU @ 2GHz\nprocessor\t: 1\nmodel name\t: Fast CPU @ 2GHz\n";
        let meminfo = "MemTotal:        8036220 kB\nMemFree: 1 kB\n";
        assert_eq!(
            machine(cpuinfo, meminfo, "6.18.44-by-somebody+7\n", 2),
            "Fast CPU @ 2GHz, 2 cores, Linux 6.18.44, 8 GiB"
        );
        let unknown = machine("", "", "", 1);
        assert_eq!(
            unknown,
            format!("{}, 1 cores, Linux ", std::env::consts::ARCH)
        );
    }

    /// The page that is there takes what a bench writes, and names tests that exist.
    #[test]
    fn the_page_of_the_project_has_a_place_for_figures_and_true_names_of_tests() {
        let page = std::fs::read_to_string(root().join(PAGE)).unwrap();
        let section = section("host", &document("host", 1.0), &at()).unwrap();
        assert!(
            with_section(&page, "host", &section)
                .unwrap()
                .contains(&section)
        );
        let (_, promises) = page.split_once("## Promises").unwrap();
        let rows = promises
            .lines()
            .filter(|line| line.starts_with("| ") && line.contains(".rs"));
        let mut tests = 0;
        for row in rows {
            let mut cells = row
                .trim_matches('|')
                .rsplit('|')
                .map(|cell| cell.trim().trim_matches('`'));
            let (test, file) = (cells.next().unwrap(), cells.next().unwrap());
            let text = std::fs::read_to_string(root().join(file)).unwrap_or_default();
            assert!(text.contains(test), "{file} has no test {test}");
            tests += 1;
        }
        assert!(tests > 5, "it names tests");
    }
}
