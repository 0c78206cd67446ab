//! Figures with their goals, as a table and as JSON, and the little arithmetic they need.

use std::fmt::Write as _;
use std::time::Duration;

/// One figure, and what it should be.
#[derive(Debug)]
pub struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
    goal: Option<Goal>,
}

#[derive(Debug, Clone, Copy)]
enum Goal {
    AtMost(f64),
    AtLeast(f64),
}

impl Figure {
    /// A name that begins with `…` goes on where the figure before it began.
    pub fn new(name: impl Into<String>, value: f64, unit: &'static str) -> Figure {
        Figure {
            name: name.into(),
            value,
            unit,
            goal: None,
        }
    }

    /// It should not be more than this.
    #[must_use]
    pub fn at_most(self, bound: f64) -> Figure {
        Figure {
            goal: Some(Goal::AtMost(bound)),
            ..self
        }
    }

    /// It should not be less than this.
    #[must_use]
    pub fn at_least(self, bound: f64) -> Figure {
        Figure {
            goal: Some(Goal::AtLeast(bound)),
            ..self
        }
    }

    fn verdict(&self) -> String {
        let (words, met) = match self.goal {
            None => return String::new(),
            Some(Goal::AtMost(bound)) => (format!("goal: at most {bound}"), self.value <= bound),
            Some(Goal::AtLeast(bound)) => (format!("goal: at least {bound}"), self.value >= bound),
        };
        if met {
            words
        } else {
            format!("{words}, MISSED")
        }
    }
}

/// One line for each figure.
pub fn table(figures: &[Figure]) -> String {
    let mut table = String::new();
    for figure in figures {
        let places = if figure.value < 100.0 { 2 } else { 0 };
        let value = format!("{:.places$} {}", figure.value, figure.unit);
        let line = format!("{:<52} {value:>13}  {}", figure.name, figure.verdict());
        // Writing to a string cannot fail.
        let _ = writeln!(table, "{}", line.trim_end());
    }
    table
}

/// One document. The figures are an array, because their order says which belong together.
pub fn json(name: &str, figures: &[Figure]) -> String {
    let mut begun = "";
    let objects = figures.iter().map(|figure| {
        let name = match figure.name.strip_prefix('…') {
            Some(rest) => format!("{begun}{rest}"),
            None => {
                begun = &figure.name;
                figure.name.clone()
            }
        };
        let (at_most, at_least) = match figure.goal {
            None => (None, None),
            Some(Goal::AtMost(bound)) => (Some(bound), None),
            Some(Goal::AtLeast(bound)) => (None, Some(bound)),
        };
        serde_json::json!({
            "name": name,
            "value": figure.value,
            "unit": figure.unit,
            "at_most": at_most,
            "at_least": at_least,
        })
    });
    let figures: serde_json::Value = objects.collect();
    let name = serde_json::Value::from(name);
    format!("{{\"schema\":\"stephost.bench/1\",\"bench\":{name},\"figures\":{figures}}}")
}

/// The one in the middle.
///
/// # Panics
///
/// When there is none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The one that so many of a hundred do not exceed.
///
/// # Panics
///
/// When there is none.
pub fn percentile(mut values: Vec<f64>, hundredths: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    let rank = (values.len() * hundredths).div_ceil(100).max(1);
    values[rank - 1]
}

/// The largest.
pub fn worst(values: &[f64]) -> f64 {
    values.iter().copied().fold(0.0, f64::max)
}

/// A time in microseconds.
pub fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// All counts here are small.
pub fn as_f64(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
