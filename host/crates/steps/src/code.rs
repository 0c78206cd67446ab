//! The codes of everything that can be wrong or odd with a function.
//!
//! `Y` is for the YAML text, `S` for what a function says and does, `R` for references to other functions; from S101
//! on they belong to the expressions in it (crate `expr`). Faults that are explained by the same page share a code,
//! and a code is never given to something else.
//! Called by: `error`, `warning`, `reference`, `spec`, `resolve`, `check`; whoever shows or explains a fault.

stephost_expr::codes! {
    R001 R002 R003 R004 R005 R006 R010 R011 R012 R013
    S001 S002 S003 S004 S005 S006 S007 S008 S009 S010 S011 S012 S013 S014
    S021 S022 S023 S024 S031 S032 S033 S041 S051 S052 S053
    Y001 Y002 Y003 Y004 Y005 Y006 Y007 Y008 Y009 Y101 Y102 Y103
}
