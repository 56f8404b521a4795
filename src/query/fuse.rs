//! Two lists of hits -> one.
