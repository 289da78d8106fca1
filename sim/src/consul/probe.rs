//! Carries out what an agent's checks try, over any host's network.
//!
//! What an outcome means is the agent's business; here it is only brought about, and a failure put in the
//! words Go's network library has for it. Names are not looked up: a check names an address, or
//! `localhost`.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONNECTION, HOST, LOCATION, USER_AGENT};
use http::uri::Uri;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::ext::ReasonPhrase;
use hyper_util::rt::TokioIo;
use ironbird_agent::host::Host;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;

use super::agent::probe::{HttpTarget, ProbeResult, Target};

const PORT_DEFAULT: u16 = 80;
const REDIRECTS_MAX: usize = 10;
/// As much of a body as is kept while it comes in: more than any check shows.
const BODY_KEPT: usize = 64 * 1024;
const TOO_SLOW: &str = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)";

/// What a probe asks of the machine it is carried out on: every [`Host`] has it.
pub trait Network: Clone + 'static {
    /// A connected byte stream.
    type Stream: AsyncRead + AsyncWrite + Unpin + 'static;

    /// Monotonic time since an arbitrary start.
    fn now(&self) -> Duration;

    /// Completes when `duration` has passed.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + 'static;

    /// Opens a stream to `address`.
    ///
    /// # Errors
    /// As `connect(2)`: refused, timed out, unreachable.
    fn connect(&self, address: SocketAddr) -> impl Future<Output = io::Result<Self::Stream>> + 'static;
}

impl<H: Host> Network for H {
    type Stream = H::Stream;

    fn now(&self) -> Duration {
        Host::now(self)
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + 'static {
        Host::sleep(self, duration)
    }

    fn connect(&self, address: SocketAddr) -> impl Future<Output = io::Result<H::Stream>> + 'static {
        Host::connect(self, address)
    }
}

/// Waits for `future`, but not longer than `limit`.
async fn within<F: Future>(host: &impl Network, limit: Duration, future: F) -> Option<F::Output> {
    tokio::select! {
        biased;
        output = future => Some(output),
        () = host.sleep(limit) => None,
    }
}

/// Tries `target` from `host`, and says how it went.
pub async fn carry_out<N: Network>(host: &N, target: &Target) -> ProbeResult {
    match target {
        Target::Tcp { address, timeout } => match within(host, *timeout, dial(host, address)).await {
            Some(Ok(_)) => ProbeResult::Connected,
            Some(Err(why)) => ProbeResult::Failed(why),
            None => ProbeResult::Failed(format!("dial tcp {address}: i/o timeout")),
        },
        Target::Http(target) => match request(host, target).await {
            Ok(result) => result,
            Err(why) => ProbeResult::Failed(why),
        },
    }
}

/// Opens a connection to a host and port.
async fn dial<N: Network>(host: &N, address: &str) -> Result<N::Stream, String> {
    let Some((name, port)) = address.rsplit_once(':').filter(|(name, _)| bare(name).is_some()) else {
        return Err(format!("dial tcp: address {address}: missing port in address"));
    };
    let Ok(port) = port.parse() else {
        return Err(format!("dial tcp: address {port}: invalid port"));
    };
    let name = bare(name).unwrap_or(name);
    let Some(address) = resolve(name) else {
        return Err(format!("dial tcp: lookup {name}: no such host"));
    };
    let address = SocketAddr::new(address, port);
    host.connect(address).await.map_err(|why| {
        let why = match why.kind() {
            io::ErrorKind::ConnectionRefused => "connect: connection refused",
            io::ErrorKind::HostUnreachable => "connect: no route to host",
            io::ErrorKind::NetworkUnreachable => "connect: network is unreachable",
            io::ErrorKind::ConnectionReset => "connect: connection reset by peer",
            _ => "i/o timeout",
        };
        format!("dial tcp {address}: {why}")
    })
}

/// A host's name without the brackets of an address that has colons in it.
fn bare(name: &str) -> Option<&str> {
    match name.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']'),
        None => (!name.contains(':')).then_some(name),
    }
}

fn resolve(name: &str) -> Option<IpAddr> {
    if name.eq_ignore_ascii_case("localhost") {
        return Some(Ipv4Addr::LOCALHOST.into());
    }
    name.parse().ok()
}

/// Makes a request and follows where it is sent.
async fn request<N: Network>(host: &N, target: &HttpTarget) -> Result<ProbeResult, String> {
    let deadline = host.now() + target.timeout;
    let mut method = Method::from_bytes(target.method.as_bytes())
        .map_err(|_| format!("net/http: invalid method {:?}", target.method))?;
    let failed = |why: &str| target.failed(why);
    let mut url = place(&target.url, target)?;
    let mut headers = headers(target)?;
    let mut body = Bytes::copy_from_slice(target.body.as_bytes());
    for _ in 0..=REDIRECTS_MAX {
        let left = deadline.saturating_sub(host.now());
        let mut connection = JoinSet::new();
        let exchange = exchange(host, &mut connection, &url, &method, &headers, &body);
        let response = match within(host, left, exchange).await {
            None => return Err(failed(TOO_SLOW)),
            Some(answer) => answer.map_err(|why| failed(&why))?,
        };
        let status = response.status().as_u16();
        let next = match (status, response.headers().get(LOCATION)) {
            (301 | 302 | 303 | 307 | 308, Some(next)) => {
                next.to_str().ok().and_then(|next| onward(&url, next))
            }
            _ => None,
        };
        let Some(next) = next else {
            let reason = reason(&response);
            let left = deadline.saturating_sub(host.now());
            return Ok(ProbeResult::Response { status, reason, body: read(host, left, response).await });
        };
        if status < 304 && method != Method::HEAD {
            method = Method::GET;
            body = Bytes::new();
        }
        headers.remove(HOST);
        url = place(&next, target)?;
    }
    Err(failed(&format!("stopped after {REDIRECTS_MAX} redirects")))
}

/// Reads where a request goes.
fn place(url: &str, target: &HttpTarget) -> Result<Uri, String> {
    let (scheme, _) = url.split_once("://").unwrap_or_default();
    if url.starts_with(':') {
        return Err(format!("parse {url:?}: missing protocol scheme"));
    }
    if !scheme.eq_ignore_ascii_case("http") {
        return Err(target.failed(&format!("unsupported protocol scheme {scheme:?}")));
    }
    match url.parse::<Uri>() {
        Ok(uri) if uri.host().is_some_and(|host| !host.is_empty()) => Ok(uri),
        _ if url.len() == "http://".len() || url["http://".len()..].starts_with(['/', '?', '#']) => {
            Err(target.failed("http: no Host in request URL"))
        }
        _ => Err(format!("parse {url:?}: invalid character in host name")),
    }
}

/// Where an answer sends a request.
fn onward(from: &Uri, next: &str) -> Option<String> {
    if next.starts_with('/') && !next.starts_with("//") {
        return Some(format!("http://{}{next}", from.authority()?));
    }
    next.contains("://").then(|| next.to_owned())
}

fn headers(target: &HttpTarget) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    headers.insert(USER_AGENT, HeaderValue::from_static("Consul Health Check"));
    headers.insert(ACCEPT, HeaderValue::from_static("text/plain, text/*, */*"));
    for (name, values) in &target.header {
        let known: HeaderName = name
            .parse()
            .map_err(|_| target.failed(&format!("net/http: invalid header field name {name:?}")))?;
        headers.remove(&known);
        for value in values {
            let value = HeaderValue::from_str(value).map_err(|_| {
                target.failed(&format!("net/http: invalid header field value {value:?} for key {name}"))
            })?;
            headers.append(&known, value);
        }
    }
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    Ok(headers)
}

/// Sends one request. The connection lives for as long as `connection`, which is to outlive the answer.
async fn exchange<N: Network>(
    host: &N,
    connection: &mut JoinSet<()>,
    url: &Uri,
    method: &Method,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<Response<Incoming>, String> {
    let port = url.port_u16().unwrap_or(PORT_DEFAULT);
    let stream = dial(host, &format!("{}:{port}", url.host().unwrap_or_default())).await?;
    let gone = |_| "EOF".to_owned();
    let (mut sender, driver) = http1::handshake(TokioIo::new(stream)).await.map_err(gone)?;
    connection.spawn_local(async {
        // How it ends shows in the answer.
        driver.await.ok();
    });
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::new(Full::<Bytes>::from(body.clone()));
    *request.method_mut() = method.clone();
    *request.uri_mut() = path.parse().map_err(|_| "invalid URI".to_owned())?;
    *request.headers_mut() = headers.clone();
    if !headers.contains_key(HOST)
        && let Some(authority) = url.authority()
        && let Ok(authority) = HeaderValue::from_str(authority.as_str())
    {
        request.headers_mut().insert(HOST, authority);
    }
    sender.send_request(request).await.map_err(gone)
}

fn reason(response: &Response<Incoming>) -> String {
    match response.extensions().get::<ReasonPhrase>() {
        Some(said) => String::from_utf8_lossy(said.as_bytes()).into_owned(),
        None => response.status().canonical_reason().unwrap_or_default().to_owned(),
    }
}

/// Reads a body to its end, or for as long as there is time, and keeps the last of it.
async fn read<N: Network>(host: &N, left: Duration, response: Response<Incoming>) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut body = response.into_body();
    within(host, left, async {
        while let Some(Ok(frame)) = body.frame().await {
            if let Ok(data) = frame.into_data() {
                kept.extend_from_slice(&data);
                let surplus = kept.len().saturating_sub(BODY_KEPT);
                kept.drain(..surplus);
            }
        }
    })
    .await;
    kept
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ironbird_agent::host::Listener;
    use ironbird_agent::linux::LinuxHost;
    use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

    use super::*;

    /// Runs `test` on this very machine.
    fn fly<F: Future>(test: impl FnOnce(LinuxHost) -> F) -> F::Output {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        tokio::task::LocalSet::new()
            .block_on(&runtime, async { test(LinuxHost::new(None).expect("a machine")).await })
    }

    fn http(url: String) -> Target {
        Target::Http(Box::new(HttpTarget {
            method: "GET".to_owned(),
            url,
            header: BTreeMap::from([("X-A".to_owned(), vec!["b".to_owned()])]),
            body: String::new(),
            timeout: Duration::from_secs(20),
        }))
    }

    /// Takes one connection, reads a request and answers it.
    async fn serve<L>(listener: &mut L, answer: &str) -> String
    where
        L: Listener<Stream: AsyncRead + AsyncWrite + Unpin>,
    {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.expect("a request"));
        }
        stream.write_all(answer.as_bytes()).await.expect("a reader");
        String::from_utf8_lossy(&head).into_owned()
    }

    #[test]
    fn an_answer_is_brought_back_with_its_own_words_and_a_server_that_has_gone_is_refused() {
        fly(|host| async move {
            let mut listener = host.listen(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a port");
            let address = listener.local_addr().expect("an address");
            let target = http(format!("http://{address}/x?y=1"));
            let answer = "HTTP/1.1 503 Not Today\r\nContent-Length: 2\r\n\r\nno";
            let (head, result) = tokio::join!(serve(&mut listener, answer), carry_out(&host, &target));
            assert!(head.starts_with("GET /x?y=1 HTTP/1.1\r\n"), "{head}");
            assert!(head.contains("user-agent: Consul Health Check\r\n"), "{head}");
            assert!(head.contains("x-a: b\r\n"), "{head}");
            let said =
                ProbeResult::Response { status: 503, reason: "Not Today".to_owned(), body: b"no".to_vec() };
            assert_eq!(result, said);
            drop(listener);
            let refused = format!("dial tcp {address}: connect: connection refused");
            let failed = ProbeResult::Failed(format!("Get \"http://{address}/x?y=1\": {refused}"));
            assert_eq!(carry_out(&host, &target).await, failed);
            let tcp = Target::Tcp { address: address.to_string(), timeout: Duration::from_secs(20) };
            assert_eq!(carry_out(&host, &tcp).await, ProbeResult::Failed(refused));
        });
    }

    #[test]
    fn an_answer_that_points_elsewhere_is_followed() {
        fly(|host| async move {
            let mut listener = host.listen(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a port");
            let address = listener.local_addr().expect("an address");
            let target = http(format!("http://{address}/from"));
            let answers = async {
                serve(&mut listener, "HTTP/1.1 302 Found\r\nLocation: /to\r\nContent-Length: 0\r\n\r\n")
                    .await;
                serve(&mut listener, "HTTP/1.1 204 No Content\r\n\r\n").await
            };
            let (head, result) = tokio::join!(answers, carry_out(&host, &target));
            assert!(head.starts_with("GET /to HTTP/1.1\r\n"), "{head}");
            let reason = "No Content".to_owned();
            assert_eq!(result, ProbeResult::Response { status: 204, reason, body: Vec::new() });
        });
    }

    #[test]
    fn what_is_no_address_fails_as_go_says_it() {
        fly(|host| async move {
            for (url, expected) in [
                (":foo", "parse \":foo\": missing protocol scheme"),
                ("ftp://127.0.0.1:1/x", "Get \"ftp://127.0.0.1:1/x\": unsupported protocol scheme \"ftp\""),
                ("http:///x", "Get \"http:///x\": http: no Host in request URL"),
                ("http://no.such/", "Get \"http://no.such/\": dial tcp: lookup no.such: no such host"),
            ] {
                let result = carry_out(&host, &http(url.to_owned())).await;
                assert_eq!(result, ProbeResult::Failed(expected.to_owned()));
            }
            for (address, expected) in [
                ("127.0.0.1", "dial tcp: address 127.0.0.1: missing port in address"),
                ("127.0.0.1:99999", "dial tcp: address 99999: invalid port"),
            ] {
                let target = Target::Tcp { address: address.to_owned(), timeout: Duration::from_secs(1) };
                assert_eq!(carry_out(&host, &target).await, ProbeResult::Failed(expected.to_owned()));
            }
        });
    }
}
