//! Serves the sample to peers; `--help` tells all that it can be told.

use asset_transfer_basic::AssetTransfer;

#[tokio::main]
async fn main() -> selvedge::Result<()> {
    selvedge::serve(AssetTransfer).await
}
