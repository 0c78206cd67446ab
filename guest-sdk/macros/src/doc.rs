//! From a doc comment to the one sentence that the host shows.

use syn::{Attribute, Expr, ExprLit, Lit, Meta};

/// Returns the first paragraph in one line, without its full stop; empty without a doc comment.
pub(crate) fn sentence(attributes: &[Attribute]) -> String {
    let lines: Vec<String> = attributes.iter().filter_map(text).collect();
    let text = lines.join("\n");
    let paragraph = text
        .lines()
        .map(str::trim)
        .skip_while(|line| line.is_empty())
        .take_while(|line| !line.is_empty());
    let sentence = paragraph.collect::<Vec<_>>().join(" ");
    sentence.strip_suffix('.').unwrap_or(&sentence).to_owned()
}

fn text(attribute: &Attribute) -> Option<String> {
    let Meta::NameValue(doc) = &attribute.meta else {
        return None;
    };
    match &doc.value {
        Expr::Lit(ExprLit {
            lit: Lit::Str(text),
            ..
        }) if doc.path.is_ident("doc") => Some(text.value()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::sentence;
    use syn::parse_quote;

    #[test]
    fn a_doc_comment_becomes_one_sentence() {
        let table = [
            (vec![], ""),
            (
                vec![parse_quote!(#[doc = " Greets somebody."])],
                "Greets somebody",
            ),
            (
                vec![
                    parse_quote!(#[doc = " Greets"]),
                    parse_quote!(#[must_use]),
                    parse_quote!(#[doc = " somebody."]),
                    parse_quote!(#[doc = ""]),
                    parse_quote!(#[doc = " More."]),
                ],
                "Greets somebody",
            ),
            (
                vec![parse_quote!(#[doc = "\n Greets\n somebody\n\n More"])],
                "Greets somebody",
            ),
        ];
        for (attributes, expected) in table {
            assert_eq!(sentence(&attributes), expected);
        }
    }
}
