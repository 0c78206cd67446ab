//! Black-box tests of the built host, by the ids of the contract (section 10) and of the design.

mod about;
mod author;
mod background;
mod builtins;
mod check;
mod containment;
mod dataflow;
mod doctor;
mod expressions;
mod hostile;
mod hosting;
mod language;
mod layers;
mod life;
mod local;
mod logs;
mod own_builtins;
mod policy;
mod raw;
mod readme;
mod script;
mod service;
