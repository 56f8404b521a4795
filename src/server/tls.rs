//! TLS: a certificate from PEM files, read again when they change.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{Accept, TlsAcceptor};

use crate::definition::server::TlsSettings;

/// How often the files are looked at: two reads of a few KiB.
const RELOAD: Duration = Duration::from_secs(1);

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("read {path}, of [server.tls]")]
    Unread { path: PathBuf, source: io::Error },
    #[error("{path} is no PEM file with what [server.tls] needs")]
    NoPem { path: PathBuf, source: pem::Error },
    #[error("{0} has no certificate")]
    NoCertificate(PathBuf),
    #[error("the certificate and the key of [server.tls] cannot be used")]
    Unfit(#[source] rustls::Error),
}

/// The certificate that new connections are answered with.
pub struct Tls {
    settings: TlsSettings,
    config: ArcSwap<ServerConfig>,
}

/// What the two files hold.
#[derive(PartialEq)]
struct Files {
    cert: Vec<u8>,
    key: Vec<u8>,
}

impl Tls {
    /// # Errors
    /// The files cannot be used.
    pub fn open(settings: &TlsSettings) -> Result<Tls, TlsError> {
        let files = Files::read(settings)?;
        Ok(Tls {
            config: ArcSwap::from_pointee(files.config(settings)?),
            settings: settings.clone(),
        })
    }

    /// A connection whose handshake begins with the first read or write.
    pub fn accept(&self, stream: TcpStream) -> Stream {
        let acceptor = TlsAcceptor::from(self.config.load_full());
        Stream::Shaking(Box::new(acceptor.accept(stream)))
    }

    /// Looks at the files for ever. What cannot be used is told once, and the certificate before stays.
    pub async fn follow(self: Arc<Self>) {
        let mut seen = None;
        loop {
            tokio::time::sleep(RELOAD).await;
            let tls = self.clone();
            let looked = tokio::task::spawn_blocking(move || {
                let files = Files::read(&tls.settings);
                tls.take(files, seen)
            });
            match looked.await {
                Ok(now) => seen = now,
                // Without a thread to look on, later is soon enough.
                Err(_) => seen = None,
            }
        }
    }

    /// Takes files that are not those seen before; what is seen now.
    fn take(&self, read: Result<Files, TlsError>, seen: Option<Seen>) -> Option<Seen> {
        let now = match read {
            Ok(files) => Seen::Files(files),
            Err(error) => Seen::Nothing(error.to_string()),
        };
        // The files that the node has started with are taken once more: nothing else remembers them.
        if seen.as_ref() == Some(&now) {
            return seen;
        }
        let cert = self.settings.cert.display();
        let taken = match &now {
            Seen::Files(files) => files.config(&self.settings).map_err(with_source),
            Seen::Nothing(error) => Err(error.clone()),
        };
        match taken {
            Ok(config) => {
                self.config.store(Arc::new(config));
                if seen.is_some() {
                    tracing::info!(%cert, "new connections get the new certificate");
                }
            }
            Err(error) => {
                tracing::error!(%cert, error, "the new certificate cannot be used: the one before stays");
            }
        }
        Some(now)
    }
}

/// What a look at the files has found.
#[derive(PartialEq)]
enum Seen {
    Files(Files),
    Nothing(String),
}

fn with_source(error: TlsError) -> String {
    match std::error::Error::source(&error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

impl Files {
    fn read(settings: &TlsSettings) -> Result<Files, TlsError> {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|source| TlsError::Unread {
                path: path.to_owned(),
                source,
            })
        };
        Ok(Files {
            cert: read(&settings.cert)?,
            key: read(&settings.key)?,
        })
    }

    fn config(&self, settings: &TlsSettings) -> Result<ServerConfig, TlsError> {
        let no_pem = |path: &Path| {
            let path = path.to_owned();
            move |source| TlsError::NoPem { path, source }
        };
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&self.cert)
            .collect::<Result<_, _>>()
            .map_err(no_pem(&settings.cert))?;
        if chain.is_empty() {
            return Err(TlsError::NoCertificate(settings.cert.clone()));
        }
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(no_pem(&settings.key))?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Unfit)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(TlsError::Unfit)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

/// A TCP stream, or a TLS session on one. The handshake is part of the connection's own reads and writes, so it holds
/// up nobody else.
pub enum Stream {
    Plain(TcpStream),
    Shaking(Box<Accept<TcpStream>>),
    Secure(Box<TlsStream<TcpStream>>),
    /// The handshake has failed.
    Broken,
}

impl Stream {
    /// Drives the handshake, if there is one, to its end.
    fn poll_shaken(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Stream::Shaking(accept) = self {
            match ready!(Pin::new(accept).poll(cx)) {
                Ok(stream) => *self = Stream::Secure(Box::new(stream)),
                Err(error) => {
                    *self = Stream::Broken;
                    return Poll::Ready(Err(error));
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_shaken(cx))?;
        match &mut *self {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, into),
            Stream::Secure(stream) => Pin::new(stream).poll_read(cx, into),
            Stream::Shaking(_) | Stream::Broken => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_shaken(cx))?;
        match &mut *self {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Secure(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Shaking(_) | Stream::Broken => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_shaken(cx))?;
        match &mut *self {
            Stream::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Stream::Secure(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Stream::Shaking(_) | Stream::Broken => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    /// Both kinds of streams do.
    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Secure(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Shaking(_) | Stream::Broken => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Secure(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Shaking(_) | Stream::Broken => Poll::Ready(Ok(())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn renewed(settings: &TlsSettings) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        std::fs::write(&settings.cert, made.cert.pem()).unwrap();
        std::fs::write(&settings.key, made.signing_key.serialize_pem()).unwrap();
    }

    #[test]
    fn files_that_cannot_be_used_leave_the_certificate_that_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let settings = TlsSettings {
            cert: folder.path().join("cert.pem"),
            key: folder.path().join("key.pem"),
        };
        renewed(&settings);
        let tls = Tls::open(&settings).unwrap();
        let look = |seen| tls.take(Files::read(&settings), seen);
        let mut seen = look(None);
        let first = tls.config.load_full();

        // A certificate comes before its key, as when two files are copied.
        let key = std::fs::read(&settings.key).unwrap();
        renewed(&settings);
        let next_key = std::fs::read(&settings.key).unwrap();
        std::fs::write(&settings.key, key).unwrap();
        seen = look(seen);
        assert!(Arc::ptr_eq(&first, &tls.config.load_full()));
        std::fs::remove_file(&settings.key).unwrap();
        seen = look(seen);
        assert!(Arc::ptr_eq(&first, &tls.config.load_full()));
        std::fs::write(&settings.key, next_key).unwrap();
        seen = look(seen);
        let second = tls.config.load_full();
        assert!(!Arc::ptr_eq(&first, &second));
        // Nothing has changed, so sessions of the certificate go on.
        look(seen);
        assert!(Arc::ptr_eq(&second, &tls.config.load_full()));
    }
}
