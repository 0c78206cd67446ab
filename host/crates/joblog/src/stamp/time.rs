//! Writes wall time as `YYYY-MM-DDTHH:MM:SS.uuuuuuZ`.
//!
//! A log asks for the time of every write, mostly within one second, so the second is kept and only the
//! fraction is written anew. Times before 1970 and after 9999 become the nearest one that has this form.

use std::time::{SystemTime, UNIX_EPOCH};

/// Length of the text.
pub(super) const TIME_BYTES: usize = 27;

/// The last second of the year 9999.
const LAST_SECOND: u64 = 253_402_300_799;

const SECONDS_PER_DAY: u64 = 24 * 60 * 60;

/// The last text, and the second that it shows.
#[derive(Debug)]
pub(super) struct Times {
    second: u64,
    text: [u8; TIME_BYTES],
}

impl Default for Times {
    fn default() -> Times {
        Times {
            second: 0,
            text: *b"1970-01-01T00:00:00.000000Z",
        }
    }
}

impl Times {
    /// Returns the text for `now`.
    pub(super) fn text(&mut self, now: SystemTime) -> &[u8; TIME_BYTES] {
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (second, micros) = match since.as_secs() {
            second @ 0..=LAST_SECOND => (second, since.subsec_micros()),
            _ => (LAST_SECOND, 999_999),
        };
        if second != self.second {
            self.write_second(second);
        }
        write_digits(&mut self.text[20..26], u64::from(micros));
        &self.text
    }

    fn write_second(&mut self, second: u64) {
        let (year, month, day) = date(second / SECONDS_PER_DAY);
        let of_day = second % SECONDS_PER_DAY;
        write_digits(&mut self.text[0..4], year);
        write_digits(&mut self.text[5..7], month);
        write_digits(&mut self.text[8..10], day);
        write_digits(&mut self.text[11..13], of_day / 3600);
        write_digits(&mut self.text[14..16], of_day / 60 % 60);
        write_digits(&mut self.text[17..19], of_day % 60);
        self.second = second;
    }
}

/// Year, month and day of a day, counted from 1970-01-01 as 0. Once a second, so plain counting will do.
fn date(mut day: u64) -> (u64, u64, u64) {
    let mut year = 1970;
    while day >= 365 + leap_day(year) {
        day -= 365 + leap_day(year);
        year += 1;
    }
    let months = [
        31,
        28 + leap_day(year),
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ];
    let mut month = 1;
    for days in months {
        if day < days {
            break;
        }
        day -= days;
        month += 1;
    }
    (year, month, day + 1)
}

/// 1 in a leap year, else 0.
fn leap_day(year: u64) -> u64 {
    u64::from(year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400))
}

/// Fills `field` with the last digits of `value`.
fn write_digits(field: &mut [u8], mut value: u64) {
    for digit in field.iter_mut().rev() {
        *digit = b"0123456789"[(value % 10) as usize];
        value /= 10;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn text(times: &mut Times, since: Duration) -> String {
        String::from_utf8(times.text(UNIX_EPOCH + since).to_vec()).expect("ASCII")
    }

    #[test]
    fn each_time_has_its_text() {
        let table = [
            // seconds and microseconds since 1970, text (as `date -u` prints it)
            (0, 0, "1970-01-01T00:00:00.000000Z"),
            (1, 1, "1970-01-01T00:00:01.000001Z"),
            (951_782_400, 0, "2000-02-29T00:00:00.000000Z"),
            (951_868_800, 0, "2000-03-01T00:00:00.000000Z"),
            (1_709_164_799, 999_999, "2024-02-28T23:59:59.999999Z"),
            (1_709_164_800, 0, "2024-02-29T00:00:00.000000Z"),
            (1_735_689_599, 120_000, "2024-12-31T23:59:59.120000Z"),
            (1_735_689_600, 0, "2025-01-01T00:00:00.000000Z"),
            (1_795_545_485, 123_456, "2026-11-24T18:38:05.123456Z"),
            (4_107_542_399, 0, "2100-02-28T23:59:59.000000Z"),
            (4_107_542_400, 0, "2100-03-01T00:00:00.000000Z"),
            (253_402_300_799, 5, "9999-12-31T23:59:59.000005Z"),
            (253_402_300_800, 5, "9999-12-31T23:59:59.999999Z"),
        ];
        let mut times = Times::default();
        for (seconds, micros, expected) in table {
            let since = Duration::from_secs(seconds) + Duration::from_micros(micros);
            assert_eq!(
                text(&mut Times::default(), since),
                expected,
                "{seconds} s, afresh"
            );
            assert_eq!(
                text(&mut times, since),
                expected,
                "{seconds} s, after others"
            );
            assert_eq!(text(&mut times, since), expected, "{seconds} s, again");
        }
        assert_eq!(
            text(&mut times, Duration::ZERO),
            "1970-01-01T00:00:00.000000Z",
            "the clock went back"
        );
    }

    #[test]
    fn a_time_before_1970_is_shown_as_its_beginning() {
        let before = UNIX_EPOCH - Duration::from_secs(5);
        assert_eq!(
            Times::default().text(before),
            b"1970-01-01T00:00:00.000000Z"
        );
    }

    #[test]
    fn the_days_of_four_centuries_follow_each_other() {
        let mut last = (1969, 12, 31);
        // Four centuries are what leap days repeat after.
        for day in 0..=4 * 36_524 + 1 + 365 {
            let (year, month, day_of_month) = date(day);
            let follows = [
                (last.0, last.1, last.2 + 1),
                (last.0, last.1 + 1, 1),
                (last.0 + 1, 1, 1),
            ];
            assert!(
                follows.contains(&(year, month, day_of_month)),
                "day {day} is {year}-{month}-{day_of_month}"
            );
            assert!(
                (1..=12).contains(&month) && (1..=31).contains(&day_of_month),
                "day {day}"
            );
            assert!(
                day_of_month != 1 || last.2 >= 28,
                "day {day}: a month of {} days",
                last.2
            );
            last = (year, month, day_of_month);
        }
        assert_eq!(date(4 * 36_524 + 1), (2370, 1, 1));
        assert_eq!(date(LAST_SECOND / SECONDS_PER_DAY), (9999, 12, 31));
    }
}
