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
mod faults;
mod hostile;
mod hosting;
mod json;
mod language;
mod layers;
mod life;
mod local;
mod logs;
mod own_builtins;
mod pages;
mod policy;
mod raw;
mod readers;
mod readme;
mod script;
mod service;
