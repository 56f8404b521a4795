//! Threads that let others go first.

/// Lowers the priority of the calling thread to a niceness from 0 to 19.
///
/// On Linux a thread has a priority of its own; elsewhere it belongs to the process, which is left alone.
pub fn lower(niceness: i32) {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), niceness) {
        tracing::debug!(%error, "a background thread runs at normal priority");
    }
    #[cfg(not(target_os = "linux"))]
    let _ = niceness;
}
