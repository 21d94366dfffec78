//! The chaincode's public state.

use bytes::Bytes;
use selvedge_proto::protos::chaincode_message::Type;
use selvedge_proto::protos::{GetHistoryForKey, GetStateMetadata, QueryMetadata, StateMetadata};
use selvedge_session::request::{GetQueryResult, GetStateByRange, PutStateMetadata};

use super::{Context, Query};
use crate::calls::Calls;
use crate::composite_key::{self, CompositeKey};
use crate::iterator::{self, HistoryIterator, StateIterator, StatePage};
use crate::{ArgumentError, KeyPolicy, LedgerError};

/// Where the endorsement policy of a key stands among its metadata.
const VALIDATION_PARAMETER: &str = "VALIDATION_PARAMETER";

/// What the wire calls the public state.
pub(super) const PUBLIC: &str = "";

impl Query {
    /// The committed value of a key; `None` if there is none. The ledger keeps no empty values.
    ///
    /// Reads that are joined go out together where the peer offers it.
    ///
    /// ```
    /// # use selvedge::{LedgerError, Query};
    /// # async fn example(ctx: &Query) -> Result<(), LedgerError> {
    /// let (buyer, seller) = futures_util::try_join!(ctx.get("buyer"), ctx.get("seller"))?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the peer refuses or the stream ends.
    pub async fn get(&self, key: &str) -> Result<Option<Bytes>, LedgerError> {
        self.checks().read(key)?;
        get(self.calls(), key, PUBLIC).await
    }

    /// The committed values of several keys, in their order; `None` for those without. Where the peer offers it they are
    /// read together, else one by one.
    ///
    /// # Errors
    /// When the peer refuses or the stream ends.
    pub async fn get_many<K: Into<String>>(
        &self,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<Vec<Option<Bytes>>, LedgerError> {
        let keys: Vec<String> = keys.into_iter().map(Into::into).collect();
        keys.iter().try_for_each(|key| self.checks().read(key))?;
        get_many(self.calls(), keys, PUBLIC).await
    }

    /// The committed keys from `start` (inclusive) to `end` (exclusive) in byte order, with their values. An empty
    /// `start` begins at the first simple key, an empty `end` has no end. Composite keys are left out.
    ///
    /// What is taken from the iterator becomes part of the transaction's read set: a key that another transaction
    /// puts into that range before this one is committed makes this one invalid.
    ///
    /// ```
    /// # use selvedge::{Context, LedgerError};
    /// /// Deletes what begins with `draft/`.
    /// async fn tidy(ctx: &Context) -> Result<u64, LedgerError> {
    ///     let (mut deleted, mut entries) = (0, ctx.range("draft/", "draft0").await?);
    ///     while let Some(entry) = entries.next().await? {
    ///         ctx.delete(&entry.key).await?;
    ///         deleted += 1;
    ///     }
    ///     Ok(deleted)
    /// }
    /// ```
    ///
    /// # Errors
    /// When a bound begins with U+0000, the peer refuses, or the stream ends.
    pub async fn range(&self, start: &str, end: &str) -> Result<StateIterator, LedgerError> {
        let range = simple(start, end)?;
        self.checks().read_range(&range.0, &range.1)?;
        open_range(self.calls(), range, PUBLIC).await
    }

    /// One page of [`range`](Query::range): at most `page_size` keys, from `bookmark` on if that is not empty. A page
    /// size of 0 or less has no limit but the peer's. A transaction that reads pages cannot write.
    ///
    /// ```
    /// # use selvedge::{LedgerError, Query};
    /// /// The keys of a page, and where the next one begins.
    /// async fn page(ctx: &Query, bookmark: &str) -> Result<(Vec<String>, String), LedgerError> {
    ///     let page = ctx.range_page("", "", 20, bookmark).await?;
    ///     Ok((page.entries.into_iter().map(|entry| entry.key).collect(), page.bookmark))
    /// }
    /// ```
    ///
    /// # Errors
    /// When a bound begins with U+0000, the peer refuses, or the stream ends.
    pub async fn range_page(
        &self,
        start: &str,
        end: &str,
        page_size: i32,
        bookmark: &str,
    ) -> Result<StatePage, LedgerError> {
        self.page_of(simple(start, end)?, page_size, bookmark).await
    }

    /// The composite keys of a type that begin with these attributes, in byte order, with their values.
    ///
    /// ```
    /// # use selvedge::{CompositeKey, LedgerError, Query};
    /// /// What somebody owns, of keys made with `CompositeKey::new("owner~asset", [owner, asset])`.
    /// async fn owned(ctx: &Query, owner: &str) -> Result<Vec<String>, LedgerError> {
    ///     let (mut assets, mut entries) = (Vec::new(), ctx.composite_range("owner~asset", [owner]).await?);
    ///     while let Some(entry) = entries.next().await? {
    ///         assets.extend(CompositeKey::parse(&entry.key)?.attributes().nth(1).map(str::to_owned));
    ///     }
    ///     Ok(assets)
    /// }
    /// ```
    ///
    /// # Errors
    /// When a part holds U+0000 or U+10FFFF, the peer refuses, or the stream ends.
    pub async fn composite_range<A: AsRef<str>>(
        &self,
        object_type: &str,
        attributes: impl IntoIterator<Item = A>,
    ) -> Result<StateIterator, LedgerError> {
        let range = composite(object_type, attributes)?;
        self.checks().read_range(&range.0, &range.1)?;
        open_range(self.calls(), range, PUBLIC).await
    }

    /// One page of [`composite_range`](Query::composite_range), as [`range_page`](Query::range_page) is one of a range.
    ///
    /// # Errors
    /// When a part holds U+0000 or U+10FFFF, the peer refuses, or the stream ends.
    pub async fn composite_range_page<A: AsRef<str>>(
        &self,
        object_type: &str,
        attributes: impl IntoIterator<Item = A>,
        page_size: i32,
        bookmark: &str,
    ) -> Result<StatePage, LedgerError> {
        self.page_of(composite(object_type, attributes)?, page_size, bookmark).await
    }

    /// One page of all composite keys, whatever their type.
    ///
    /// # Errors
    /// When the peer refuses or the stream ends.
    pub async fn composite_keys_page(
        &self,
        page_size: i32,
        bookmark: &str,
    ) -> Result<StatePage, LedgerError> {
        self.page_of(composite_key::all(), page_size, bookmark).await
    }

    /// The keys whose JSON values fit a selector of CouchDB's Mango language. The peer needs a state database that can do
    /// it (CouchDB, or Selvedge's own).
    ///
    /// The values are protected against changes until the commit; that no further key comes to fit is not.
    ///
    /// ```
    /// # use selvedge::{LedgerError, Query};
    /// # async fn example(ctx: &Query) -> Result<(), LedgerError> {
    /// let blue = ctx.rich_query(r#"{"selector":{"colour":"blue"},"sort":["id"]}"#).await?.take(10).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the peer refuses or the stream ends.
    pub async fn rich_query(&self, selector: &str) -> Result<StateIterator, LedgerError> {
        open_query(self.calls(), selector, PUBLIC).await
    }

    /// One page of [`rich_query`](Query::rich_query), as [`range_page`](Query::range_page) is one of a range. What a
    /// bookmark holds is the state database's own affair.
    ///
    /// # Errors
    /// When the peer refuses or the stream ends.
    pub async fn rich_query_page(
        &self,
        selector: &str,
        page_size: i32,
        bookmark: &str,
    ) -> Result<StatePage, LedgerError> {
        let request = GetQueryResult {
            query: selector.to_owned(),
            collection: PUBLIC.to_owned(),
            paging: Some(paging(page_size, bookmark)),
        };
        iterator::page(self.calls(), Type::GetQueryResult, self.calls().call(&request).await?).await
    }

    /// What transactions made of a key, the last one first. It needs the peer's history database, and what it gives is
    /// not checked again at the commit: use it to answer questions, not to decide what to write.
    ///
    /// # Errors
    /// When the peer keeps no history or refuses, or the stream ends.
    pub async fn history(&self, key: &str) -> Result<HistoryIterator, LedgerError> {
        let page = self.calls().call(&GetHistoryForKey { key: key.to_owned() }).await?;
        HistoryIterator::new(self.calls().clone(), Type::GetHistoryForKey, page)
    }

    /// Who must endorse changes of a key; `None` if the chaincode's policy counts.
    ///
    /// # Errors
    /// When the policy cannot be read, the peer refuses, or the stream ends.
    pub async fn endorsement_policy(&self, key: &str) -> Result<Option<KeyPolicy>, LedgerError> {
        endorsement_policy(self.calls(), key, PUBLIC).await
    }

    async fn page_of(
        &self,
        (start_key, end_key): (String, String),
        page_size: i32,
        bookmark: &str,
    ) -> Result<StatePage, LedgerError> {
        self.checks().read_range(&start_key, &end_key)?;
        let paging = Some(paging(page_size, bookmark));
        let request = GetStateByRange { start_key, end_key, collection: PUBLIC.to_owned(), paging };
        iterator::page(self.calls(), Type::GetStateByRange, self.calls().call(&request).await?).await
    }
}

impl Context {
    /// Writes a key. The write takes effect when the transaction is committed; until then reads give the old value.
    /// An empty value deletes the key, as on Fabric.
    ///
    /// Where the peer offers it, writes are collected and go out together: before the next request that is no plain read,
    /// at the end, and when there are as many as the peer takes at once, which this then waits for.
    ///
    /// # Errors
    /// When the key is empty, the peer refuses this write or earlier ones, or the stream ends.
    pub async fn put(&self, key: &str, value: impl Into<Bytes>) -> Result<(), LedgerError> {
        if key.is_empty() {
            return Err(ArgumentError::EmptyKey.into());
        }
        let value = value.into();
        self.checks().write(key, &value)?;
        self.calls().put(key, value).await
    }

    /// Deletes a key when the transaction is committed. A missing key is no error.
    ///
    /// # Errors
    /// When the peer refuses this write or earlier ones, or the stream ends.
    pub async fn delete(&self, key: &str) -> Result<(), LedgerError> {
        self.checks().write(key, &[])?;
        self.calls().delete(key).await
    }

    /// Sends the writes that are collected, and waits until the peer has taken them. It is never needed: they go out
    /// in time by themselves.
    ///
    /// # Errors
    /// [`LedgerError::Unwritten`] when the peer refuses one of them; the transaction then fails in any case.
    pub async fn flush(&self) -> Result<(), LedgerError> {
        self.calls().flush().await
    }

    /// Says who must endorse changes of a key from now on. The key must have a value when the transaction is committed.
    ///
    /// # Errors
    /// When the peer refuses or the stream ends.
    pub async fn set_endorsement_policy(&self, key: &str, policy: &KeyPolicy) -> Result<(), LedgerError> {
        set_endorsement_policy(self.calls(), key, PUBLIC, policy).await
    }
}

pub(super) async fn get(calls: &Calls, key: &str, collection: &str) -> Result<Option<Bytes>, LedgerError> {
    let mut values = calls.read(vec![key.to_owned()], collection, false).await?;
    Ok(values.pop().filter(|value| !value.is_empty()))
}

pub(super) async fn get_many(
    calls: &Calls,
    keys: Vec<String>,
    collection: &str,
) -> Result<Vec<Option<Bytes>>, LedgerError> {
    let values = calls.read(keys, collection, true).await?;
    Ok(values.into_iter().map(|value| (!value.is_empty()).then_some(value)).collect())
}

pub(super) async fn open_range(
    calls: &Calls,
    (start_key, end_key): (String, String),
    collection: &str,
) -> Result<StateIterator, LedgerError> {
    let request = GetStateByRange { start_key, end_key, collection: collection.to_owned(), paging: None };
    StateIterator::new(calls.clone(), Type::GetStateByRange, calls.call(&request).await?)
}

pub(super) async fn open_query(
    calls: &Calls,
    selector: &str,
    collection: &str,
) -> Result<StateIterator, LedgerError> {
    let request =
        GetQueryResult { query: selector.to_owned(), collection: collection.to_owned(), paging: None };
    StateIterator::new(calls.clone(), Type::GetQueryResult, calls.call(&request).await?)
}

pub(super) async fn endorsement_policy(
    calls: &Calls,
    key: &str,
    collection: &str,
) -> Result<Option<KeyPolicy>, LedgerError> {
    let request = GetStateMetadata { key: key.to_owned(), collection: collection.to_owned() };
    let metadata = calls.call(&request).await?.entries;
    let policy = metadata.into_iter().find(|entry| entry.metakey == VALIDATION_PARAMETER);
    Ok(policy.map(|entry| KeyPolicy::decode(entry.value)).transpose()?)
}

pub(super) async fn set_endorsement_policy(
    calls: &Calls,
    key: &str,
    collection: &str,
    policy: &KeyPolicy,
) -> Result<(), LedgerError> {
    let metadata = StateMetadata { metakey: VALIDATION_PARAMETER.to_owned(), value: policy.encode() };
    let request = PutStateMetadata { key: key.to_owned(), collection: collection.to_owned(), metadata };
    calls.call(&request).await
}

/// The bounds of simple keys, which begin behind U+0000, under which the composite keys lie.
pub(super) fn simple(start: &str, end: &str) -> Result<(String, String), ArgumentError> {
    if let Some(key) = [start, end].into_iter().find(|key| key.starts_with('\0')) {
        return Err(ArgumentError::NullPrefix { key: key.to_owned() });
    }
    let start = if start.is_empty() { "\u{1}" } else { start };
    Ok((start.to_owned(), end.to_owned()))
}

pub(super) fn composite<A: AsRef<str>>(
    object_type: &str,
    attributes: impl IntoIterator<Item = A>,
) -> Result<(String, String), ArgumentError> {
    let start = CompositeKey::new(object_type, attributes)?;
    Ok((start.to_string(), start.end()))
}

fn paging(page_size: i32, bookmark: &str) -> QueryMetadata {
    QueryMetadata { page_size, bookmark: bookmark.to_owned() }
}
