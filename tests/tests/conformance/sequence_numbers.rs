//! B-SN: CmdSN, StatSN, DataSN, R2TSN and the window.
