//! Arguments to exit code.

use std::process::ExitCode;

/// Rows are allocated on the sources' threads and freed on the workers'.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    millpond::cli::run()
}
