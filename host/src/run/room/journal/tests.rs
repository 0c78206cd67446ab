//! What a journal says after every kind of death and damage.

use std::os::unix::fs::PermissionsExt as _;

use tempfile::TempDir;

use super::super::place;
use super::*;

struct Place(TempDir);

impl Place {
    fn new() -> Place {
        Place(tempfile::tempdir().unwrap())
    }

    fn room(&self) -> Arc<place::Place> {
        Arc::new(place::Place::at(self.0.path()).unwrap())
    }

    fn journal(&self) -> Arc<Journal> {
        Arc::new(Journal::create(&self.room()).unwrap())
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.0.path().join(NAME)).unwrap()
    }

    fn read(&self) -> Read {
        read(&self.room())
    }

    /// What is left, as `id how`.
    fn left(&self) -> Vec<String> {
        let Read { left, skipped } = self.read();
        assert_eq!(skipped, 0, "{}", self.text());
        let lines = left.iter().map(|left| {
            let how = left.ended.as_ref().map(|(_, how)| how);
            format!("{} {how:?}", left.id)
        });
        lines.collect()
    }
}

fn id(text: &str) -> JobId {
    JobId::parse(text).unwrap()
}

#[test]
fn what_is_not_closed_is_found_again_with_its_ending_and_times() {
    let place = Place::new();
    let journal = place.journal();
    let begin = |text| Recorded::begin(Some(&journal), &id(text));
    let (runs, failed, closed) = (begin("../r \"ä"), begin("failed"), begin("closed"));
    failed.ended(&How::Failed {
        exit_status: Some(3),
    });
    closed.ended(&How::Success);
    closed.closed();
    // Nobody has closed it, but nobody can ask for it any more either.
    drop(begin("dropped"));
    assert_eq!(
        place.left(),
        [
            "../r \"ä None",
            "failed Some(Failed { exit_status: Some(3) })"
        ]
    );
    let Read { left, .. } = place.read();
    let (ended, _) = left[1].ended.as_ref().unwrap();
    let since_began = ended.duration_since(left[1].began).unwrap();
    assert!(since_began < Duration::from_secs(60), "{since_began:?}");
    let metadata = std::fs::metadata(place.0.path().join(NAME)).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o600);
    drop((runs, failed));
    assert_eq!(place.left(), [""; 0]);
}

#[test]
fn a_job_is_broken_by_what_came_first_and_no_end_mends_it() {
    let place = Place::new();
    let journal = place.journal();
    let job = Recorded::begin(Some(&journal), &id("1"));
    let broken = |number: u128| How::Broken {
        incident: format!("{number:032x}"),
    };
    for how in [How::Success, broken(1), broken(2), How::Success] {
        job.ended(&how);
    }
    assert_eq!(place.left(), [format!("1 Some({:?})", broken(1))]);
}

#[test]
fn an_id_that_is_used_again_is_the_newer_job() {
    let place = Place::new();
    let journal = place.journal();
    let first = Recorded::begin(Some(&journal), &id("1"));
    let second = Recorded::begin(Some(&journal), &id("1"));
    first.closed();
    second.ended(&How::Cancelled);
    drop(first);
    assert_eq!(place.left(), ["1 Some(Cancelled)"]);
}

#[test]
fn what_is_inherited_is_written_down_as_it_was_left() {
    let place = Place::new();
    let journal = place.journal();
    let began = from_ms(1_700_000_000_000).unwrap();
    let ended = Some((from_ms(1_700_000_001_000).unwrap(), How::Denied));
    let lost = Some((clock::wall(), How::Lost));
    let kept = [None, lost, ended.clone()].map(|ended| {
        let id = id("1");
        Recorded::inherit(Some(&journal), &Left { id, began, ended })
    });
    let Read { left, .. } = place.read();
    assert!(left.iter().all(|left| left.began == began));
    assert_eq!(left[2].ended, ended);
    for left in &left[..2] {
        assert!(matches!(left.ended, Some((_, How::Lost))), "{left:?}");
    }
    drop(kept);
}

#[test]
fn a_line_that_was_cut_or_changed_is_counted_and_harms_no_other() {
    let place = Place::new();
    let journal = place.journal();
    let jobs = ["1", "2"].map(|text| Recorded::begin(Some(&journal), &id(text)));
    let whole = place.text();
    let lines: Vec<&str> = whole.lines().collect();
    for end in 0..whole.len() {
        let read = understand(&whole.as_bytes()[..end]);
        let starts = [0, lines[0].len() + 1];
        let expected = [lines[0].len(), whole.len() - 1];
        let left = expected.iter().filter(|&&needed| end >= needed).count();
        assert_eq!(read.left.len(), left, "{:?}", &whole[..end]);
        // A cut in a line is seen; one between two is none.
        let cuts = (0..2).any(|line| starts[line] < end && end < expected[line]);
        assert_eq!(read.skipped, usize::from(cuts), "{:?}", &whole[..end]);
    }
    for at in 0..lines[0].len() {
        let mut changed = whole.clone().into_bytes();
        changed[at] ^= 1;
        let read = understand(&changed);
        let ids: Vec<&str> = read.left.iter().map(|left| left.id.as_str()).collect();
        // A digit of the sum may be written in another way.
        let is_same = read.skipped == 0 && ids == ["1", "2"];
        assert!(
            is_same || (read.skipped > 0 && ids == ["2"]),
            "{at}: {read:?}"
        );
    }
    drop(jobs);
}

#[test]
fn a_line_whose_sum_is_right_and_whose_words_are_not_is_none() {
    let began = r#"{"began":{"job":1,"id":"1","at":1}}"#;
    let long = format!(
        r#"{{"began":{{"job":1,"id":"{}","at":1}}}}"#,
        "a".repeat(257)
    );
    let table = [
        ("{}", "nothing"),
        (r#"{"began":{"job":1,"id":"","at":1}}"#, "no id"),
        (long.as_str(), "a long id"),
        (
            r#"{"began":{"job":1,"id":"\u001b[31m","at":1}}"#,
            "a control character",
        ),
        (
            r#"{"began":{"job":1,"id":"1","at":253402300800000}}"#,
            "after the last year",
        ),
        (
            r#"{"began":{"job":-1,"id":"1","at":1}}"#,
            "a negative number",
        ),
        (
            r#"{"ended":{"job":1,"at":1,"how":"well"}}"#,
            "an unknown ending",
        ),
        (
            r#"{"ended":{"job":1,"at":1,"how":{"broken":{"incident":"\u001b"}}}}"#,
            "no incident",
        ),
        (r#"{"closed":{"job":1,"more":1}}"#, "more than there is"),
        ("\u{0}", "no JSON"),
    ];
    for (line, row) in table {
        let mut text = Vec::new();
        for json in [began, line] {
            writeln!(text, "{:08x} {json}", checksum(json.as_bytes())).unwrap();
        }
        let read = understand(&text);
        assert_eq!((read.left.len(), read.skipped), (1, 1), "{row}: {read:?}");
    }
}

#[test]
fn of_a_journal_that_is_too_long_the_end_counts() {
    let place = Place::new();
    let path = place.0.path().join(NAME);
    let mut text = Vec::new();
    for job in 0..JOBS_MAX as u64 + 5 {
        let id = job.to_string().into();
        Line::Began { job, id, at: 1 }.write(&mut text);
    }
    std::fs::write(&path, &text).unwrap();
    let Read { left, skipped } = place.read();
    assert_eq!((left.len(), skipped), (JOBS_MAX, 0));
    assert_eq!(left[0].id.as_str(), "5");
    let mut long = vec![b' '; usize::try_from(BYTES_MAX).unwrap()];
    long.push(b'\n');
    let mut end = Vec::new();
    let (id, at) = ("last".into(), 1);
    Line::Began { job: 1, id, at }.write(&mut end);
    std::fs::write(&path, [long, end].concat()).unwrap();
    let Read { left, skipped } = place.read();
    assert_eq!((left.len(), skipped), (1, 1), "the half line is seen");
}

#[test]
fn it_grows_with_the_jobs_that_there_are_and_not_with_those_that_were() {
    let place = Place::new();
    let journal = place.journal();
    let kept = Recorded::begin(Some(&journal), &id("kept"));
    kept.ended(&How::Success);
    let mut longest = 0;
    for number in 0..5_000 {
        let job = Recorded::begin(Some(&journal), &id(&number.to_string()));
        job.ended(&How::Success);
        longest = longest.max(place.0.path().join(NAME).metadata().unwrap().len());
    }
    assert!(longest < 2 * SLACK_BYTES, "{longest}");
    assert_eq!(place.left(), ["kept Some(Success)"]);
    assert_eq!(
        place.0.path().read_dir().unwrap().count(),
        1,
        "nothing beside it"
    );
}

/// As on a full disk.
#[test]
fn a_journal_that_cannot_be_written_harms_no_job_and_heals() {
    let place = Place::new();
    let journal = place.journal();
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let file = std::mem::replace(&mut journal.pages().ledger.file, full);
    let lost = Recorded::begin(Some(&journal), &id("lost"));
    lost.ended(&How::Success);
    assert!(journal.pages().told && journal.pages().torn);
    journal.pages().ledger.file = file;
    let job = Recorded::begin(Some(&journal), &id("1"));
    assert_eq!(place.left(), ["1 None"]);
    drop((lost, job));
}
