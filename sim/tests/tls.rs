//! The fake behind TLS: whom it lets in, and what it says to those it does not.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ironbird_sim::consul::fake::{FakeConsul, Tls};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// A certificate authority and a pair signed by it, as files.
struct Papers {
    folder: tempfile::TempDir,
}

impl Papers {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let papers = Self { folder };
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority =
            CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority");
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
        let certificate = params.signed_by(&key, &authority).expect("a certificate");
        for (name, text) in
            [("ca", authority.pem()), ("cert", certificate.pem()), ("key", key.serialize_pem())]
        {
            std::fs::write(papers.path(name), text).expect("a file in our own folder");
        }
        papers
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn server(&self, client_ca: Option<&Path>) -> Tls {
        Tls::load(&self.path("cert"), &self.path("key"), client_ca).expect("sound files")
    }

    /// A client that trusts the authority, and shows its own certificate if it is to.
    fn client(&self, shows_certificate: bool) -> TlsConnector {
        let certificate = |name| CertificateDer::from_pem_file(self.path(name)).expect("a certificate");
        let mut roots = RootCertStore::empty();
        roots.add(certificate("ca")).expect("an authority");
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots);
        let config = if shows_certificate {
            let key = PrivateKeyDer::from_pem_file(self.path("key")).expect("a key");
            builder.with_client_auth_cert(vec![certificate("cert")], key).expect("a pair")
        } else {
            builder.with_no_client_auth()
        };
        TlsConnector::from(Arc::new(config))
    }
}

async fn talk(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<String> {
    stream.write_all(b"GET /v1/status/leader HTTP/1.0\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

async fn ask(consul: &FakeConsul, client: TlsConnector) -> io::Result<String> {
    let stream = TcpStream::connect(consul.addr()).await?;
    talk(client.connect(ServerName::try_from("localhost").expect("a name"), stream).await?).await
}

#[tokio::test]
async fn a_client_that_trusts_the_certificate_is_answered_and_one_without_tls_is_told() {
    let papers = Papers::new();
    let consul = FakeConsul::builder().tls(papers.server(None)).start().await.expect("a server");
    assert!(consul.url().starts_with("https://127.0.0.1:"));
    let answer = ask(&consul, papers.client(false)).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.0 200 OK"), "{answer}");
    let plain =
        talk(TcpStream::connect(consul.addr()).await.expect("a connection")).await.expect("an answer");
    assert_eq!(plain, "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n");
}

#[tokio::test]
async fn where_clients_need_a_certificate_only_those_with_one_are_answered() {
    let papers = Papers::new();
    let consul =
        FakeConsul::builder().tls(papers.server(Some(&papers.path("ca")))).start().await.expect("a server");
    assert!(ask(&consul, papers.client(true)).await.expect("an answer").starts_with("HTTP/1.0 200 OK"));
    assert!(ask(&consul, papers.client(false)).await.is_err());
    // One signed by somebody else is none.
    let stranger = Papers::new();
    std::fs::copy(papers.path("ca"), stranger.path("ca")).expect("a file in our own folder");
    assert!(ask(&consul, stranger.client(true)).await.is_err());
}

#[test]
fn files_that_do_not_fit_are_named() {
    let (papers, other) = (Papers::new(), Papers::new());
    let refused = Tls::load(&papers.path("cert"), &other.path("key"), None).expect_err("another's key");
    assert!(refused.to_string().starts_with("the certificate and the key cannot be used"), "{refused}");
    let refused = Tls::load(&papers.path("key"), &papers.path("key"), None).expect_err("no certificate");
    assert!(refused.to_string().ends_with("key: holds no certificate"), "{refused}");
    let refused = Tls::load(&papers.path("cert"), &papers.path("ca"), None).expect_err("no key");
    assert!(refused.to_string().contains("ca: no private key"), "{refused}");
}
