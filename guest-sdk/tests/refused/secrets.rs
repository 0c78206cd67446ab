//! Secrets that would not stay secret.
use stephost_sdk::prelude::*;

#[derive(Inputs)]
struct Open {
    #[input(sensitive)]
    token: String,
}

#[derive(Inputs)]
struct InTheSource {
    #[input(sensitive, default = "hunter2")]
    token: Secret,
}

#[derive(Outputs)]
struct GivenBack {
    token: Secret,
}

fn show(token: Secret) {
    say!("{token}");
}

fn main() {}
