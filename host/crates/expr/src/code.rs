//! The codes of faults in expressions: short, stable, and what people look up.
//!
//! A code says what kind of mistake it is; faults that are explained by the same page share one. A code is never
//! given to something else. `S` is for functions; the first hundred belong to the crate `steps`.
//! Called by: `error`; by `steps`, for the macro; by whoever shows or explains a fault.

/// Defines the codes of a crate as `enum Code`, each written as its variant is called.
#[macro_export]
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

codes! { S101 S102 S103 S104 S105 S106 S107 S108 S109 S110 S111 S112 S113 }
