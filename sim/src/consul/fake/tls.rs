//! HTTPS for the fake: certificates from PEM files, and Go's word to clients that forgot the `s`.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use tokio_rustls::server::TlsStream;

/// `limits.https_handshake_timeout` of a real agent that says nothing else.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// What the first bytes of a request without TLS look like, to Go.
const HTTP: [&[u8; 5]; 5] = [b"GET /", b"HEAD ", b"POST ", b"PUT /", b"OPTIO"];
const NOT_TLS: &[u8] = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";

/// What a server proves itself with, and whom it lets in.
#[derive(Clone)]
pub struct Tls(TlsAcceptor);

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

/// Why there can be no TLS with these files.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or holds nothing of use.
    #[error("{}: {why}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The files do not fit together.
    #[error("the certificate and the key cannot be used: {0}")]
    Pair(String),
}

impl Tls {
    /// Reads a certificate (with those it was signed with, if any) and its key from PEM files. With
    /// `client_ca` only clients with a certificate signed by one of that file are let in.
    ///
    /// # Errors
    /// When a file cannot be read or used.
    pub fn load(certificate: &Path, key: &Path, client_ca: Option<&Path>) -> Result<Self, TlsError> {
        let chain = certificates(certificate)?;
        let key = PrivateKeyDer::from_pem_file(key).map_err(|error| TlsError::File {
            path: key.to_owned(),
            why: format!("no private key: {error}"),
        })?;
        let provider = Arc::new(ring::default_provider());
        let pair = |error: &dyn fmt::Display| TlsError::Pair(error.to_string());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| pair(&error))?;
        let builder = match client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let unfit = |why: String| TlsError::File { path: path.to_owned(), why };
                let mut roots = RootCertStore::empty();
                for certificate in certificates(path)? {
                    roots.add(certificate).map_err(|error| unfit(error.to_string()))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                    .build()
                    .map_err(|error| unfit(error.to_string()))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder.with_single_cert(chain, key).map_err(|error| pair(&error))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    /// Makes a TLS session of a connection.
    pub(super) async fn accept(&self, mut stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let session = async {
            if speaks_http(&stream).await? {
                stream.write_all(NOT_TLS).await?;
                stream.shutdown().await?;
                // Read what it sent: a reset would take the answer from it.
                let mut rest = [0; 4096];
                while stream.readable().await.is_ok() {
                    match stream.try_read(&mut rest) {
                        Ok(0) => break,
                        Err(error) if error.kind() != io::ErrorKind::WouldBlock => break,
                        _ => {}
                    }
                }
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the client speaks HTTP without TLS"));
            }
            self.0.accept(stream).await
        };
        tokio::time::timeout(HANDSHAKE, session).await?
    }
}

/// Whether what comes first is a request.
async fn speaks_http(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0; 5];
    let mut before = 0;
    loop {
        let seen = stream.peek(&mut first).await?;
        let could_be = HTTP.iter().any(|start| start.starts_with(&first[..seen]));
        if seen == first.len() || seen == before || !could_be {
            return Ok(could_be && seen == first.len());
        }
        before = seen;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let file = |why: String| TlsError::File { path: path.to_owned(), why };
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| file(format!("no certificates: {error}")))?;
    if found.is_empty() { Err(file("holds no certificate".to_owned())) } else { Ok(found) }
}
