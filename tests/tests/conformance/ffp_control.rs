//! UNH-IOL full feature phase 14, 15, 17–20: logout, NOP, text, task management, asynchronous messages.
