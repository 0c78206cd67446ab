//! Which file a local reference means, and what is said when there is none.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use expect_test::{Expect, expect};
use stephost_expr::Value;
use stephost_steps::{
    Callee, FileFault, Files, LoadError, Reference, Strictness, load_local, resolve,
};

/// Files in memory, and a record of what was asked for.
#[derive(Default)]
struct Shelf {
    files: BTreeMap<PathBuf, Result<&'static str, &'static str>>,
    asked: RefCell<Vec<PathBuf>>,
}

impl Shelf {
    fn with(files: &[(&str, Result<&'static str, &'static str>)]) -> Self {
        let files = files
            .iter()
            .map(|(path, content)| (PathBuf::from(path), *content))
            .collect();
        Self {
            files,
            asked: RefCell::default(),
        }
    }
}

impl Files for Shelf {
    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, FileFault> {
        self.asked.borrow_mut().push(path.to_owned());
        match self.files.get(path) {
            None => Ok(None),
            Some(Ok(text)) => Ok(Some(text.as_bytes().to_vec())),
            Some(Err(fault)) => Err(FileFault((*fault).to_owned())),
        }
    }
}

const GOOD: &str = "{}\n---\nexec: {command: [a]}\n";
const ODD: &str = "{}\n---\nexec: {command: [a], workdir: b}\n";

fn follow(shelf: &Shelf, text: &str, strictness: Strictness) -> Result<Callee, LoadError> {
    let scope = BTreeMap::from([("ref".to_owned(), Value::string("./func"))]);
    let reference = Reference::parse_short(text).expect(text);
    resolve(
        &reference,
        &scope,
        Path::new("/builds/project"),
        shelf,
        strictness,
    )
}

fn check(shelf: &Shelf, strictness: Strictness, texts: &[&str], expected: Expect) {
    let outcome = |text: &&str| match follow(shelf, text, strictness) {
        Ok(Callee::Builtin(name)) => format!("{text}: builtin {name}\n"),
        Ok(Callee::Function(loaded)) => {
            let warnings: String = loaded
                .warnings
                .iter()
                .map(|warning| format!("  {warning}\n"))
                .collect();
            let file = shelf
                .asked
                .borrow()
                .last()
                .cloned()
                .expect("a file was read");
            format!(
                "{text}: {} in {}\n{warnings}",
                file.display(),
                loaded.dir.display()
            )
        }
        Err(error) => format!("{text}: error: {error}\n"),
    };
    expected.assert_eq(&texts.iter().map(outcome).collect::<String>());
}

#[test]
fn a_local_reference_finds_its_file() {
    let shelf = Shelf::with(&[
        ("/builds/project/func.yml", Ok(GOOD)),
        ("/builds/project/both/func.yml", Ok(GOOD)),
        ("/builds/project/both/step.yml", Ok("broken: [")),
        ("/builds/project/old/step.yml", Ok(GOOD)),
        ("/builds/project/old/other.yml", Ok(ODD)),
        ("/builds/shared/func.yml", Ok(GOOD)),
        ("/func.yml", Ok(GOOD)),
        ("/builds/project/func/func.yml", Ok(GOOD)),
    ]);
    let texts = [
        ".",
        "./",
        "./both",
        "./both/",
        "./old",
        "./old/other.yml",
        "/builds/project/old",
        "../shared",
        "./old/./../both",
        "../../../..",
        "/",
        "${{ ref }}",
        "builtin://script",
        "dist://step/oci/fetch",
    ];
    check(
        &shelf,
        Strictness::Wire,
        &texts,
        expect![[r#"
        .: /builds/project/func.yml in /builds/project
        ./: /builds/project/func.yml in /builds/project
        ./both: /builds/project/both/func.yml in /builds/project/both
        ./both/: /builds/project/both/func.yml in /builds/project/both
        ./old: /builds/project/old/step.yml in /builds/project/old
        ./old/other.yml: /builds/project/old/other.yml in /builds/project/old
          ./old/other.yml:3:22: key `workdir` is ignored, it is unknown (did you mean `work_dir`?)
        /builds/project/old: /builds/project/old/step.yml in /builds/project/old
        ../shared: /builds/shared/func.yml in /builds/shared
        ./old/./../both: /builds/project/both/func.yml in /builds/project/both
        ../../../..: /func.yml in /
        /: /func.yml in /
        ${{ ref }}: /builds/project/func/func.yml in /builds/project/func
        builtin://script: builtin script
        dist://step/oci/fetch: builtin step/oci/fetch
    "#]],
    );
}

#[test]
fn func_yml_is_tried_before_step_yml_and_a_named_file_alone() {
    let shelf = Shelf::default();
    for (text, asked) in [
        ("./x", &["func.yml", "step.yml"][..]),
        ("./x/step.yml", &["step.yml"][..]),
    ] {
        shelf.asked.borrow_mut().clear();
        assert!(follow(&shelf, text, Strictness::Wire).is_err());
        let expected: Vec<_> = asked
            .iter()
            .map(|file| Path::new("/builds/project/x").join(file))
            .collect();
        assert_eq!(*shelf.asked.borrow(), expected, "{text}");
    }
}

#[test]
fn a_failure_names_the_reference_and_no_path_of_the_host() {
    let shelf = Shelf::with(&[
        ("/builds/project/link/func.yml", Err("is a symbolic link")),
        (
            "/builds/project/broken/func.yml",
            Ok("{}\n---\nexec: {comand: [a]}\n"),
        ),
        ("/builds/project/binary/step.yml", Ok("\u{1}")),
        ("/builds/project/odd/func.yml", Ok(ODD)),
    ]);
    let texts = [
        "./nothing",
        "./nothing/here.yml",
        "./link",
        "./broken",
        "./binary/step.yml",
        "./odd",
        "gitlab.com/components/echo@v1.0.0",
        "https://user:secret@host/x@v5",
        "registry.gitlab.com/group/echo:1",
    ];
    check(
        &shelf,
        Strictness::Wire,
        &texts,
        expect![[r#"
        ./nothing: error: function `./nothing` not found: there is neither `func.yml` nor `step.yml`
        ./nothing/here.yml: error: function `./nothing/here.yml` not found: there is no file `here.yml`
        ./link: error: function `./link` cannot be read: `func.yml`: is a symbolic link
        ./broken: error: ./broken/func.yml:3:8: key `comand` is unknown (did you mean `command`?)
        ./binary/step.yml: error: ./binary/step.yml:1:1: control character \u{1} is not allowed in YAML
        ./odd: /builds/project/odd/func.yml in /builds/project/odd
          ./odd/func.yml:3:22: key `workdir` is ignored, it is unknown (did you mean `work_dir`?)
        gitlab.com/components/echo@v1.0.0: error: function `gitlab.com/components/echo@v1.0.0` cannot be fetched: git references are not supported yet
        https://user:secret@host/x@v5: error: function `***@host/x@v5` cannot be fetched: git references are not supported yet
        registry.gitlab.com/group/echo:1: error: function `registry.gitlab.com/group/echo:1` cannot be fetched: OCI references are not supported yet
    "#]],
    );
    check(
        &shelf,
        Strictness::Strict,
        &["./odd"],
        expect![[r#"
        ./odd: error: ./odd/func.yml:3:22: key `workdir` is unknown (did you mean `work_dir`?)
    "#]],
    );
    for text in texts {
        if let Err(error) = follow(&shelf, text, Strictness::Wire) {
            assert!(!error.to_string().contains("/builds"), "{error}");
            assert!(!error.to_string().contains("secret"), "{error}");
            assert!(error.to_string().len() < 400, "{error}");
        }
    }
}

#[test]
fn y09_a_reference_is_relative_to_the_definition_that_holds_it() {
    let shelf = Shelf::with(&[
        (
            "/builds/project/a/func.yml",
            Ok("{}\n---\nrun: [{name: b, func: ./b}]\n"),
        ),
        ("/builds/project/a/b/func.yml", Ok(GOOD)),
    ]);
    let Ok(Callee::Function(outer)) = follow(&shelf, "./a", Strictness::Wire) else {
        panic!("a is there")
    };
    let Ok(Reference::Local(inner)) = Reference::parse_short("./b") else {
        panic!("a local reference")
    };
    let inner = load_local(&inner, &outer.dir, &shelf, Strictness::Wire).expect("b is beside a");
    assert_eq!(inner.dir, Path::new("/builds/project/a/b"));
}
