//! Loader variables: names by which the environment makes a later program load, run or trust something.
//!
//! A step that may set one of them for later steps decides what those steps execute, whatever their policy
//! says. So no pattern ever grants their export: a rule names each, and says why. The list can only be a list
//! of what is known; it is the second wall, the first is that an export needs a grant at all.
//!
//! Compared without regard to case: `http_proxy` works as `HTTP_PROXY` does.

/// Where a name stands in the list.
enum Shape {
    /// The name itself.
    Name(&'static str),
    /// Every name that begins so.
    Family(&'static str),
}

use Shape::{Family, Name};

const LOADER_VARIABLES: &[Shape] = &[
    // What the dynamic linker and the C library load or read.
    Family("LD_"),
    Family("DYLD_"),
    Family("GLIBC_"),
    Family("MALLOC_"),
    Name("GCONV_PATH"),
    Name("GETCONF_DIR"),
    Name("HOSTALIASES"),
    Name("LOCALDOMAIN"),
    Name("LOCPATH"),
    Name("NLSPATH"),
    Name("RES_OPTIONS"),
    // Where programs and their settings are looked for.
    Name("PATH"),
    Name("PATHEXT"),
    Name("HOME"),
    Name("COMSPEC"),
    Name("SHELL"),
    Name("TMPDIR"),
    Family("XDG_"),
    // What a shell runs or how it reads a line.
    Name("BASH_ENV"),
    Family("BASH_FUNC_"),
    Name("BASHOPTS"),
    Name("CDPATH"),
    Name("ENV"),
    Name("FPATH"),
    Name("IFS"),
    Name("PROMPT_COMMAND"),
    Name("PS1"),
    Name("PS4"),
    Name("SHELLOPTS"),
    Name("ZDOTDIR"),
    // What other programs start on the side.
    Name("BROWSER"),
    Name("EDITOR"),
    Name("LESSCLOSE"),
    Name("LESSOPEN"),
    Name("MANPAGER"),
    Name("PAGER"),
    Name("SSH_ASKPASS"),
    Name("SSH_AUTH_SOCK"),
    Name("SUDO_ASKPASS"),
    Name("VISUAL"),
    // Version control and builds: hooks, helpers, wrappers, flags that load code.
    Family("GIT_"),
    Family("HG"),
    Family("SVN_"),
    Name("AR"),
    Name("CC"),
    Name("CXX"),
    Name("CFLAGS"),
    Name("CXXFLAGS"),
    Name("CPATH"),
    Name("GNUMAKEFLAGS"),
    Name("LDFLAGS"),
    Name("LIBRARY_PATH"),
    Name("MAKEFILES"),
    Name("MAKEFLAGS"),
    Name("MAKESHELL"),
    Name("PKG_CONFIG_PATH"),
    Family("CARGO_"),
    Family("CMAKE_"),
    Family("RUSTC"),
    Family("RUSTDOC"),
    Name("RUSTFLAGS"),
    Family("RUSTUP_"),
    Family("GO"),
    Family("GRADLE_"),
    Family("MAVEN_"),
    // Interpreters: search paths, start files, options.
    Family("PYTHON"),
    Family("PERL5"),
    Name("PERLLIB"),
    Name("PERL_UNICODE"),
    Family("RUBY"),
    Family("BUNDLE_"),
    Family("GEM_"),
    Family("NODE_"),
    Family("LUA_"),
    Family("PHP"),
    Name("CLASSPATH"),
    Name("JAVA_HOME"),
    Name("JAVA_OPTS"),
    Name("JAVA_TOOL_OPTIONS"),
    Name("JDK_JAVA_OPTIONS"),
    Name("_JAVA_OPTIONS"),
    Family("DOTNET_"),
    Family("COMPLUS_"),
    Family("CORECLR_"),
    Name("R_PROFILE"),
    Name("R_ENVIRON"),
    // Package managers: where code comes from.
    Family("CONDA_"),
    Family("NPM_CONFIG_"),
    Family("PIP_"),
    Family("POETRY_"),
    Family("UV_"),
    Family("YARN_"),
    // Who is trusted, and through whom traffic goes.
    Name("ALL_PROXY"),
    Name("CURL_CA_BUNDLE"),
    Name("CURL_HOME"),
    Name("FTP_PROXY"),
    Name("HTTP_PROXY"),
    Name("HTTPS_PROXY"),
    Name("NETRC"),
    Name("NO_PROXY"),
    Family("OPENSSL_"),
    Name("REQUESTS_CA_BUNDLE"),
    Family("SSL_CERT_"),
    Name("SSLKEYLOGFILE"),
    Name("WGETRC"),
    // Where tools find their daemon, their account and its keys.
    Family("AWS_"),
    Family("AZURE_"),
    Family("BUILDKIT_"),
    Family("CLOUDSDK_"),
    Family("CONTAINER_"),
    Family("DOCKER_"),
    Family("GOOGLE_"),
    Family("HELM_"),
    Name("KUBECONFIG"),
    Family("TF_"),
    Family("VAULT_"),
    // Between runner and host.
    Name("STEP_RUNNER_SOCKET"),
    Family("STEPHOST_"),
    Family("_GITLAB_RUNNER_"),
    Family("RUNNER_JOB_"),
];

/// Whether `name` is a loader variable.
pub(crate) fn is_loader(name: &str) -> bool {
    LOADER_VARIABLES.iter().any(|known| match known {
        Name(known) => name.eq_ignore_ascii_case(known),
        Family(start) => begins_with(name, start),
    })
}

/// Whether every name that begins with `prefix` is a loader variable, so that a pattern of it grants nothing.
pub(crate) fn is_loader_family(prefix: &str) -> bool {
    LOADER_VARIABLES.iter().any(|known| match known {
        Name(_) => false,
        Family(start) => begins_with(prefix, start),
    })
}

/// Whether `text` begins with `start`, which is ASCII, in either case.
fn begins_with(text: &str, start: &str) -> bool {
    let head = text.as_bytes().get(..start.len());
    head.is_some_and(|head| head.eq_ignore_ascii_case(start.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_a_later_program_load_something_is_a_loader_variable() {
        for name in [
            "LD_PRELOAD",
            "LD_LIBRARY_PATH",
            "PATH",
            "BASH_ENV",
            "BASH_FUNC_ls%%",
            "ENV",
            "GIT_SSH_COMMAND",
            "PYTHONPATH",
            "NODE_OPTIONS",
            "http_proxy",
            "npm_config_registry",
            "DOCKER_HOST",
            "STEP_RUNNER_SOCKET",
        ] {
            assert!(is_loader(name), "{name}");
        }
        for name in [
            "CI_JOB_ID",
            "PATHS",
            "MY_PATH",
            "ENVIRONMENT",
            "HELLO_GREETED",
            "",
            "ü",
        ] {
            assert!(!is_loader(name), "{name}");
        }
    }

    #[test]
    fn a_family_is_known_by_any_of_its_beginnings() {
        for prefix in ["LD_", "LD_PRE", "GIT_CONFIG_", "git_"] {
            assert!(is_loader_family(prefix), "{prefix}");
        }
        for prefix in ["L", "PATH", "CI_", ""] {
            assert!(!is_loader_family(prefix), "{prefix}");
        }
    }

    #[test]
    fn the_list_is_upper_case_so_that_it_reads_as_one() {
        for known in LOADER_VARIABLES {
            let (Name(text) | Family(text)) = known;
            assert!(
                !text.is_empty() && *text == text.to_ascii_uppercase(),
                "{text}"
            );
        }
    }
}
