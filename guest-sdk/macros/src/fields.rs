//! `#[derive(Inputs)]` and `#[derive(Outputs)]`: each field of a struct is one parameter.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::ext::IdentExt as _;
use syn::spanned::Spanned as _;
use syn::{
    Attribute, Data, DeriveInput, Error, Expr, ExprLit, Field, Fields, Ident, Lit, Token, Type,
};

use crate::doc;

/// One field and what its attributes say.
struct Parameter<'a> {
    field: &'a Ident,
    ty: &'a Type,
    name: String,
    doc: String,
    default: Option<Expr>,
    sensitive: Option<Span>,
}

/// Implements `Inputs`.
pub(crate) fn inputs(item: &DeriveInput) -> syn::Result<TokenStream> {
    let parameters = parameters(item, "Inputs", "input")?;
    let declared = parameters.iter().map(declared_input);
    let read = parameters.iter().map(|parameter| {
        let Parameter {
            field, ty, name, ..
        } = parameter;
        quote_spanned! {ty.span()=>
            #field: <#ty as ::stephost_sdk::typed::InputValue>::read(call, #name)?
        }
    });
    let sealed = parameters.iter().filter_map(|parameter| {
        parameter.sensitive?;
        let ty = parameter.ty;
        Some(quote_spanned! {ty.span()=>
            const _: fn() = ::stephost_sdk::typed::arrives_sealed::<#ty>;
        })
    });
    let ident = &item.ident;
    Ok(quote! {
        #[automatically_derived]
        impl ::stephost_sdk::Inputs for #ident {
            fn parameters() -> ::std::vec::Vec<::stephost_sdk::Parameter> {
                ::std::vec![#(#declared),*]
            }

            fn read(
                call: &::stephost_sdk::Call,
            ) -> ::core::result::Result<Self, ::stephost_sdk::Failure> {
                ::core::result::Result::Ok(Self { #(#read),* })
            }
        }

        #(#sealed)*
    })
}

fn declared_input(parameter: &Parameter<'_>) -> TokenStream {
    let Parameter { ty, name, doc, .. } = parameter;
    let declared = quote_spanned! {ty.span()=>
        <#ty as ::stephost_sdk::typed::InputValue>::parameter(#name, #doc)
    };
    let Some(default) = &parameter.default else {
        return declared;
    };
    // Text is written as a literal and kept as a `String`.
    let value = match default {
        Expr::Lit(ExprLit {
            lit: Lit::Str(text),
            ..
        }) => quote_spanned! {text.span()=> ::std::string::String::from(#text) },
        other => quote!(#other),
    };
    quote_spanned! {default.span()=>
        ::stephost_sdk::typed::with_default::<#ty>(#declared, #value)
    }
}

/// Implements `Outputs`.
pub(crate) fn outputs(item: &DeriveInput) -> syn::Result<TokenStream> {
    let parameters = parameters(item, "Outputs", "output")?;
    let declared = parameters.iter().map(|parameter| {
        let Parameter { ty, name, doc, .. } = parameter;
        let sensitive = parameter.sensitive.map(|_| quote!(.sensitive()));
        quote_spanned! {ty.span()=>
            <#ty as ::stephost_sdk::typed::OutputValue>::parameter(#name, #doc) #sensitive
        }
    });
    let written = parameters.iter().map(|parameter| {
        let Parameter {
            field, ty, name, ..
        } = parameter;
        quote_spanned! {ty.span()=>
            ::stephost_sdk::typed::write_output(
                &mut outputs,
                #name,
                <#ty as ::stephost_sdk::typed::OutputValue>::write(self.#field),
            )?;
        }
    });
    let ident = &item.ident;
    Ok(quote! {
        #[automatically_derived]
        impl ::stephost_sdk::Outputs for #ident {
            fn parameters() -> ::std::vec::Vec<::stephost_sdk::Parameter> {
                ::std::vec![#(#declared),*]
            }

            fn write(
                self,
            ) -> ::core::result::Result<
                ::std::vec::Vec<(::std::string::String, ::stephost_sdk::Value)>,
                ::stephost_sdk::Failure,
            > {
                let mut outputs = ::std::vec::Vec::new();
                #(#written)*
                ::core::result::Result::Ok(outputs)
            }
        }
    })
}

fn parameters<'a>(
    item: &'a DeriveInput,
    derive: &str,
    word: &str,
) -> syn::Result<Vec<Parameter<'a>>> {
    let wrong = |place: Span| {
        Err(Error::new(
            place,
            format!("`{derive}` is for a struct with named fields: each field is one {word}"),
        ))
    };
    if !item.generics.params.is_empty() {
        return Err(Error::new(
            item.generics.span(),
            format!("{word}s have no generics: the host could not choose them"),
        ));
    }
    let Data::Struct(data) = &item.data else {
        return wrong(item.ident.span());
    };
    let Fields::Named(fields) = &data.fields else {
        return wrong(item.ident.span());
    };
    fields
        .named
        .iter()
        .map(|field| parameter(field, word))
        .collect()
}

fn parameter<'a>(field: &'a Field, word: &str) -> syn::Result<Parameter<'a>> {
    let Some(ident) = &field.ident else {
        return Err(Error::new(field.span(), "this field has no name"));
    };
    let mut parameter = Parameter {
        field: ident,
        ty: &field.ty,
        name: ident.unraw().to_string(),
        doc: doc::sentence(&field.attrs),
        default: None,
        sensitive: None,
    };
    for attribute in field
        .attrs
        .iter()
        .filter(|found| found.path().is_ident(word))
    {
        read_attribute(attribute, word, &mut parameter)?;
    }
    if let (Some(_), Some(default)) = (parameter.sensitive, &parameter.default) {
        return Err(Error::new(
            default.span(),
            "a sensitive input has no default: what stands in the source is no secret",
        ));
    }
    if let Some(default) = &parameter.default
        && is_option(&field.ty)
    {
        return Err(Error::new(
            default.span(),
            "an input with a default is always there: drop the `Option` or the default",
        ));
    }
    Ok(parameter)
}

fn read_attribute(
    attribute: &Attribute,
    word: &str,
    parameter: &mut Parameter<'_>,
) -> syn::Result<()> {
    attribute.parse_nested_meta(|meta| {
        if meta.path.is_ident("sensitive") {
            parameter.sensitive = Some(meta.path.span());
            return Ok(());
        }
        if meta.path.is_ident("default") && word == "input" {
            if !meta.input.peek(Token![=]) {
                return Err(meta.error("write the default: `default = VALUE`"));
            }
            parameter.default = Some(meta.value()?.parse()?);
            return Ok(());
        }
        let known = match word {
            "input" => "`default = VALUE` and `sensitive`",
            _ => "`sensitive`",
        };
        Err(meta.error(format!("an {word} knows {known}, nothing else")))
    })
}

/// Looks at the name only: a macro knows no types.
fn is_option(ty: &Type) -> bool {
    matches!(ty, Type::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == "Option"))
}
