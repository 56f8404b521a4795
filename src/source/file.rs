//! Files of changes: a message or a record a line; plain, gzip or zstd; read once or followed.
