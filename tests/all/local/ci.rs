//! Jobs of a `.gitlab-ci.yml`: what runs of them, and what is said about the rest.

use rustix::process::Signal;

use super::Place;

const CI: &str = "\
image: rust:1.95
variables: {TARGET: debug, GREETING: hello $TARGET}
.base:
  variables: {LEVEL: '1'}
build:
  extends: .base
  stage: build
  services: [db]
  run:
    - name: greet
      func: ./greet
      inputs: {name: '${{ job.GREETING }} ${{ job.LEVEL }}'}
    - name: done
      script: echo ${{ steps.greet.outputs.greeting }} in ${{ job.CI_JOB_NAME }}
test:
  before_script: ['echo before; X=kept']
  script:
    - echo $X $GREETING $CI $CI_PROJECT_DIR
    - '[ \"$FAIL\" != yes ]'
    - echo after it
  after_script: [echo ended as $CI_JOB_STATUS]
\"odd # name\":
  script: echo odd
loop: {extends: [loop], script: x}
";

fn place() -> Place {
    let place = Place::with_greet();
    place.file("ci/.gitlab-ci.yml", CI);
    place.file("ci/greet/func.yml", super::GREET);
    place
}

#[tokio::test]
async fn the_steps_of_a_job_run_where_its_file_is_with_its_variables() {
    let place = place();
    let ran = place
        .run(&["ci/.gitlab-ci.yml#build", "--var", "TARGET=release"])
        .await;
    assert_eq!(ran.status.code(), Some(0), "{ran:?}");
    assert!(
        ran.out.contains("hello hello release 1\x1b[0m"),
        "{}",
        ran.out
    );
    assert!(
        ran.out
            .ends_with("Running step name=done\nhello hello release 1 in build\n"),
        "{}",
        ran.out
    );
    assert_eq!(
        ran.err,
        "differs from CI:\n  `services`: not started\n  \
         `image: rust:1.95`: the job runs on this machine, in no container\nto stderr\n"
    );
}

#[tokio::test]
async fn a_script_runs_as_one_in_its_classic_form_and_after_script_runs_in_any_case() {
    let place = place();
    let ran = place.run(&["ci/.gitlab-ci.yml#test"]).await;
    assert_eq!(ran.status.code(), Some(0), "{ran:?}");
    let dir = place
        .work
        .path()
        .join("ci")
        .canonicalize()
        .expect("it is there");
    let said = format!("kept hello debug true {}\n", dir.display());
    assert!(ran.out.contains(&said), "{}", ran.out);
    assert!(
        ran.out
            .contains("\x1b[1;32m$ echo after it\x1b[0m\nafter it\n"),
        "{}",
        ran.out
    );
    assert!(ran.out.ends_with("\nended as success\n"), "{}", ran.out);
    let ran = place
        .run(&["ci/.gitlab-ci.yml#test", "--var", "FAIL=yes"])
        .await;
    assert_eq!(ran.status.code(), Some(1), "{ran:?}");
    assert!(!ran.out.contains("after it\n"), "{}", ran.out);
    assert!(ran.out.ends_with("\nended as failed\n"), "{}", ran.out);
    assert!(
        ran.err
            .contains("error: step user_script failed (exit status 1) after "),
        "{}",
        ran.err
    );
}

#[tokio::test]
async fn after_script_runs_after_an_interrupt_but_not_after_two() {
    let place = Place::new();
    place.file(
        ".gitlab-ci.yml",
        "job:\n  script: [\"sleep 300 & echo ready; wait\"]\n  after_script: [echo $CI_JOB_STATUS]\n",
    );
    let mut started = place.start(&[".gitlab-ci.yml#job"]);
    started.wait_for("ready").await;
    started.signal(Signal::INT);
    let ran = started.ended().await;
    assert_eq!(ran.status.code(), Some(130), "{}", ran.err);
    assert!(ran.out.ends_with("\ncanceled\n"), "{}", ran.out);

    place.file(
        ".gitlab-ci.yml",
        "job:\n  script: [\"trap 'echo refused' TERM; echo ready; while :; do sleep 300 & wait || :; done\"]\n  \
         after_script: [echo $CI_JOB_STATUS]\n",
    );
    let mut started = place.start(&[".gitlab-ci.yml#job", "--grace", "1h"]);
    started.wait_for("ready").await;
    started.signal(Signal::INT);
    started.wait_for("refused").await;
    started.signal(Signal::INT);
    let ran = started.ended().await;
    assert_eq!(ran.status.code(), Some(130), "{}", ran.err);
    assert!(ran.out.ends_with("refused\n"), "{ran:?}");
}

#[tokio::test]
async fn a_job_that_cannot_be_found_or_read_is_told_with_its_place() {
    let place = place();
    let jobs = "\"build\", \"test\", \"odd # name\", \"loop\"";
    let table = [
        (
            "ci/.gitlab-ci.yml",
            2,
            "which job? write one of: ci/.gitlab-ci.yml#build, ".to_owned(),
        ),
        (
            "ci/.gitlab-ci.yml#",
            2,
            "which job? write one of: ".to_owned(),
        ),
        (
            "ci/.gitlab-ci.yml#biuld",
            65,
            format!("ci/.gitlab-ci.yml: no job \"biuld\", it has {jobs}"),
        ),
        (
            "ci/.gitlab-ci.yml#.base",
            65,
            "ci/.gitlab-ci.yml: \".base\" is hidden".to_owned(),
        ),
        (
            "ci/.gitlab-ci.yml#loop",
            65,
            "ci/.gitlab-ci.yml:24:18: \"loop\" extends itself".to_owned(),
        ),
    ];
    for (what, code, sentence) in table {
        let ran = place.run(&[what]).await;
        assert_eq!(
            (ran.status.code(), ran.out.as_str()),
            (Some(code), ""),
            "{what}: {}",
            ran.err
        );
        assert!(
            ran.err.starts_with(&format!("error: {sentence}")),
            "{what}: {}",
            ran.err
        );
    }
    let odd = place.run(&["ci/.gitlab-ci.yml#odd # name"]).await;
    assert_eq!(odd.status.code(), Some(0), "{odd:?}");
    let inputs = place.run(&["ci/.gitlab-ci.yml#test", "-i", "a=b"]).await;
    assert_eq!(inputs.status.code(), Some(2));
    assert!(
        inputs.err.contains("give variables with --var"),
        "{}",
        inputs.err
    );
}

#[tokio::test]
async fn a_fault_in_a_step_is_told_where_it_stands_in_the_file() {
    let place = Place::new();
    place.file(
        ".gitlab-ci.yml",
        ".t: &t\n  - name: a\n    scirpt: x\njob:\n  run: *t\n",
    );
    let ran = place.run(&[".gitlab-ci.yml#job"]).await;
    assert_eq!(ran.status.code(), Some(65));
    assert_eq!(
        ran.err,
        "error: .gitlab-ci.yml:3:5: key `scirpt` is unknown (did you mean `script`?)\n"
    );
}
