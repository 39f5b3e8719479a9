//! SCSI as disks need it (SAM, SPC, SBC): CDBs out, parameter data in. Knows no iSCSI.
