//! Serves the sample to peers; `--help` tells all that it can be told.

use high_throughput::HighThroughput;

#[tokio::main]
async fn main() -> selvedge::Result<()> {
    selvedge::serve(HighThroughput).await
}
