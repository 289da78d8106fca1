//! The object store: `PUT /name` keeps an object, `GET /name` returns it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use ironbird_agent::host::{Exit, Host, Listener};
use rand_chacha::ChaCha8Rng;
use tokio::task::JoinSet;

use crate::machine::SimHost;
use crate::plan::Span;
use crate::record::What;

/// The largest object.
const OBJECT_MAX: usize = 32 << 20;

struct Store {
    host: SimHost,
    latency: Span,
    random: RefCell<ChaCha8Rng>,
    objects: RefCell<BTreeMap<String, Bytes>>,
}

/// Serves until its machine ends.
pub(super) async fn serve(host: SimHost, port: u16, latency: Span) -> Exit {
    let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port);
    let Ok(mut listener) = host.listen(address).await else {
        return Exit::code(1);
    };
    let random = RefCell::new(host.random("store"));
    let store = Rc::new(Store { host, latency, random, objects: RefCell::default() });
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { return Exit::code(1) };
                let store = Rc::clone(&store);
                connections.spawn_local(async move {
                    let answer = service_fn(move |request| answer(Rc::clone(&store), request));
                    // A client that goes away ends its own connection and nothing else.
                    http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await.ok();
                });
            }
        }
    }
}

async fn answer(store: Rc<Store>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let object = parts.uri.path().trim_start_matches('/').to_owned();
    let pause = store.latency.sample(&mut *store.random.borrow_mut());
    let outcome = match parts.method {
        Method::PUT => match Limited::new(body, OBJECT_MAX).collect().await {
            Ok(content) => {
                store.host.sleep(pause).await;
                store.objects.borrow_mut().insert(object.clone(), content.to_bytes());
                (StatusCode::OK, Bytes::new())
            }
            Err(_) => (StatusCode::PAYLOAD_TOO_LARGE, Bytes::new()),
        },
        Method::GET => {
            store.host.sleep(pause).await;
            match store.objects.borrow().get(&object) {
                Some(content) => (StatusCode::OK, content.clone()),
                None => (StatusCode::NOT_FOUND, Bytes::new()),
            }
        }
        _ => (StatusCode::METHOD_NOT_ALLOWED, Bytes::new()),
    };
    store.host.record(What::Store { method: parts.method.to_string(), object, status: outcome.0.as_u16() });
    let mut response = Response::new(Full::new(outcome.1));
    *response.status_mut() = outcome.0;
    Ok(response)
}
