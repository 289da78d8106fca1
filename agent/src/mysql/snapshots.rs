//! Snapshots in the object store.

use std::net::SocketAddr;
use std::time::Duration;

use http::Method;

use crate::consul::http::{Client, Failure, Response};
use crate::host::Host;

/// How long one object may take either way.
const DEADLINE: Duration = Duration::from_secs(60);
/// The largest snapshot.
const LIMIT_BYTES: usize = 32 << 20;

/// The object store.
#[derive(Clone)]
pub(super) struct Snapshots<H: Host> {
    client: Client<H>,
    address: SocketAddr,
}

impl<H: Host> Snapshots<H> {
    pub(super) fn new(host: H, address: SocketAddr) -> Self {
        Self { client: Client::with_response_limit(host, LIMIT_BYTES), address }
    }

    pub(super) async fn put(&self, id: &str, content: Vec<u8>) -> Result<(), Failure> {
        let response = self.client.request(self.address, Method::PUT, &path(id), content, DEADLINE).await?;
        expect_success(id, response).map(drop)
    }

    /// Whether there is an object of this name.
    pub(super) async fn exists(&self, id: &str) -> Result<bool, Failure> {
        Ok(self.find(id).await?.is_some())
    }

    /// The object of this name, if there is one.
    pub(super) async fn find(&self, id: &str) -> Result<Option<Vec<u8>>, Failure> {
        let response = self.request(id).await?;
        if response.status == 404 { Ok(None) } else { expect_success(id, response).map(Some) }
    }

    /// The object of this name, which must be there.
    pub(super) async fn get(&self, id: &str) -> Result<Vec<u8>, Failure> {
        expect_success(id, self.request(id).await?)
    }

    async fn request(&self, id: &str) -> Result<Response, Failure> {
        self.client.request(self.address, Method::GET, &path(id), "", DEADLINE).await
    }
}

fn path(id: &str) -> String {
    format!("/{id}")
}

fn expect_success(id: &str, response: Response) -> Result<Vec<u8>, Failure> {
    if response.is_success() {
        return Ok(response.body.to_vec());
    }
    Err(Failure::Protocol(format!("object store: {id}: status {}", response.status)))
}
