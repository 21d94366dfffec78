//! Fabric's sample asset-transfer-secured-agreement, as chaincode in Rust: an asset changes hands only if both sides have
//! agreed to the same price for the same properties, of which the channel knows hashes only.
//!
//! Functions, arguments, transient inputs, results and the keys on the ledger are those of the official sample in Go, so
//! that its client application works unchanged.

mod assets;
mod sale;

use selvedge::{
    ArgumentError, Bytes, ClientIdentityError, Collection, CompositeKey, Context, KeyPolicy, KeyRole, Query,
    contract,
};

pub use self::assets::{Agreement, Asset, AssetError, QueryResult, Receipt};

/// What the owner asks for an asset, and what somebody offers: object types of composite keys in their organisations'
/// collections.
const FOR_SALE: &str = "S";
const BID: &str = "B";

/// The chaincode.
#[derive(Clone, Copy, Debug, Default)]
pub struct SecuredAgreement;

#[contract(name = "SmartContract", rename_all = "PascalCase")]
impl SecuredAgreement {
    /// Creates an asset of the sender's organisation, which alone endorses its changes, and gives its id. Its properties
    /// stay in that organisation.
    #[transaction]
    async fn create_asset(
        &self,
        ctx: &Context,
        public_description: String,
        #[transient] asset_properties: Bytes,
    ) -> Result<String, AssetError> {
        let owner_org = own_organization(ctx)?;
        let id = format!("{:x}", Collection::hash_of(&asset_properties));
        if ctx.load::<Asset>(&id).await?.is_some() {
            return Err(AssetError::Exists(id));
        }
        let object_type = "asset".to_owned();
        let asset = Asset { object_type, id: id.clone(), owner_org, public_description };
        put_owned(ctx, &asset).await?;
        ctx.implicit_collection(&asset.owner_org).put(&id, asset_properties).await?;
        Ok(id)
    }

    /// Changes what the owner says of an asset.
    #[transaction]
    async fn change_public_description(
        &self,
        ctx: &Context,
        asset_id: String,
        new_description: String,
    ) -> Result<(), AssetError> {
        let asset = load_own(ctx, asset_id, "update the description of a asset").await?;
        Ok(ctx.store(&Asset { public_description: new_description, ..asset }).await?)
    }

    /// Says in the owner's organisation for how much an asset is for sale.
    #[transaction]
    async fn agree_to_sell(
        &self,
        ctx: &Context,
        asset_id: String,
        #[transient] asset_price: Bytes,
    ) -> Result<(), AssetError> {
        let organization = own_organization(ctx)?;
        let asset = load_own(ctx, asset_id, "sell an asset").await?;
        let key = price_key(FOR_SALE, &asset.id)?;
        Ok(ctx.implicit_collection(&organization).put(&key, asset_price).await?)
    }

    /// Says in the buyer's organisation how much an asset is worth to it, and as what.
    #[transaction]
    async fn agree_to_buy(
        &self,
        ctx: &Context,
        asset_id: String,
        #[transient] asset_properties: Bytes,
        #[transient] asset_price: Bytes,
    ) -> Result<(), AssetError> {
        let collection = ctx.implicit_collection(&own_organization(ctx)?);
        collection.put(&asset_id, asset_properties).await?;
        Ok(collection.put(&price_key(BID, &asset_id)?, asset_price).await?)
    }

    /// Checks that properties are those that an asset's owner keeps, and those that it was created with.
    #[transaction]
    async fn verify_asset_properties(
        &self,
        ctx: &Query,
        asset_id: String,
        #[transient] asset_properties: Bytes,
    ) -> Result<bool, AssetError> {
        let asset = load(ctx, asset_id).await?;
        let stored = ctx.implicit_collection(&asset.owner_org).hash(&asset.id).await?;
        let stored = stored.ok_or_else(|| AssetError::NoPropertiesHash(asset.id.clone()))?;
        let passed = Collection::hash_of(&asset_properties);
        if stored != passed {
            return Err(AssetError::PropertiesDiffer { passed, stored });
        }
        if format!("{stored:x}") != asset.id {
            return Err(AssetError::Altered { stored, id: asset.id });
        }
        Ok(true)
    }

    /// Sells an asset of the sender's organisation to another one, if both have agreed to the price.
    #[transaction]
    async fn transfer_asset(
        &self,
        ctx: &Context,
        asset_id: String,
        buyer_org_id: String,
        #[transient] asset_price: Bytes,
    ) -> Result<(), AssetError> {
        let agreement: Agreement = serde_json::from_slice(&asset_price)?;
        let asset = load_own(ctx, asset_id, "transfer a asset").await?;
        sale::verify(ctx, &asset, &buyer_org_id, &asset_price).await?;
        sale::carry_out(ctx, asset, buyer_org_id, agreement.price).await
    }

    /// Gives what everybody knows of an asset.
    #[transaction]
    async fn read_asset(&self, ctx: &Query, asset_id: String) -> Result<Asset, AssetError> {
        load(ctx, asset_id).await
    }

    /// Gives the properties of an asset that the sender's organisation keeps, as they were passed.
    #[transaction]
    async fn get_asset_private_properties(&self, ctx: &Query, asset_id: String) -> Result<Bytes, AssetError> {
        let properties = ctx.implicit_collection(&own_organization(ctx)?).get(&asset_id).await?;
        properties.ok_or(AssetError::NoProperties(asset_id))
    }

    /// Gives what the sender's organisation asks for an asset, as it was passed.
    #[transaction]
    async fn get_asset_sales_price(&self, ctx: &Query, asset_id: String) -> Result<Bytes, AssetError> {
        price(ctx, FOR_SALE, asset_id).await
    }

    /// Gives what the sender's organisation offers for an asset, as it was passed.
    #[transaction]
    async fn get_asset_bid_price(&self, ctx: &Query, asset_id: String) -> Result<Bytes, AssetError> {
        price(ctx, BID, asset_id).await
    }

    /// Gives all that the sender's organisation wants to sell.
    #[transaction]
    async fn query_asset_sale_agreements(&self, ctx: &Query) -> Result<Vec<Agreement>, AssetError> {
        agreements(ctx, FOR_SALE).await
    }

    /// Gives all that the sender's organisation wants to buy.
    #[transaction]
    async fn query_asset_buy_agreements(&self, ctx: &Query) -> Result<Vec<Agreement>, AssetError> {
        agreements(ctx, BID).await
    }

    /// Gives what transactions made of an asset, the last one first.
    #[transaction]
    async fn query_asset_history(
        &self,
        ctx: &Query,
        asset_id: String,
    ) -> Result<Vec<QueryResult>, AssetError> {
        let (mut results, mut history) = (Vec::new(), ctx.history(&asset_id).await?);
        while let Some(modification) = history.next().await? {
            let value = modification.value;
            let record = if value.is_empty() { None } else { Some(serde_json::from_slice(&value)?) };
            let timestamp = modification.timestamp.map(|time| time.to_string()).unwrap_or_default();
            results.push(QueryResult { record, tx_id: modification.tx_id, timestamp });
        }
        Ok(results)
    }

    /// Gives the id of the asset that has these properties.
    #[transaction]
    async fn get_asset_hash_id(
        &self,
        ctx: &Query,
        #[transient] asset_properties: Bytes,
    ) -> Result<String, AssetError> {
        let id = format!("{:x}", Collection::hash_of(&asset_properties));
        Ok(load(ctx, id).await?.id)
    }
}

/// The sender's organisation, which must be the peer's: its private data are on its own peers only.
fn own_organization(ctx: &Query) -> Result<String, AssetError> {
    let (sender, peer) = (ctx.client_identity()?, ctx.peer_msp_id()?);
    if sender.msp_id() != peer {
        return Err(AssetError::ForeignPeer { client: sender.msp_id().to_owned(), peer: peer.to_owned() });
    }
    Ok(peer.to_owned())
}

fn organization_of_sender(ctx: &Query) -> Result<String, ClientIdentityError> {
    Ok(ctx.client_identity()?.msp_id().to_owned())
}

fn price_key(object_type: &str, id: &str) -> Result<CompositeKey, ArgumentError> {
    CompositeKey::new(object_type, [id])
}

async fn load(ctx: &Query, id: String) -> Result<Asset, AssetError> {
    ctx.load::<Asset>(&id).await?.ok_or(AssetError::Missing(id))
}

/// Loads an asset of the sender's organisation.
async fn load_own(ctx: &Query, id: String, what: &'static str) -> Result<Asset, AssetError> {
    let (asset, client) = (load(ctx, id).await?, organization_of_sender(ctx)?);
    match client == asset.owner_org {
        true => Ok(asset),
        false => Err(AssetError::NotOwner { client, what, owner: asset.owner_org }),
    }
}

/// Writes an asset and leaves its changes to its owner's organisation.
async fn put_owned(ctx: &Context, asset: &Asset) -> Result<(), AssetError> {
    ctx.store(asset).await?;
    let policy = KeyPolicy::all_of(KeyRole::Peer, [&asset.owner_org]);
    Ok(ctx.set_endorsement_policy(&asset.id, &policy).await?)
}

async fn price(ctx: &Query, object_type: &str, id: String) -> Result<Bytes, AssetError> {
    let collection = ctx.implicit_collection(&own_organization(ctx)?);
    collection.get(&price_key(object_type, &id)?).await?.ok_or(AssetError::NoPrice(id))
}

async fn agreements(ctx: &Query, object_type: &str) -> Result<Vec<Agreement>, AssetError> {
    let collection = ctx.implicit_collection(&own_organization(ctx)?);
    let mut entries = collection.composite_range(object_type, [""; 0]).await?;
    let mut agreements = Vec::new();
    while let Some(entry) = entries.next().await? {
        agreements.push(entry.json()?);
    }
    Ok(agreements)
}
