//! Guests that no compiler makes: written in the text format, against the engine and the component model
//! rather than through the SDK. After each the sandbox runs the next guest at once.

use super::*;

/// A step whose core module is written by hand; the parts are in the text format.
pub(super) struct Evil {
    /// Memories, tables, globals, the start function.
    pub(super) module: &'static str,
    pub(super) realloc: &'static str,
    pub(super) run: &'static str,
    pub(super) post: &'static str,
    /// Beside the core module.
    pub(super) component: &'static str,
}

/// A step that does nothing.
pub(super) const IDLE: Evil = Evil {
    module: r#"(memory (export "memory") 1)"#,
    // The arguments of a test fit anywhere.
    realloc: "(i32.const 0x1000)",
    run: "(i32.const 0x8000)",
    post: "",
    component: "",
};

const SPIN: &str = "(loop $again (br $again)) unreachable";

impl Evil {
    pub(super) fn builtin(&self) -> Builtin {
        let core = format!(
            r#"{}
            (func $realloc (export "realloc") (param i32 i32 i32 i32) (result i32) {})
            (func $run (export "run") (param i32 i32) (result i32) {})
            (func (export "run-post") (param i32) {})"#,
            self.module, self.realloc, self.run, self.post
        );
        let text = include_str!("evil/step.wat")
            .replace("{core}", &core)
            .replace("{component}", self.component);
        let wasm = wat::parse_str(&text).unwrap_or_else(|fault| panic!("{fault}\n{text}"));
        Builtin::new("evil", Arc::<[u8]>::from(wasm))
    }

    async fn run(&self, limits: Limits) -> GuestEnding {
        let mut call = call("anything", Tape::new());
        call.limits = limits;
        SANDBOX.run(&self.builtin(), call, Stop::never()).await
    }
}

/// Runs each, checks the ending's first words, and that the sandbox is as good as before.
async fn check_all<const N: usize>(table: [(&str, Evil, Limits, &str); N]) {
    for (row, evil, limits, expected) in table {
        let since = Instant::now();
        let ending = brief(&evil.run(limits).await);
        assert!(ending.starts_with(expected), "{row}: {ending}");
        assert!(since.elapsed() < 10 * SOON, "{row}: {:?}", since.elapsed());
        assert_alive().await;
    }
}

fn wall(millis: u64) -> Limits {
    Limits {
        wall_max: Some(Duration::from_millis(millis)),
        ..Limits::shipped()
    }
}

#[tokio::test]
async fn an_idle_step_written_by_hand_succeeds() {
    check_all([("idle", IDLE, Limits::shipped(), "success")]).await;
}

#[tokio::test]
async fn what_the_processor_refuses_is_named() {
    let run = |run| Evil { run, ..IDLE };
    let limits = Limits::shipped;
    check_all([
        ("unreachable", run("unreachable"), limits(), "trap: abort"),
        (
            "a read beyond the memory",
            run("(i32.load (i32.const 0x7fff0000))"),
            limits(),
            "trap: out of bounds memory access",
        ),
        (
            "a copy beyond the memory",
            run("(memory.fill (i32.const 0) (i32.const 0) (i32.const 0x20000)) (i32.const 0x8000)"),
            limits(),
            "trap: out of bounds memory access",
        ),
        (
            "a division by zero",
            run("(i32.div_u (local.get 0) (i32.const 0))"),
            limits(),
            "trap: integer divide by zero",
        ),
        (
            "a call beyond the table",
            Evil {
                module: r#"(memory (export "memory") 1) (table 1 funcref)"#,
                ..run("(call_indirect (result i32) (i32.const 7))")
            },
            limits(),
            "trap: undefined element: out of bounds table access",
        ),
        (
            "a call of nothing",
            Evil {
                module: r#"(memory (export "memory") 1) (table 1 funcref)"#,
                ..run("(call_indirect (result i32) (i32.const 0))")
            },
            limits(),
            "trap: uninitialized element",
        ),
        (
            "a call of something else",
            Evil {
                module: r#"(memory (export "memory") 1) (table funcref (elem $realloc))"#,
                ..run("(call_indirect (result i32) (i32.const 0))")
            },
            limits(),
            "trap: indirect call type mismatch",
        ),
        (
            "the native stack",
            run("(i32.add (call $run (local.get 0) (local.get 1)) (i32.const 1))"),
            limits(),
            "trap: stack overflow",
        ),
    ])
    .await;
}

#[tokio::test]
async fn bombs_meet_their_limit() {
    let small = |memory_bytes_max| Limits {
        memory_bytes_max,
        ..Limits::shipped()
    };
    check_all([
        (
            "a memory that is large from the start",
            Evil {
                module: r#"(memory (export "memory") 0x8000)"#,
                ..IDLE
            },
            Limits::shipped(),
            // Met by `describe` already, which comes first and has less.
            "limit memory: memory limit of 16 MiB exceeded",
        ),
        (
            "a memory that grows page by page",
            Evil {
                run: "(loop $again (drop (memory.grow (i32.const 1))) (br $again)) unreachable",
                ..IDLE
            },
            small(4 << 20),
            "limit memory: memory limit of 4 MiB exceeded",
        ),
        (
            "two memories, each within the limit",
            Evil {
                module: r#"(memory (export "memory") 1) (memory $other 1)"#,
                run: "(drop (memory.grow (i32.const 40))) (drop (memory.grow $other (i32.const 40))) (i32.const 0x8000)",
                ..IDLE
            },
            small(64 << 16),
            "limit memory: memory limit of 4 MiB exceeded",
        ),
        (
            "memories of other modules",
            Evil {
                component: "(core module $other (memory 20)) (core instance (instantiate $other)) \
                            (core instance (instantiate $other)) (core instance (instantiate $other))",
                ..IDLE
            },
            small(60 << 16),
            "limit memory: memory limit of 3840 KiB exceeded",
        ),
        (
            "more memories than a slot has",
            Evil {
                module: r#"(memory (export "memory") 1) (memory 0) (memory 0) (memory 0) (memory 0)"#,
                ..IDLE
            },
            Limits::shipped(),
            "limit memories: memories limit of 4 exceeded",
        ),
        (
            "a table that grows",
            Evil {
                module: r#"(memory (export "memory") 1) (table $table 1 funcref)"#,
                run: "(loop $again (drop (table.grow $table (ref.null func) (i32.const 100))) (br $again)) unreachable",
                ..IDLE
            },
            Limits {
                table_elements_max: 5_000,
                ..Limits::shipped()
            },
            "limit table-elements: table-elements limit of 5000 exceeded",
        ),
        (
            "tables that are small alone and large together",
            Evil {
                module: r#"(memory (export "memory") 1) (table 20000 funcref) (table 20000 funcref)
                    (table 20000 funcref) (table 20000 funcref) (table 20000 funcref) (table 1 funcref)"#,
                ..IDLE
            },
            Limits::shipped(),
            "limit table-elements: table-elements limit of 100000 exceeded",
        ),
        (
            "a table larger than a slot has",
            Evil {
                module: r#"(memory (export "memory") 1) (table 20001 funcref)"#,
                ..IDLE
            },
            Limits::shipped(),
            "limit table-elements: table-elements limit of 20000 exceeded",
        ),
        (
            "more tables than a slot has",
            Evil {
                module: r#"(memory (export "memory") 1) (table 0 funcref) (table 0 funcref) (table 0 funcref)
                    (table 0 funcref) (table 0 funcref) (table 0 funcref) (table 0 funcref) (table 0 funcref)
                    (table 0 funcref)"#,
                ..IDLE
            },
            Limits::shipped(),
            "limit tables: tables limit of 8 exceeded",
        ),
        (
            "more instances than a slot has",
            Evil {
                component: "(core module $other) \
                            (core instance (instantiate $other)) (core instance (instantiate $other)) \
                            (core instance (instantiate $other)) (core instance (instantiate $other)) \
                            (core instance (instantiate $other)) (core instance (instantiate $other)) \
                            (core instance (instantiate $other)) (core instance (instantiate $other)) \
                            (core instance (instantiate $other)) (core instance (instantiate $other)) \
                            (core instance (instantiate $other)) (core instance (instantiate $other)) \
                            (core instance (instantiate $other)) (core instance (instantiate $other)) \
                            (core instance (instantiate $other)) (core instance (instantiate $other))",
                ..IDLE
            },
            Limits::shipped(),
            "limit instances: instances limit of 16 exceeded",
        ),
    ])
    .await;
}

/// Handles of a resource of its own: the engine keeps them, the sandbox counts them.
pub(super) const HANDLES: Evil = Evil {
    run: "(loop $again (drop (call_indirect (param i32) (result i32) (i32.const 1) (i32.const 0))) (br $again)) unreachable",
    module: r#"(memory (export "memory") 1) (table (export "table") 1 funcref)"#,
    component: r#"(type $thing (resource (rep i32)))
        (core func $new (canon resource.new $thing))
        (core module $fill
          (import "core" "table" (table 1 funcref))
          (import "core" "new" (func $new (param i32) (result i32)))
          (elem (i32.const 0) func $new))
        (alias core export $core "table" (core table $table))
        (core instance (instantiate $fill (with "core" (instance
          (export "table" (table $table)) (export "new" (func $new))))))"#,
    ..IDLE
};

#[tokio::test]
async fn every_place_where_a_guest_computes_can_be_ended() {
    check_all([
        (
            "the start function",
            Evil {
                module: r#"(memory (export "memory") 1) (func $start (loop $again (br $again))) (start $start)"#,
                ..IDLE
            },
            wall(30),
            // It runs for `describe` already, which has a wall of its own.
            "limit wall: wall limit of 2 s exceeded",
        ),
        (
            "while its arguments are stored",
            Evil {
                realloc: SPIN,
                ..IDLE
            },
            wall(30),
            "limit wall: wall limit of 30 ms exceeded",
        ),
        (
            "after it returned",
            Evil {
                post: "(loop $again (br $again))",
                ..IDLE
            },
            wall(30),
            "limit wall: wall limit of 30 ms exceeded",
        ),
        (
            "calling a host function without end",
            Evil {
                run: "(loop $again (drop (call $grace)) (br $again)) unreachable",
                ..IDLE
            },
            wall(30),
            "limit wall: wall limit of 30 ms exceeded",
        ),
        (
            "growing a table that is full",
            Evil {
                module: r#"(memory (export "memory") 1) (table $table 1 1 funcref)"#,
                run: "(loop $again (drop (table.grow $table (ref.null func) (i32.const 1))) (br $again)) unreachable",
                ..IDLE
            },
            wall(30),
            "limit wall: wall limit of 30 ms exceeded",
        ),
        (
            "a start function that traps",
            Evil {
                module: r#"(memory (export "memory") 1) (func $start unreachable) (start $start)"#,
                ..IDLE
            },
            Limits::shipped(),
            "trap: abort",
        ),
    ])
    .await;
}

#[tokio::test]
async fn what_breaks_the_boundary_is_a_trap_of_the_guest() {
    let answer = |module| Evil { module, ..IDLE };
    let limits = Limits::shipped;
    check_all([
        (
            "calling out while its arguments are stored",
            Evil {
                realloc: "(drop (call $grace)) (i32.const 0x1000)",
                ..IDLE
            },
            limits(),
            "trap: cannot leave component instance",
        ),
        (
            "calling out after it returned",
            Evil {
                post: "(drop (call $grace))",
                ..IDLE
            },
            limits(),
            "trap: cannot leave component instance",
        ),
        (
            "room for its arguments that it does not have",
            Evil {
                realloc: "(i32.const 0x7fff0000)",
                ..IDLE
            },
            limits(),
            "trap: realloc return: beyond end of memory",
        ),
        (
            "an answer beyond its memory",
            Evil {
                run: "(i32.const 0x7fff0000)",
                ..IDLE
            },
            limits(),
            "trap: pointer out of bounds of memory",
        ),
        (
            "an answer at an odd place",
            Evil {
                run: "(i32.const 0x8001)",
                ..IDLE
            },
            limits(),
            "trap: return pointer not aligned",
        ),
        (
            "an answer that is neither",
            answer(r#"(memory (export "memory") 1) (data (i32.const 0x8000) "\07")"#),
            limits(),
            "trap: ",
        ),
        (
            "a list that is longer than its memory",
            answer(
                r#"(memory (export "memory") 1) (data (i32.const 0x8004) "\00\00\00\00\ff\ff\ff\07")"#,
            ),
            limits(),
            "trap: list pointer/length out of bounds of memory",
        ),
        (
            "a text that is longer than its memory",
            answer(
                r#"(memory (export "memory") 1) (data (i32.const 0x8000) "\01\00\00\00\00\00\00\00\00\00\00\00\ff\ff\ff\07")"#,
            ),
            limits(),
            "trap: string pointer/length out of bounds of memory",
        ),
        (
            "a text that is none",
            answer(
                r#"(memory (export "memory") 1) (data (i32.const 0) "\ff\fe")
                (data (i32.const 0x8000) "\01\00\00\00\00\00\00\00\00\00\00\00\02\00\00\00")"#,
            ),
            limits(),
            "trap: invalid utf-8 sequence of 1 bytes from index 0",
        ),
        (
            "a list of half a million texts that are one",
            Evil {
                module: r#"(memory (export "memory") 200)
                    (data (i32.const 0x8000) "\00\00\00\00\00\00\01\00\20\a1\07\00")"#,
                ..IDLE
            },
            limits(),
            "limit host-call: host-call limit of 8 MiB exceeded",
        ),
    ])
    .await;
}
