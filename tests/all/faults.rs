//! When the host itself breaks: one job is harmed at most, and everybody is told the truth about it (design D2;
//! the table of broken sessions, by which these tests are named R1 to R4 and A1 to A5).
//!
//! [`matrix`] arms every point of the host with every action; [`broken`] tells what a broken job is, in sentences; [`budget`],
//! when there are too many of them.
//! [`mod@cases`] lists what the matrix does, [`calls`] knows how to make every call of the service, with each client.

mod broken;
mod budget;
mod calls;
mod cases;
mod matrix;
