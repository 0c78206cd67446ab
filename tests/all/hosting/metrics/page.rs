//! docs/metrics.md and what a host shows, held against each other both ways.

use std::collections::{BTreeMap, BTreeSet};

use stephost_tests::{block_on, blocks};

use super::Watched;

const PAGE: &str = include_str!("../../../../docs/metrics.md");

/// Rows of the page's tables: name, type, and the values of each label; no values where they are not words of ours.
fn told_families() -> BTreeMap<String, (String, BTreeMap<String, BTreeSet<String>>)> {
    let rows = PAGE.lines().filter(|line| line.starts_with("| `stephost_"));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, labels, meaning] = cells[..] else {
            panic!("four cells: {row}");
        };
        assert!(!meaning.is_empty(), "{row}");
        let labels = labels.split(';').map(str::trim);
        let labels = labels.filter(|label| *label != "–").map(|label| {
            let mut words = label.split('`').skip(1).step_by(2).map(str::to_owned);
            (words.next().expect(row), words.collect())
        });
        let name = name.trim_matches('`').to_owned();
        (name, (kind.to_owned(), labels.collect()))
    })
    .collect()
}

#[test]
fn the_page_names_every_figure_with_its_labels_and_no_other() {
    block_on(async {
        let watched = Watched::start(&[]).await;
        let figures = watched.figures().await;
        let mut shown: BTreeMap<_, _> = figures
            .families()
            .into_iter()
            .map(|(name, family)| (name, (family.kind.clone(), family.labels())))
            .collect();
        let told = told_families();
        // A version is not written down twice.
        for (name, (_, labels)) in &mut shown {
            for (label, values) in labels {
                let told = told.get(name).and_then(|(_, labels)| labels.get(label));
                if told.is_some_and(BTreeSet::is_empty) {
                    assert_eq!(
                        values.len(),
                        1,
                        "{name}: {label} has many words; the page has to name them"
                    );
                    values.clear();
                }
                // Nothing to name.
                values.remove("");
            }
        }
        assert_eq!(shown, told);
        watched.end().await;
    });
}

#[test]
fn the_alerts_of_the_page_ask_for_figures_that_there_are() {
    let told = told_families();
    let [rules] = blocks(PAGE, "yaml")[..] else {
        panic!("the page has one set of rules");
    };
    let words = rules.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    let asked: BTreeSet<&str> = words.filter(|word| word.starts_with("stephost_")).collect();
    assert!(asked.len() >= 3, "{asked:?}");
    for name in asked {
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|suffix| name.strip_suffix(suffix))
            .unwrap_or(name);
        assert!(told.contains_key(family), "{name} is asked for");
    }
    assert_eq!(
        rules.matches("alert:").count(),
        rules.matches("expr:").count()
    );
}
