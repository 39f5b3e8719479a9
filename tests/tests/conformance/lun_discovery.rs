//! B-LU: REPORT LUNS, INQUIRY and vital product data.
