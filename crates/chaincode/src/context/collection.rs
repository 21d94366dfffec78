//! Private data: state that only the members of a collection hold, and of which the ledger has hashes.

use std::ops::Deref;

use aws_lc_rs::digest;
use bytes::Bytes;
use selvedge_proto::protos::{DelState, PurgePrivateState, PutState};
use selvedge_session::request::GetPrivateDataHash;

use super::state::{self, composite, simple};
use super::{Context, Query};
use crate::calls::Calls;
use crate::{ArgumentError, KeyPolicy, LedgerError, StateIterator};

/// A private data collection, to be read. Whether the sender may is the collection's own rule.
#[derive(Clone, Debug)]
pub struct Collection {
    calls: Calls,
    name: String,
}

/// A private data collection, to be read and written. It derefs to [`Collection`].
///
/// Every operation goes to the peer at once. A transaction that has written can neither list private keys nor query
/// them, and one that has done that cannot write.
///
/// ```
/// # use selvedge::{Context, LedgerError};
/// /// Keeps the price that the client has sent beside the arguments, where only the collection's members see it.
/// async fn appraise(ctx: &Context, asset: &str) -> Result<(), LedgerError> {
///     let price = ctx.transient().get("price").cloned().unwrap_or_default();
///     ctx.collection("appraisals")?.put(asset, price).await
/// }
/// ```
#[derive(Clone, Debug)]
pub struct CollectionContext {
    collection: Collection,
}

impl Query {
    /// A private data collection of this chaincode.
    ///
    /// # Errors
    /// When the name is empty. Whether there is such a collection is found out by the peer.
    pub fn collection(&self, name: &str) -> Result<Collection, ArgumentError> {
        if name.is_empty() {
            return Err(ArgumentError::EmptyCollection);
        }
        Ok(Collection { calls: self.calls().clone(), name: name.to_owned() })
    }

    /// The private data collection that every organisation has of its own without further ado, by its MSP's name. On the
    /// ledger it is called `_implicit_org_` and that name.
    pub fn implicit_collection(&self, msp_id: &str) -> Collection {
        Collection { calls: self.calls().clone(), name: format!("_implicit_org_{msp_id}") }
    }
}

impl Context {
    /// A private data collection, as [`Query::collection`] gives it, to be written too.
    ///
    /// # Errors
    /// When the name is empty.
    pub fn collection(&self, name: &str) -> Result<CollectionContext, ArgumentError> {
        Ok(CollectionContext { collection: Query::collection(self, name)? })
    }

    /// The private data collection that every organisation has of its own, as [`Query::implicit_collection`] gives it, to be
    /// written too.
    pub fn implicit_collection(&self, msp_id: &str) -> CollectionContext {
        CollectionContext { collection: Query::implicit_collection(self, msp_id) }
    }
}

impl Collection {
    /// The collection's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The committed value of a key; `None` if there is none. Joined reads go out together, as with [`Query::get`].
    ///
    /// # Errors
    /// When this peer does not hold the value, the sender may not read it, or the stream ends.
    pub async fn get(&self, key: &str) -> Result<Option<Bytes>, LedgerError> {
        state::get(&self.calls, key, &self.name).await
    }

    /// The committed values of several keys, as [`Query::get_many`] gives them.
    ///
    /// # Errors
    /// As [`Collection::get`].
    pub async fn get_many<K: Into<String>>(
        &self,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<Vec<Option<Bytes>>, LedgerError> {
        state::get_many(&self.calls, keys.into_iter().map(Into::into).collect(), &self.name).await
    }

    /// The SHA-256 of a key's committed value; `None` if there is none. Every member of the channel may ask for it, and
    /// every peer knows it.
    ///
    /// ```
    /// # use selvedge::{Collection, LedgerError, Query};
    /// /// Whether a value that somebody shows is the one that another organisation holds.
    /// async fn is_agreed(ctx: &Query, asset: &str, shown: &[u8]) -> Result<bool, LedgerError> {
    ///     let held = ctx.implicit_collection("Org2MSP").hash(asset).await?;
    ///     Ok(held == Some(Collection::hash_of(shown)))
    /// }
    /// ```
    ///
    /// # Errors
    /// When there is no such collection or the stream ends.
    pub async fn hash(&self, key: &str) -> Result<Option<Bytes>, LedgerError> {
        let request = GetPrivateDataHash { key: key.to_owned(), collection: self.name.clone() };
        let hash = self.calls.call(&request).await?;
        Ok((!hash.is_empty()).then_some(hash))
    }

    /// What [`hash`](Collection::hash) gives of a key with this value: its SHA-256.
    pub fn hash_of(value: &[u8]) -> Bytes {
        Bytes::copy_from_slice(digest::digest(&digest::SHA256, value).as_ref())
    }

    /// The committed keys of a range, as [`Query::range`] gives them. They are not protected against changes until the
    /// commit.
    ///
    /// # Errors
    /// When a bound begins with U+0000, the peer refuses, or the stream ends.
    pub async fn range(&self, start: &str, end: &str) -> Result<StateIterator, LedgerError> {
        state::open_range(&self.calls, simple(start, end)?, &self.name).await
    }

    /// The composite keys of a type that begin with these attributes, as [`Query::composite_range`] gives them.
    ///
    /// # Errors
    /// When a part holds U+0000 or U+10FFFF, the peer refuses, or the stream ends.
    pub async fn composite_range<A: AsRef<str>>(
        &self,
        object_type: &str,
        attributes: impl IntoIterator<Item = A>,
    ) -> Result<StateIterator, LedgerError> {
        state::open_range(&self.calls, composite(object_type, attributes)?, &self.name).await
    }

    /// The keys whose JSON values fit a selector, as [`Query::rich_query`] gives them.
    ///
    /// # Errors
    /// When the peer refuses or the stream ends.
    pub async fn rich_query(&self, selector: &str) -> Result<StateIterator, LedgerError> {
        state::open_query(&self.calls, selector, &self.name).await
    }

    /// Who must endorse changes of a key; `None` if the policy of the collection or the chaincode counts.
    ///
    /// # Errors
    /// When the policy cannot be read, the peer refuses, or the stream ends.
    pub async fn endorsement_policy(&self, key: &str) -> Result<Option<KeyPolicy>, LedgerError> {
        state::endorsement_policy(&self.calls, key, &self.name).await
    }
}

impl CollectionContext {
    /// Writes a key when the transaction is committed. An empty value deletes it.
    ///
    /// # Errors
    /// When the key is empty, the sender may not write, the peer refuses, or the stream ends.
    pub async fn put(&self, key: &str, value: impl Into<Bytes>) -> Result<(), LedgerError> {
        if key.is_empty() {
            return Err(ArgumentError::EmptyKey.into());
        }
        let request = PutState { key: key.to_owned(), value: value.into(), collection: self.name.clone() };
        self.calls.call(&request).await
    }

    /// Deletes a key when the transaction is committed. What was there before stays in the members' histories; compare
    /// [`purge`](CollectionContext::purge).
    ///
    /// # Errors
    /// When the sender may not write, the peer refuses, or the stream ends.
    pub async fn delete(&self, key: &str) -> Result<(), LedgerError> {
        let request = DelState { key: key.to_owned(), collection: self.name.clone() };
        self.calls.call(&request).await
    }

    /// Deletes a key and every trace of its values on the members' peers when the transaction is committed. It needs
    /// Fabric 2.5 or newer.
    ///
    /// # Errors
    /// When the sender may not write, the channel does not allow it, or the stream ends.
    pub async fn purge(&self, key: &str) -> Result<(), LedgerError> {
        let request = PurgePrivateState { key: key.to_owned(), collection: self.name.clone() };
        self.calls.call(&request).await
    }

    /// Says who must endorse changes of a key from now on, as [`Context::set_endorsement_policy`] does.
    ///
    /// # Errors
    /// When the sender may not write, the peer refuses, or the stream ends.
    pub async fn set_endorsement_policy(&self, key: &str, policy: &KeyPolicy) -> Result<(), LedgerError> {
        state::set_endorsement_policy(&self.calls, key, &self.name, policy).await
    }
}

impl Deref for CollectionContext {
    type Target = Collection;

    fn deref(&self) -> &Collection {
        &self.collection
    }
}

#[cfg(test)]
mod tests {
    use super::Collection;

    /// The second example of FIPS 180-2.
    #[test]
    fn values_are_hashed_with_sha_256() {
        let hash = Collection::hash_of(b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq");
        assert_eq!(format!("{hash:x}"), "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    }
}
