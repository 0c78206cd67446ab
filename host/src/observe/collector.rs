//! The address of a collector of traces and logs.
//!
//! Pure. Promises: what is one can be dialled, and can be shown to anybody. Made by `config`, of a flag or a file.

const FORMS: &str = "use http://HOST:PORT or unix:///PATH";

/// An address: `http://HOST:PORT` or `unix:///PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Collector(String);

impl Collector {
    /// Reads an address.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Collector, String> {
        if cfg!(not(feature = "otlp")) {
            return Err(
                "this program was built without OTLP; leave it out, or build with the feature `otlp`"
                    .to_owned(),
            );
        }
        if text.contains(char::is_control) {
            return Err(format!("an address has no control characters; {FORMS}"));
        }
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return match path.strip_prefix('/') {
                Some("") | None => Err(format!("the path of a socket must be absolute; {FORMS}")),
                Some(_) => Ok(Collector(text.to_owned())),
            };
        }
        let uri: http::Uri = text.parse().map_err(|_| FORMS.to_owned())?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => {
                return Err(
                    "https is not spoken here; use http:// or unix:// to a collector on this machine, which passes on \
                     what it gets"
                        .to_owned(),
                );
            }
            Some(_) | None => return Err(FORMS.to_owned()),
        }
        let authority = uri.authority().map_or("", http::uri::Authority::as_str);
        if authority.contains('@') {
            // It would be shown wherever settings are.
            return Err(format!(
                "a name or a password has no place in an address; {FORMS}"
            ));
        }
        // The part after the host, which is read as a number only when somebody dials.
        let port = authority
            .rsplit_once(':')
            .filter(|(_, port)| !port.ends_with(']'));
        if port.is_some_and(|(_, port)| port.parse::<u16>().is_err()) {
            return Err(FORMS.to_owned());
        }
        if uri.path() != "/" || uri.query().is_some() {
            return Err(format!("an address of gRPC has no path; {FORMS}"));
        }
        Ok(Collector(text.to_owned()))
    }

    /// The address.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(all(test, feature = "otlp"))]
mod tests {
    use super::*;

    #[test]
    fn an_address_can_be_dialled_or_says_what_is_wrong() {
        let table = [
            ("http://localhost:4317", ""),
            ("http://localhost:4317/", ""),
            ("http://127.0.0.1:4317", ""),
            ("http://[::1]:4317", ""),
            ("http://otel", ""),
            ("HTTP://otel:4317", ""),
            ("unix:///run/otel.sock", ""),
            ("unix:/run/otel.sock", ""),
            ("", "use http://"),
            ("localhost:4317", "use http://"),
            ("otel", "use http://"),
            ("http://", "use http://"),
            ("http://otel:99999", "use http://"),
            ("grpc://otel:4317", "use http://"),
            ("https://otel:4317", "https is not spoken here"),
            ("http://a:b@otel:4317", "a name or a password has no place"),
            ("http://otel:4318/v1/traces", "has no path"),
            ("http://otel:4318?a=b", "has no path"),
            ("http://otel\n:4317", "no control characters"),
            ("unix:otel.sock", "must be absolute"),
            ("unix:", "must be absolute"),
            ("unix:///", "must be absolute"),
        ];
        for (text, fault) in table {
            match Collector::parse(text) {
                Ok(collector) => {
                    assert_eq!(fault, "", "{text:?} was taken");
                    let endpoint = tonic::transport::Endpoint::from_shared(text.to_owned());
                    assert!(endpoint.is_ok(), "{text:?} cannot be dialled");
                    assert_eq!(collector.as_str(), text);
                }
                Err(error) => {
                    assert!(!fault.is_empty(), "{text:?}: {error}");
                    assert!(error.contains(fault), "{text:?}: {error}");
                }
            }
        }
    }
}
