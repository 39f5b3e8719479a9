//! B-PL: iSCSIProtocolLevel and the newer keys.
