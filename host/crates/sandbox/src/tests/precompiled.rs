//! Machine code that came with the program: used where it can be, and never missed where it cannot (design D18).

use std::io::{self, Read as _};

use wasmtime::{Config, ModuleVersionStrategy};

use super::*;
use crate::builtin::link;
use crate::sys::{Code, forget_features};

/// What release archives are compiled for; of the same machine as these tests.
fn target() -> String {
    format!("{}-unknown-linux-musl", std::env::consts::ARCH)
}

/// What these tests are compiled for.
fn own_target() -> String {
    let libc = if cfg!(target_env = "musl") {
        "musl"
    } else {
        "gnu"
    };
    format!("{}-unknown-linux-{libc}", std::env::consts::ARCH)
}

fn compile(config: &Config) -> Code {
    Code::compiled_by(&Engine::new(config).unwrap(), HELLO.wasm())
}

/// The engine of a host.
fn usual() -> Engine {
    engine::engine(1).unwrap().0
}

/// Links `hello` with this code; returns the lines of the operator's log. Then runs it.
async fn greeted_with(code: Option<Code>, engine: Engine) -> String {
    let linker = imports::linker(&engine).unwrap();
    let hello = || Builtin::with_code("hello", Arc::<[u8]>::from(HELLO.wasm()).into(), code);
    let (mut told, operator) = io::pipe().unwrap();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(Arc::new(operator))
        .with_ansi(false)
        .without_time()
        .with_target(false)
        .finish();
    tracing::subscriber::with_default(subscriber, || {
        link(&engine, &linker, &hello()).map(drop).unwrap();
    });
    let config = SandboxConfig {
        slots_max: 1,
        threads: 1,
    };
    let sandbox = Sandbox::assemble(config, engine, Slots::Reserved, linker).unwrap();
    let tape = Tape::new();
    let call = Call {
        arguments: vec![("name".to_owned(), Value::Text("Ada".to_owned()))],
        ..call("unused", tape.clone())
    };
    let ending = sandbox.run(&hello(), call, Stop::never()).await;
    assert!(matches!(ending, GuestEnding::Success { .. }), "{ending:?}");
    assert_eq!(tape.text(Channel::Output), "Hello, Ada!\n");
    let mut lines = String::new();
    told.read_to_string(&mut lines).unwrap();
    lines.trim_start().to_owned()
}

#[tokio::test]
async fn d18_what_a_release_brings_along_is_loaded_and_not_compiled() {
    let engine = engine::compiler(&target()).unwrap();
    let code = Code::compiled_by(&engine, HELLO.wasm());
    expect![[r#"
        INFO a builtin was loaded as it was compiled with this program func.ref="hello"
    "#]]
    .assert_eq(&greeted_with(Some(code), usual()).await);
    expect![[r#"
        INFO a builtin is compiled func.ref="hello"
    "#]]
    .assert_eq(&greeted_with(None, usual()).await);
}

#[tokio::test]
async fn d18_code_that_does_not_suit_is_replaced_and_the_operator_is_told_once() {
    let mut other_version = engine::pooled(1);
    other_version
        .module_version(ModuleVersionStrategy::Custom("an older one".to_owned()))
        .unwrap();
    let mut other_settings = engine::pooled(1);
    other_settings.epoch_interruption(false);
    let mut old_machine = engine::pooled(1);
    // An engine runs only what it compiles for this very target, whose baseline is what an old machine has.
    old_machine.target(&own_target()).unwrap();
    forget_features(&mut old_machine);
    let mut no_pool = engine::config();
    no_pool.memory_reservation(1 << 20);
    let table = [
        ("another version", compile(&other_version), usual()),
        ("other settings", compile(&other_settings), usual()),
        (
            "a machine that can do less",
            compile(&engine::pooled(1)),
            Engine::new(&old_machine).unwrap(),
        ),
        (
            "too little address space for a pool",
            compile(&engine::pooled(1)),
            Engine::new(&no_pool).unwrap(),
        ),
    ];
    for (row, code, engine) in table {
        let told = greeted_with(Some(code), engine).await;
        let warning = "WARN a builtin is compiled, because the code that came with this program does not suit this \
                       machine func.ref=\"hello\" reason=";
        assert!(
            told.starts_with(warning) && told.lines().count() == 1,
            "{row}: {told}"
        );
    }
}

#[test]
fn what_is_no_component_or_no_target_is_not_precompiled() {
    let (module, here) = (b"\0asm\x01\0\0\0", target());
    let table = [
        (&module[..], here.as_str(), "not a component: "),
        (
            HELLO.wasm(),
            "pdp11-dec-unix",
            "no machine code can be made for the target pdp11-dec-unix: ",
        ),
    ];
    for (wasm, target, expected) in table {
        let error = precompile(wasm, target).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}
