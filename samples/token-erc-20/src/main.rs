//! Serves the sample to peers; `--help` tells all that it can be told.

use token_erc_20::TokenErc20;

#[tokio::main]
async fn main() -> selvedge::Result<()> {
    selvedge::serve(TokenErc20).await
}
