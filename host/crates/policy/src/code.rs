//! The codes of everything that can be wrong with a policy file.
//!
//! Faults that are explained by the same page share a code, and a code is never given to something else. `P` is for
//! policies; other crates have other letters.
//! Called by: `error`; whoever shows or explains a fault.

/// Defines the codes, each written as its variant is called.
macro_rules! codes {
    ($($code:ident)+) => {
        /// The code of a fault.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        #[expect(missing_docs, reason = "each has a page, which `stephost explain` shows")]
        pub enum Code {
            $($code),+
        }

        impl Code {
            /// Every code, in ascending order.
            pub const ALL: &'static [Code] = &[$(Code::$code),+];

            /// Returns the code as it is written.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Code::$code => stringify!($code)),+
                }
            }
        }
    };
}

codes! {
    P001 P002 P003 P004 P005 P006 P007 P008 P009
    P010 P011 P012 P013 P014 P015 P016 P017 P018
}
