//! Conformance, row by row.
//!
//! Each row of `tests/conformance/rows.csv` that applies has at least one test here, which begins
//! with the row's id: `ffp_16_4_5_busy_is_tried_again` proves FFP 16.4.5, and
//! `b_rd_01_a_temporary_move_is_followed` proves B-RD-01. `cargo xtask conformance` joins the two
//! and writes docs/CONFORMANCE.md; a row without a test, and a test without a row, fail it.

mod bare;
mod chap_script;
mod scripted_login;
mod stall;
mod support;
mod transfers;
mod unit_script;
mod units;

mod async_messages;
mod boot_parameters;
mod capacity;
mod chap_extras;
mod chap_suite;
mod digests;
mod ffp_command;
mod ffp_control;
mod ffp_data;
mod ffp_numbering;
mod hostile;
mod login_negotiation;
mod login_phase;
mod login_status;
mod logout;
mod lun_discovery;
mod network;
mod nop;
mod protocol_level;
mod reads;
mod recovered_units;
mod recovery;
mod redirection;
mod rejects;
mod scsi_status;
mod sense_data;
mod sequence_numbers;
mod tags;
mod task_management;
mod text_requests;
mod transport;
mod unit_attention;
mod writes;
