//! The way down: the first SIGINT or SIGTERM asks everybody to finish, the second one does not wait.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A token that is cancelled by the first SIGINT or SIGTERM. A second signal ends the process with
/// 128 + its number, as a shell reports it. Must be called inside a tokio runtime.
#[must_use]
pub fn on_signals() -> CancellationToken {
    let token = CancellationToken::new();
    let cancelled = token.clone();
    let signals = signal(SignalKind::interrupt()).and_then(|interrupt| {
        let terminate = signal(SignalKind::terminate())?;
        Ok((interrupt, terminate))
    });
    let (mut interrupt, mut terminate) = match signals {
        Ok(signals) => signals,
        Err(error) => {
            tracing::error!(
                err = &error as &dyn std::error::Error,
                "cannot catch signals"
            );
            return token;
        }
    };
    tokio::spawn(async move {
        let mut next = async || {
            tokio::select! {
                _ = interrupt.recv() => ("interrupt", 130),
                _ = terminate.recv() => ("terminated", 143),
            }
        };
        let (name, _) = next().await;
        tracing::info!(signal = name, "caught signal, exiting");
        cancelled.cancel();
        let (name, code) = next().await;
        tracing::warn!(
            signal = name,
            "caught a second signal, not waiting any longer"
        );
        leave(code);
    });
    token
}

#[expect(clippy::exit, reason = "a second signal asks for exactly this")]
fn leave(code: i32) -> ! {
    std::process::exit(code)
}

#[cfg(test)]
mod tests {
    #[tokio::test]
    async fn a_signal_cancels_the_token() {
        let token = super::on_signals();
        assert!(!token.is_cancelled());
        let me = std::process::id().to_string();
        let sent = std::process::Command::new("sh")
            .args(["-c", "kill -TERM \"$0\"", &me])
            .status()
            .unwrap();
        assert!(sent.success());
        tokio::time::timeout(std::time::Duration::from_secs(5), token.cancelled())
            .await
            .unwrap();
    }
}
