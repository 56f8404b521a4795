//! One search over one snapshot.
