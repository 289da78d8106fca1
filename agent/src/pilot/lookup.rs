//! Whether a service that was registered with an agent is in the catalog, and what keeps it out.
//!
//! An agent draws an id when its data directory is made, and Consul keeps a node's name for the id that has it
//! for as long as that node is healthy. An agent that loses its data directory and is back before anybody has
//! noticed was healthy all along: from then on nothing it says gets into the catalog, whatever it answers its
//! clients, until somebody takes the name from what it was.

use crate::consul::{AgentNode, CatalogNode, Consul, Result};
use crate::host::Host;

/// What became of a registration.
#[derive(Debug)]
pub(super) enum Found {
    /// The catalog lists it.
    Listed,
    /// The catalog knows nothing of it.
    Missing,
    /// The catalog keeps the name of the agent's node for another id.
    Reserved {
        /// Who the agent is.
        agent: AgentNode,
        /// Who has its name.
        holder: CatalogNode,
    },
}

impl Found {
    /// Looks for the service called `id`.
    ///
    /// # Errors
    /// When there is no usable answer.
    pub(super) async fn look<H: Host>(consul: &Consul<H>, id: &str) -> Result<Self> {
        let agent = consul.agent().node().await?;
        Ok(match consul.catalog().node(&agent.name).await? {
            Some(holder) if !holder.id.is_empty() && holder.id != agent.id => {
                Self::Reserved { agent, holder }
            }
            Some(node) if node.services.iter().any(|listed| listed == id) => Self::Listed,
            _ => Self::Missing,
        })
    }
}
