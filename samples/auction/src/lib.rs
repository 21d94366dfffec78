//! Fabric's sample auction-simple, as chaincode in Rust: bids are private until the auction is closed, and every bidder's
//! organisation must endorse what becomes of it.
//!
//! Functions, arguments, transient inputs, results and the JSON on the ledger are those of the official sample in Go, so
//! that its client application works unchanged.

mod auction;

use std::collections::BTreeMap;

use selvedge::{
    ArgumentError, Bytes, Collection, CompositeKey, Context, KeyPolicy, KeyRole, Query, contract,
};

pub use self::auction::{Auction, AuctionError, BidHash, FullBid, Status};

/// The object type of bids in the collections of the bidders' organisations.
const BID: &str = "bid";

/// The chaincode.
#[derive(Clone, Copy, Debug, Default)]
pub struct SimpleAuction;

#[contract(name = "SmartContract", rename_all = "PascalCase")]
impl SimpleAuction {
    /// Opens an auction of the sender.
    #[transaction]
    async fn create_auction(
        &self,
        ctx: &Context,
        auction_id: String,
        item_sold: String,
    ) -> Result<(), AuctionError> {
        if ctx.get(&auction_id).await?.is_some() {
            return Err(AuctionError::Exists);
        }
        let sender = ctx.client_identity()?;
        let auction = Auction {
            object_type: "auction".to_owned(),
            item: item_sold,
            seller: sender.decoded_id(),
            organizations: vec![sender.msp_id().to_owned()],
            private_bids: BTreeMap::new(),
            revealed_bids: BTreeMap::new(),
            winner: String::new(),
            price: 0,
            status: Status::Open,
        };
        put(ctx, &auction_id, &auction).await?;
        let policy = KeyPolicy::all_of(KeyRole::Peer, [sender.msp_id()]);
        Ok(ctx.set_endorsement_policy(&auction_id, &policy).await?)
    }

    /// Keeps a bid in the sender's organisation, and gives the transaction's id, by which it is found again.
    #[transaction]
    async fn bid(
        &self,
        ctx: &Context,
        auction_id: String,
        #[transient] bid: Bytes,
    ) -> Result<String, AuctionError> {
        let organization =
            own_organization(ctx, "cannot store bid on this peer, not a member of this org: Error ")?;
        let key = bid_key(&auction_id, ctx.tx_id())?;
        ctx.implicit_collection(&organization).put(&key, bid).await?;
        Ok(ctx.tx_id().to_owned())
    }

    /// Adds the hash of a bid of the sender's organisation to an open auction. From then on that organisation must endorse
    /// the auction's changes, too.
    #[transaction]
    async fn submit_bid(&self, ctx: &Context, auction_id: String, tx_id: String) -> Result<(), AuctionError> {
        let mut auction = load(ctx, &auction_id).await?;
        if auction.status != Status::Open {
            return Err(AuctionError::NotOpen);
        }
        let org = ctx.client_identity()?.msp_id().to_owned();
        let key = bid_key(&auction_id, &tx_id)?;
        let hash = bid_hash(&ctx.implicit_collection(&org), &key).await?;
        auction.private_bids.insert(key.to_string(), BidHash { org: org.clone(), hash: format!("{hash:x}") });
        if !auction.organizations.contains(&org) {
            let mut policy = ctx.endorsement_policy(&auction_id).await?.unwrap_or_default();
            policy.add(KeyRole::Peer, &org);
            ctx.set_endorsement_policy(&auction_id, &policy).await?;
            auction.organizations.push(org);
        }
        put(ctx, &auction_id, &auction).await
    }

    /// Reveals a bid of the sender to a closed auction.
    #[transaction]
    async fn reveal_bid(
        &self,
        ctx: &Context,
        auction_id: String,
        tx_id: String,
        #[transient] bid: Bytes,
    ) -> Result<(), AuctionError> {
        let sender = ctx.client_identity()?;
        let key = bid_key(&auction_id, &tx_id)?;
        let stored = bid_hash(&ctx.implicit_collection(sender.msp_id()), &key).await?;
        let mut auction = load(ctx, &auction_id).await?;
        if auction.status != Status::Closed {
            return Err(AuctionError::NotClosed);
        }
        let revealed = Collection::hash_of(&bid);
        if revealed != stored {
            return Err(AuctionError::BidsDiffer { revealed, stored });
        }
        let submitted = auction.private_bids.get(&*key).map_or("", |bid| bid.hash.as_str());
        if submitted != format!("{stored:x}") {
            return Err(AuctionError::BidChanged { submitted: submitted.to_owned(), stored });
        }
        let bid = FullBid { object_type: BID.to_owned(), ..serde_json::from_slice(&bid)? };
        own_bid(&bid, sender.decoded_id())?;
        auction.revealed_bids.insert(key.to_string(), bid);
        put(ctx, &auction_id, &auction).await
    }

    /// Ends the time of bidding; bids can be revealed from then on. Only the seller may.
    #[transaction]
    async fn close_auction(&self, ctx: &Context, auction_id: String) -> Result<(), AuctionError> {
        let mut auction = load_own(ctx, &auction_id, "closed").await?;
        if auction.status != Status::Open {
            return Err(AuctionError::CannotClose);
        }
        auction.status = Status::Closed;
        put(ctx, &auction_id, &auction).await
    }

    /// Ends an auction: the highest revealed bid wins, of equal ones the first by its key. Only the seller may, and no
    /// organisation endorses it that knows of a higher bid.
    #[transaction]
    async fn end_auction(&self, ctx: &Context, auction_id: String) -> Result<(), AuctionError> {
        let mut auction = load_own(ctx, &auction_id, "ended").await?;
        if auction.status != Status::Closed {
            return Err(AuctionError::CannotEnd);
        }
        if auction.revealed_bids.is_empty() {
            return Err(AuctionError::NoBids);
        }
        for bid in auction.revealed_bids.values() {
            if bid.price > auction.price {
                auction.winner.clone_from(&bid.bidder);
                auction.price = bid.price;
            }
        }
        check_for_higher_bid(ctx, &auction).await?;
        auction.status = Status::Ended;
        put(ctx, &auction_id, &auction).await
    }

    /// Gives an auction.
    #[transaction]
    async fn query_auction(&self, ctx: &Query, auction_id: String) -> Result<Auction, AuctionError> {
        load(ctx, &auction_id).await
    }

    /// Gives a bid of the sender.
    #[transaction]
    async fn query_bid(
        &self,
        ctx: &Query,
        auction_id: String,
        tx_id: String,
    ) -> Result<FullBid, AuctionError> {
        let organization = own_organization(ctx, "failed to get implicit collection name: ")?;
        let bid =
            private_bid(&ctx.implicit_collection(&organization), &bid_key(&auction_id, &tx_id)?).await?;
        own_bid(&bid, ctx.client_identity()?.decoded_id())?;
        Ok(bid)
    }

    /// Gives the sender's name as bids have it.
    #[transaction]
    async fn get_submitting_client_identity(&self, ctx: &Query) -> Result<String, AuctionError> {
        Ok(ctx.client_identity()?.decoded_id())
    }
}

/// The sender's organisation, which must be the peer's: its private data are on its own peers only.
fn own_organization(ctx: &Query, what: &'static str) -> Result<String, AuctionError> {
    let (sender, peer) = (ctx.client_identity()?, ctx.peer_msp_id()?);
    if sender.msp_id() != peer {
        let client = sender.msp_id().to_owned();
        return Err(AuctionError::ForeignPeer { what, client, peer: peer.to_owned() });
    }
    Ok(peer.to_owned())
}

fn bid_key(auction_id: &str, tx_id: &str) -> Result<CompositeKey, ArgumentError> {
    CompositeKey::new(BID, [auction_id, tx_id])
}

fn own_bid(bid: &FullBid, sender: String) -> Result<(), AuctionError> {
    if bid.bidder == sender { Ok(()) } else { Err(AuctionError::NotBidder(sender)) }
}

async fn bid_hash(collection: &Collection, key: &str) -> Result<Bytes, AuctionError> {
    collection.hash(key).await?.ok_or_else(|| AuctionError::NoBidHash(key.to_owned()))
}

async fn private_bid(collection: &Collection, key: &str) -> Result<FullBid, AuctionError> {
    let bid = collection.get(key).await?.ok_or_else(|| AuctionError::NoBid(key.to_owned()))?;
    Ok(serde_json::from_slice(&bid)?)
}

async fn load(ctx: &Query, id: &str) -> Result<Auction, AuctionError> {
    let auction = ctx.get(id).await?.ok_or(AuctionError::Missing)?;
    Ok(serde_json::from_slice(&auction)?)
}

/// Loads an auction of the sender.
async fn load_own(ctx: &Query, id: &str, what: &'static str) -> Result<Auction, AuctionError> {
    let auction = load(ctx, id).await?;
    match auction.seller == ctx.client_identity()?.decoded_id() {
        true => Ok(auction),
        false => Err(AuctionError::NotSeller(what)),
    }
}

async fn put(ctx: &Context, id: &str, auction: &Auction) -> Result<(), AuctionError> {
    Ok(ctx.put(id, serde_json::to_vec(auction)?).await?)
}

/// Each organisation's peers look at the bids of their own that were not revealed, and at the hashes of the others'.
async fn check_for_higher_bid(ctx: &Query, auction: &Auction) -> Result<(), AuctionError> {
    let peer = ctx.peer_msp_id()?;
    let hidden = auction.private_bids.iter().filter(|(key, _)| !auction.revealed_bids.contains_key(*key));
    for (key, bid) in hidden {
        let collection = ctx.implicit_collection(&bid.org);
        if bid.org != peer {
            bid_hash(&collection, key).await?;
        } else if private_bid(&collection, key).await?.price > auction.price {
            return Err(AuctionError::HigherBid);
        }
    }
    Ok(())
}
