//! Everything a step text, a reference or a value can do, through the public interface. One binary: one link.

mod checks;
mod documents;
mod fuzz;
mod hostile;
mod inputs;
mod loading;
mod references;
mod trees;
