//! Black-box tests of the built host, by the ids of the contract (section 10) and of the design.

mod policy;
