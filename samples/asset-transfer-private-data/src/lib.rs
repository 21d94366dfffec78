//! Fabric's sample asset-transfer-private-data, as chaincode in Rust: what an asset is worth is known to its owner's
//! organisation only, and a sale compares hashes.
//!
//! Functions, transient inputs, results, collections and the JSON in them are those of the official sample in Go, so that
//! its client applications work unchanged.

mod assets;

use selvedge::{Collection, CollectionContext, CompositeKey, Context, Query, StateIterator, contract};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

pub use self::assets::{
    Asset, AssetBuyer, AssetError, AssetName, AssetPrivateDetails, AssetProperties, TransferAgreement,
};
use self::assets::{filled, positive};

/// The chaincode.
#[derive(Clone, Copy, Debug, Default)]
pub struct PrivateAssetTransfer;

#[contract(name = "SmartContract", rename_all = "PascalCase")]
impl PrivateAssetTransfer {
    /// Creates an asset of the sender. Both organisations see it; its value stays in the sender's.
    #[transaction]
    async fn create_asset(
        &self,
        ctx: &Context,
        #[transient] asset_properties: AssetProperties,
        #[private("assetCollection")] assets: CollectionContext,
    ) -> Result<(), AssetError> {
        let AssetProperties { object_type, id, color, size, appraised_value } = asset_properties;
        filled("objectType", &object_type)?;
        filled("assetID", &id)?;
        filled("color", &color)?;
        positive("size", size)?;
        positive("appraisedValue", appraised_value)?;
        let own = own_collection(ctx)?;
        if assets.load::<Asset>(&id).await?.is_some() {
            return Err(AssetError::Exists(id));
        }
        let owner = ctx.client_identity()?.decoded_id();
        assets.store(&Asset { object_type, id: id.clone(), color, size, owner }).await?;
        Ok(own.store(&AssetPrivateDetails { id, appraised_value }).await?)
    }

    /// Says that the sender wants an asset, and to their own organisation only for how much.
    #[transaction]
    async fn agree_to_transfer(
        &self,
        ctx: &Context,
        #[transient] asset_value: AssetPrivateDetails,
        #[private("assetCollection")] assets: CollectionContext,
    ) -> Result<(), AssetError> {
        filled("assetID", &asset_value.id)?;
        positive("appraisedValue", asset_value.appraised_value)?;
        let own = own_collection(ctx)?;
        if assets.load::<Asset>(&asset_value.id).await?.is_none() {
            return Err(AssetError::Missing(asset_value.id));
        }
        own.store(&asset_value).await?;
        let buyer = ctx.client_identity()?.decoded_id();
        Ok(assets.put(&agreement_key(&asset_value.id)?, buyer).await?)
    }

    /// Gives an asset of the sender to who has agreed to its value.
    #[transaction]
    async fn transfer_asset(
        &self,
        ctx: &Context,
        #[transient] asset_owner: AssetBuyer,
        #[private("assetCollection")] assets: CollectionContext,
    ) -> Result<(), AssetError> {
        let AssetBuyer { id, msp_id } = asset_owner;
        filled("assetID", &id)?;
        filled("buyerMSP", &msp_id)?;
        let own = own_collection(ctx)?;
        let asset = assets.load::<Asset>(&id).await?.ok_or_else(|| AssetError::Missing(id.clone()))?;
        if ctx.client_identity()?.decoded_id() != asset.owner {
            return Err(AssetError::NotOwner);
        }
        let buyers = ctx.collection(&organization_collection(&msp_id))?;
        verify_agreement(&own, &buyers, &id).await?;
        let buyer = read_agreement(&assets, &id).await?.ok_or_else(|| AssetError::NoBuyer(id.clone()))?;
        assets.store(&Asset { owner: buyer.buyer_id, ..asset }).await?;
        own.remove::<AssetPrivateDetails>(&id).await?;
        Ok(assets.delete(&agreement_key(&id)?).await?)
    }

    /// Deletes an asset of the sender's organisation, and its value.
    #[transaction]
    async fn delete_asset(
        &self,
        ctx: &Context,
        #[transient] asset_delete: AssetName,
        #[private("assetCollection")] assets: CollectionContext,
    ) -> Result<(), AssetError> {
        let id = asset_delete.id;
        filled("assetID", &id)?;
        let own = own_collection(ctx)?;
        if assets.load::<Asset>(&id).await?.is_none() {
            return Err(AssetError::NotFound(id));
        }
        if own.load::<AssetPrivateDetails>(&id).await?.is_none() {
            return Err(AssetError::NotInCollection { collection: own.name().to_owned(), id });
        }
        assets.remove::<Asset>(&id).await?;
        Ok(own.remove::<AssetPrivateDetails>(&id).await?)
    }

    /// Deletes every trace of an asset and its value from the peers, also what was deleted before.
    #[transaction]
    async fn purge_asset(
        &self,
        ctx: &Context,
        #[transient] asset_purge: AssetName,
        #[private("assetCollection")] assets: CollectionContext,
    ) -> Result<(), AssetError> {
        filled("assetID", &asset_purge.id)?;
        let own = own_collection(ctx)?;
        assets.purge(&asset_purge.id).await?;
        Ok(own.purge(&asset_purge.id).await?)
    }

    /// Takes back that the sender's organisation wants an asset. The name is spelt as in the official sample.
    #[transaction(name = "DeleteTranferAgreement")]
    async fn delete_transfer_agreement(
        &self,
        ctx: &Context,
        #[transient] agreement_delete: AssetName,
        #[private("assetCollection")] assets: CollectionContext,
    ) -> Result<(), AssetError> {
        let id = agreement_delete.id;
        filled("transient input ID", &id)?;
        let own = own_collection(ctx)?;
        if read_agreement(&assets, &id).await?.is_none() {
            return Err(AssetError::NoAgreement(id));
        }
        own.remove::<AssetPrivateDetails>(&id).await?;
        Ok(assets.delete(&agreement_key(&id)?).await?)
    }

    /// Gives an asset; nothing if there is none.
    #[transaction]
    async fn read_asset(
        &self,
        _ctx: &Query,
        asset_id: String,
        #[private("assetCollection")] assets: Collection,
    ) -> Result<Option<Asset>, AssetError> {
        Ok(assets.load(&*asset_id).await?)
    }

    /// Gives what a collection holds of an asset; nothing if that is nothing.
    #[transaction]
    async fn read_asset_private_details(
        &self,
        ctx: &Query,
        collection: String,
        asset_id: String,
    ) -> Result<Option<AssetPrivateDetails>, AssetError> {
        Ok(ctx.collection(&collection)?.load(&*asset_id).await?)
    }

    /// Says who wants an asset; nothing if nobody does.
    #[transaction]
    async fn read_transfer_agreement(
        &self,
        _ctx: &Query,
        asset_id: String,
        #[private("assetCollection")] assets: Collection,
    ) -> Result<Option<TransferAgreement>, AssetError> {
        read_agreement(&assets, &asset_id).await
    }

    /// Gives the assets from one id to before another, in order.
    #[transaction]
    async fn get_asset_by_range(
        &self,
        _ctx: &Query,
        start_key: String,
        end_key: String,
        #[private("assetCollection")] assets: Collection,
    ) -> Result<Vec<Asset>, AssetError> {
        all(assets.range(&start_key, &end_key).await?).await
    }

    /// Gives the assets of a kind that somebody owns. It needs a state database with rich queries.
    #[transaction]
    async fn query_asset_by_owner(
        &self,
        _ctx: &Query,
        asset_type: String,
        owner: String,
        #[private("assetCollection")] assets: Collection,
    ) -> Result<Vec<Asset>, AssetError> {
        let query = json!({"selector": {"objectType": asset_type, "owner": owner}});
        all(assets.rich_query(&query.to_string()).await?).await
    }

    /// Gives what a query of the state database finds among the assets, with the fields that it keeps.
    #[transaction]
    async fn query_assets(
        &self,
        _ctx: &Query,
        query_string: String,
        #[private("assetCollection")] assets: Collection,
    ) -> Result<Vec<Value>, AssetError> {
        all(assets.rich_query(&query_string).await?).await
    }
}

fn organization_collection(msp_id: &str) -> String {
    format!("{msp_id}PrivateCollection")
}

/// The collection of the sender's organisation, which only its own peers hold.
fn own_collection(ctx: &Context) -> Result<CollectionContext, AssetError> {
    let (sender, peer) = (ctx.client_identity()?, ctx.peer_msp_id()?);
    if sender.msp_id() != peer {
        return Err(AssetError::ForeignPeer { client: sender.msp_id().to_owned(), peer: peer.to_owned() });
    }
    Ok(ctx.collection(&organization_collection(peer))?)
}

fn agreement_key(id: &str) -> Result<CompositeKey, AssetError> {
    Ok(CompositeKey::new("transferAgreement", [id])?)
}

async fn read_agreement(assets: &Collection, id: &str) -> Result<Option<TransferAgreement>, AssetError> {
    let buyer = assets.get(&agreement_key(id)?).await?;
    Ok(buyer.map(|buyer| TransferAgreement {
        id: id.to_owned(),
        buyer_id: String::from_utf8_lossy(&buyer).into_owned(),
    }))
}

/// Both organisations must keep the same value, of which the other one knows the hash only.
async fn verify_agreement(owner: &Collection, buyer: &Collection, id: &str) -> Result<(), AssetError> {
    let names = |collection: &Collection| (id.to_owned(), collection.name().to_owned());
    let Some(owners) = owner.hash(id).await? else {
        let (id, collection) = names(owner);
        return Err(AssetError::NoValue { id, collection });
    };
    let Some(buyers) = buyer.hash(id).await? else {
        let (id, collection) = names(buyer);
        return Err(AssetError::NotAgreed { id, collection });
    };
    if owners != buyers {
        return Err(AssetError::ValuesDiffer { owner: owners, buyer: buyers });
    }
    Ok(())
}

async fn all<T: DeserializeOwned>(mut entries: StateIterator) -> Result<Vec<T>, AssetError> {
    let mut found = Vec::new();
    while let Some(entry) = entries.next().await? {
        found.push(entry.json()?);
    }
    Ok(found)
}
