//! Measures isboot beside what a user would pick instead: the same target, the same machine, in
//! turns, in one run.
//!
//! A [`contender`] moves data as a [`workload`] says and gives a [`sample`]; [`contender::take_turns`]
//! lets several of them alternate; a [`measurement`] is what one of them reached, in one quantity.

pub mod apart;
pub mod buffer;
pub mod contender;
pub mod core;
pub mod facts;
pub mod guest;
pub mod host;
pub mod initiator;
pub mod limit;
pub mod link;
pub mod load;
pub mod measurement;
pub mod network;
pub mod plan;
pub mod processor;
pub mod progress;
pub mod report;
pub mod rig;
pub mod run;
pub mod sample;
pub mod start;
pub mod targets;
pub mod workload;
