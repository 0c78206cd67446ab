//! `#[step]`: a function becomes the step of its component.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{
    Error, FnArg, GenericArgument, ItemFn, PathArguments, ReturnType, Signature, Type,
    TypeReference,
};

use crate::doc;
use crate::needs::Needs;

const SHAPE: &str = "a step is `fn name(input: Input, step: &Step) -> Result<Output, Failure>`";

/// Keeps the function and adds a type of the same name that implements the SDK's `TypedStep`.
pub(crate) fn expand(needs: &Needs, function: &ItemFn) -> syn::Result<TokenStream> {
    let signature = &function.sig;
    plain(signature)?;
    let input = input(signature)?;
    let output = output(signature)?;
    let name = &signature.ident;
    let summary = doc::sentence(&function.attrs);
    if summary.is_empty() {
        return Err(Error::new(
            name.span(),
            "a step says what it does: write a doc comment above it, which becomes its summary",
        ));
    }
    let visibility = &function.vis;
    // Whatever does not fit is told at the type that the author wrote.
    let call = quote_spanned! {signature.output.span()=>
        #name(input, step)
    };
    let section = needs.section();
    Ok(quote! {
        #function

        #[doc(hidden)]
        #[allow(non_camel_case_types, reason = "the step goes by the name of its function")]
        #visibility enum #name {}

        impl ::stephost_sdk::typed::TypedStep for #name {
            type Input = #input;
            type Output = #output;
            const SUMMARY: &'static str = #summary;

            fn call(
                input: Self::Input,
                step: &::stephost_sdk::Step,
            ) -> ::core::result::Result<Self::Output, ::stephost_sdk::Failure> {
                #call
            }
        }

        ::stephost_sdk::export!(#name);

        #section
    })
}

/// Refuses what cannot be called from outside.
fn plain(signature: &Signature) -> syn::Result<()> {
    if let Some(word) = &signature.asyncness {
        return Err(Error::new(
            word.span(),
            "a step is not `async`: it may simply wait, it has a store of its own",
        ));
    }
    if !signature.generics.params.is_empty() {
        return Err(Error::new(
            signature.generics.span(),
            "a step has no generics: the host could not choose them",
        ));
    }
    if let Some(word) = &signature.unsafety {
        return Err(Error::new(
            word.span(),
            "a step is not `unsafe`: the host calls it",
        ));
    }
    Ok(())
}

/// Returns the type of the inputs.
fn input(signature: &Signature) -> syn::Result<&Type> {
    let mut parameters = signature.inputs.iter();
    let (Some(FnArg::Typed(input)), Some(FnArg::Typed(step)), None) =
        (parameters.next(), parameters.next(), parameters.next())
    else {
        let place = if signature.inputs.is_empty() {
            signature.ident.span()
        } else {
            signature.inputs.span()
        };
        return Err(Error::new(
            place,
            format!("{SHAPE}; without inputs, the first parameter is `_: ()`"),
        ));
    };
    match step.ty.as_ref() {
        Type::Reference(TypeReference {
            mutability: None, ..
        }) => Ok(&input.ty),
        other => Err(Error::new(
            other.span(),
            format!("the second parameter is `&Step`: {SHAPE}"),
        )),
    }
}

/// Returns the type of the outputs: what stands first in `Result<…>`.
fn output(signature: &Signature) -> syn::Result<&Type> {
    let wrong = |place| {
        Error::new(
            place,
            format!("{SHAPE}; without outputs, it returns `Result<(), Failure>`"),
        )
    };
    let ReturnType::Type(_, returned) = &signature.output else {
        return Err(wrong(signature.ident.span()));
    };
    let Type::Path(path) = returned.as_ref() else {
        return Err(wrong(returned.span()));
    };
    let last = path.path.segments.last();
    let arguments = last
        .filter(|segment| segment.ident == "Result")
        .map(|segment| &segment.arguments);
    let Some(PathArguments::AngleBracketed(arguments)) = arguments else {
        return Err(wrong(returned.span()));
    };
    match arguments.args.first() {
        Some(GenericArgument::Type(output)) => Ok(output),
        _ => Err(wrong(returned.span())),
    }
}
