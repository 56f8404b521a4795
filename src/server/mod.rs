//! The query port: HTTP in, HTTP out. The only folder that names axum.
