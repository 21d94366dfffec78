//! Serves the sample to peers; `--help` tells all that it can be told.

use asset_transfer_ledger_queries::AssetTransferContract;

#[tokio::main]
async fn main() -> selvedge::Result<()> {
    selvedge::serve(AssetTransferContract).await
}
