//! B-ST: SAM status and service response.
