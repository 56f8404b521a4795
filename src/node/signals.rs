//! Ctrl-C and SIGTERM.

/// Waits for either.
pub(super) async fn told_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        let _ = tokio::signal::ctrl_c().await;
        return;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

/// Ends the process at the next signal: what is acknowledged is on disk at any moment.
pub(super) fn end_at_the_next_signal() {
    tokio::spawn(async {
        told_to_stop().await;
        tracing::warn!("told twice: ending at once");
        std::process::exit(130);
    });
}
