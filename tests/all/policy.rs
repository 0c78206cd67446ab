//! The policy of builtins, as an operator sees it (design D11, D20).

mod in_force;

use std::path::Path;

use stephost_tests::{program, run_program};
use tempfile::TempDir;

/// A copy of the program with a directory of its own beside it.
async fn copied() -> (TempDir, String) {
    let dir = TempDir::new().expect("a directory can be made");
    let copy = dir.path().join("stephost");
    let path = copy.to_str().expect("a temporary path is text").to_owned();
    let done = run_program(&["steps", "bootstrap", &path], &[]).await;
    assert!(done.status.success(), "{done:?}");
    (dir, path)
}

async fn run(program: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = tokio::process::Command::new(program)
        .args(arguments)
        .env_clear()
        .output()
        .await
        .expect("the copy starts");
    let text = |bytes| String::from_utf8(bytes).expect("the program writes text");
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

fn write(dir: &Path, text: &str) {
    let beside = dir.join("stephost.d");
    std::fs::create_dir_all(&beside).expect("a directory can be made");
    std::fs::write(beside.join("policy.toml"), text).expect("a file can be written");
}

#[tokio::test]
async fn d20_the_shipped_policy_is_shown_and_is_a_policy() {
    let shown = run_program(&["policy", "show"], &[]).await;
    assert_eq!((shown.status.code(), shown.err.as_str()), (Some(0), ""));
    assert!(
        shown
            .out
            .starts_with("# shipped with this program\n# sha256:"),
        "{}",
        shown.out
    );
    let dir = TempDir::new().expect("a directory can be made");
    let file = dir.path().join("again.toml");
    std::fs::write(&file, &shown.out).expect("a file can be written");
    let file = file.to_str().expect("a temporary path is text");
    let checked = run_program(&["policy", "check", file], &[]).await;
    assert_eq!((checked.status.code(), checked.err.as_str()), (Some(0), ""));
    let digest = shown
        .out
        .lines()
        .nth(1)
        .expect("a second line")
        .trim_start_matches("# ");
    assert_eq!(checked.out, format!("{file}: fine, 3 rules, {digest}\n"));
    let json = run_program(&["policy", "show", "--json"], &[]).await;
    assert!(
        json.out
            .starts_with("{\"schema\":\"stephost.policy/1\",\"name\":\"shipped\",\"file\":null,"),
        "{}",
        json.out
    );
}

#[tokio::test]
async fn d11_a_policy_beside_the_program_replaces_the_shipped_one_and_travels_with_bootstrap() {
    let (dir, copy) = copied().await;
    write(dir.path(), "policy = 1\nname = \"own\"\n");
    let (code, out, _) = run(&copy, &["policy", "show"]).await;
    assert_eq!(code, Some(0));
    assert!(
        out.contains("name = \"own\"") && !out.contains("[[allow]]"),
        "{out}"
    );
    let second = dir.path().join("second");
    let second = second.to_str().expect("a temporary path is text");
    assert_eq!(run(&copy, &["steps", "bootstrap", second]).await.0, Some(0));
    let (_, out, _) = run(second, &["policy", "show"]).await;
    assert!(
        out.contains("name = \"own\"") && out.contains("second.d/policy.toml"),
        "{out}"
    );
}

#[tokio::test]
async fn d11_a_broken_policy_beside_the_program_is_never_passed_over() {
    let (dir, copy) = copied().await;
    write(dir.path(), "policy = 1\nname = \"own\"\n[[alow]]\n");
    let (code, out, err) = run(&copy, &["policy", "show"]).await;
    assert_eq!((code, out.as_str()), (Some(78), ""));
    assert!(
        err.contains("key \"alow\" is unknown") && err.contains("policy.toml:3:3"),
        "{err}"
    );
    assert!(
        !err.contains('\u{1b}'),
        "nobody looks, so there is no colour: {err:?}"
    );
}

#[tokio::test]
async fn d11_nothing_of_the_surroundings_chooses_a_policy() {
    let shipped = run_program(&["policy", "show"], &[]).await;
    let dir = TempDir::new().expect("a directory can be made");
    write(dir.path(), "policy = 1\nname = \"job\"\n");
    let file = dir.path().join("stephost.d/policy.toml");
    let output = tokio::process::Command::new(program())
        .args(["policy", "show"])
        .env_clear()
        .env("STEPHOST_POLICY", &file)
        .env("HOME", dir.path())
        .env("XDG_CONFIG_HOME", dir.path())
        .current_dir(dir.path())
        .output()
        .await
        .expect("the program starts");
    assert!(
        shipped.out.contains("name = \"shipped\""),
        "{}",
        shipped.out
    );
    assert_eq!(String::from_utf8_lossy(&output.stdout), shipped.out);
}

#[tokio::test]
async fn every_file_is_checked_and_one_bad_one_decides() {
    let (dir, copy) = copied().await;
    let path = |name: &str| dir.path().join(name).to_str().expect("text").to_owned();
    std::fs::write(path("good"), "policy = 1\nname = \"g\"\n").expect("a file can be written");
    std::fs::write(path("bad"), "policy = 1\n").expect("a file can be written");
    let files = [path("bad"), path("gone"), path("good")];
    let (code, out, err) = run(&copy, &["policy", "check", &files[0], &files[1], &files[2]]).await;
    assert_eq!(code, Some(78));
    assert!(
        out.contains("good: fine, 0 rules") && out.lines().count() == 1,
        "{out}"
    );
    assert!(
        err.contains("needs the key `name`") && err.contains("gone"),
        "{err}"
    );
    assert_eq!(run(&copy, &["policy", "check"]).await.0, Some(2));
}
