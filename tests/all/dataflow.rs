//! What flows into a step and out of it (contract 5.1 to 5.6, 10.4 X; design D8, D9), a file for each way.

mod environment;
mod exec_step;
mod export_file;
mod output_file;
mod variables;

use stephost_tests::{Host, JobBuilder};

/// A function that writes the job variable TEXT to the file of this name.
fn writer(outputs: &str, file: &str) -> String {
    format!(
        "spec: {{outputs: {outputs}}}\n---\n\
         exec: {{command: [sh, -c, 'printf %s \"$1\" > \"$2\"', sh, '${{{{ job.TEXT }}}}', '${{{{ {file} }}}}']}}"
    )
}

/// A job whose step `s` writes `text` to its output file; what comes out of it is printed.
fn outputs<'a>(host: &'a Host, declared: &str, text: &str) -> JobBuilder<'a> {
    host.file("s/func.yml", &writer(declared, "output_file"));
    host.job("run: [{name: s, func: ./s}, {name: show, script: \"echo '${{ steps.s.outputs }}'\"}]")
        .variable("TEXT", text)
}

/// A job whose step `s` writes `text` to its export file; the variable E of the next step is printed.
fn exports<'a>(host: &'a Host, text: &str) -> JobBuilder<'a> {
    host.file("s/func.yml", &writer("{}", "export_file"));
    host.job("run: [{name: s, func: ./s}, {name: show, script: 'echo \"[$E]\"'}]")
        .variable("TEXT", text)
}
