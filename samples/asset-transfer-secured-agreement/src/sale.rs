//! The sale of an asset: both sides' private data are compared by their hashes, and both keep a receipt.

use selvedge::{Bytes, Collection, CompositeKey, Context};

use crate::assets::{Asset, AssetError, Receipt};
use crate::{BID, FOR_SALE, price_key, put_owned};

/// What the seller and the buyer keep of a sale: object types of composite keys in their organisations' collections.
const SALE_RECEIPT: &str = "SR";
const BUY_RECEIPT: &str = "BR";

/// Checks that buyer and seller keep the same properties, and that both have agreed to the price.
pub(crate) async fn verify(
    ctx: &Context,
    asset: &Asset,
    buyer: &str,
    price: &Bytes,
) -> Result<(), AssetError> {
    let seller = ctx.implicit_collection(&asset.owner_org);
    let buyer = ctx.implicit_collection(buyer);
    let missing = || AssetError::NoPropertiesHash(asset.id.clone());
    let sellers = seller.hash(&asset.id).await?.ok_or_else(missing)?;
    let buyers = buyer.hash(&asset.id).await?.ok_or_else(missing)?;
    if sellers != buyers {
        return Err(AssetError::SidesDiffer { seller: sellers, buyer: buyers });
    }
    let passed = Collection::hash_of(price);
    for (side, collection, object_type) in [("seller", seller, FOR_SALE), ("buyer", buyer, BID)] {
        let stored = collection.hash(&price_key(object_type, &asset.id)?).await?;
        let stored = stored.ok_or_else(|| AssetError::NotAgreed { side, id: asset.id.clone() })?;
        if stored != passed {
            return Err(AssetError::PricesDiffer { side, passed, stored });
        }
    }
    Ok(())
}

/// Gives the asset to the buyer, forgets what was agreed, and leaves a receipt with both.
pub(crate) async fn carry_out(
    ctx: &Context,
    asset: Asset,
    buyer: String,
    price: i64,
) -> Result<(), AssetError> {
    let sellers = ctx.implicit_collection(&asset.owner_org);
    let buyers = ctx.implicit_collection(&buyer);
    let asset = Asset { owner_org: buyer, ..asset };
    put_owned(ctx, &asset).await?;
    sellers.delete(&asset.id).await?;
    sellers.delete(&price_key(FOR_SALE, &asset.id)?).await?;
    buyers.delete(&price_key(BID, &asset.id)?).await?;
    let timestamp = ctx.timestamp().map(|time| time.to_string()).unwrap_or_default();
    let receipt = Bytes::from(serde_json::to_vec(&Receipt { price, timestamp })?);
    buyers.put(&CompositeKey::new(BUY_RECEIPT, [&*asset.id, ctx.tx_id()])?, receipt.clone()).await?;
    Ok(sellers.put(&CompositeKey::new(SALE_RECEIPT, [ctx.tx_id(), &*asset.id])?, receipt).await?)
}
