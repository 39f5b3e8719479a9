//! UNH-IOL full feature phase 16: the SCSI Command PDU and its failures.
