//! Serves the sample to peers; `--help` tells all that it can be told.

use token_utxo::TokenUtxo;

#[tokio::main]
async fn main() -> selvedge::Result<()> {
    selvedge::serve(TokenUtxo).await
}
