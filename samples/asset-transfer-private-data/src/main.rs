//! Serves the sample to peers; `--help` tells all that it can be told.

use asset_transfer_private_data::PrivateAssetTransfer;

#[tokio::main]
async fn main() -> selvedge::Result<()> {
    selvedge::serve(PrivateAssetTransfer).await
}
