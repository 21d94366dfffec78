//! Serves the sample to peers; `--help` tells all that it can be told.

use auction::SimpleAuction;

#[tokio::main]
async fn main() -> selvedge::Result<()> {
    selvedge::serve(SimpleAuction).await
}
