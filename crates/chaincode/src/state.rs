use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::contract::canonical_json;
use crate::{ArgumentError, Bytes, Collection, CollectionContext, Context, LedgerError, Query};

/// Something that the ledger keeps as JSON under a key of its own. The derive [`State`](macro@crate::State) implements it.
///
/// ```
/// use selvedge::{Context, LedgerError, Query, State};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, State)]
/// #[state(object_type = "owner~asset")]
/// struct Owned {
///     #[key]
///     owner: String,
///     #[key]
///     asset: String,
///     since: u64,
/// }
///
/// # async fn example(ctx: &Context) -> Result<(), LedgerError> {
/// ctx.store(&Owned { owner: "alice".into(), asset: "asset1".into(), since: 7 }).await?;
/// let owned = ctx.load::<Owned>(("alice", "asset1")).await?;
/// # Ok(())
/// # }
/// ```
pub trait State: Serialize + DeserializeOwned {
    /// What names one: a reference to the key, or a tuple of references to its parts.
    type Key<'k>;

    /// Of a composite key.
    const OBJECT_TYPE: Option<&'static str>;

    /// The key on the ledger of the one that is named so.
    ///
    /// # Errors
    /// When a part of a composite key holds U+0000 or U+10FFFF.
    fn key_of(key: Self::Key<'_>) -> Result<String, ArgumentError>;

    /// Its key on the ledger.
    ///
    /// # Errors
    /// As [`State::key_of`].
    fn key(&self) -> Result<String, ArgumentError>;
}

impl Query {
    /// Reads a state; `None` if there is none.
    ///
    /// # Errors
    /// When what is on the ledger is not of this type, the peer refuses, or the stream ends.
    pub async fn load<S: State>(&self, key: S::Key<'_>) -> Result<Option<S>, LedgerError> {
        let key = S::key_of(key)?;
        let stored = self.get(&key).await?;
        decode(key, stored)
    }
}

impl Context {
    /// Writes a state under its key, as JSON with sorted keys.
    ///
    /// # Errors
    /// When it is no JSON, the peer refuses, or the stream ends.
    pub async fn store<S: State>(&self, state: &S) -> Result<(), LedgerError> {
        let (key, json) = encode(state)?;
        self.put(&key, json).await
    }

    /// Deletes a state. A missing one is no error.
    ///
    /// # Errors
    /// When the peer refuses or the stream ends.
    pub async fn remove<S: State>(&self, key: S::Key<'_>) -> Result<(), LedgerError> {
        self.delete(&S::key_of(key)?).await
    }
}

impl Collection {
    /// Reads a private state, as [`Query::load`] reads a public one.
    ///
    /// # Errors
    /// As [`Query::load`] and [`Collection::get`].
    pub async fn load<S: State>(&self, key: S::Key<'_>) -> Result<Option<S>, LedgerError> {
        let key = S::key_of(key)?;
        let stored = self.get(&key).await?;
        decode(key, stored)
    }
}

impl CollectionContext {
    /// Writes a private state under its key, as [`Context::store`] writes a public one.
    ///
    /// # Errors
    /// As [`Context::store`] and [`CollectionContext::put`].
    pub async fn store<S: State>(&self, state: &S) -> Result<(), LedgerError> {
        let (key, json) = encode(state)?;
        self.put(&key, json).await
    }

    /// Deletes a private state.
    ///
    /// # Errors
    /// As [`CollectionContext::delete`].
    pub async fn remove<S: State>(&self, key: S::Key<'_>) -> Result<(), LedgerError> {
        self.delete(&S::key_of(key)?).await
    }
}

fn encode<S: State>(state: &S) -> Result<(String, Bytes), LedgerError> {
    let key = state.key()?;
    match canonical_json(state) {
        Ok(json) => Ok((key, json)),
        Err(source) => Err(LedgerError::Json { key, source }),
    }
}

fn decode<S: State>(key: String, stored: Option<Bytes>) -> Result<Option<S>, LedgerError> {
    let Some(stored) = stored else { return Ok(None) };
    serde_json::from_slice(&stored).map(Some).map_err(|source| LedgerError::Json { key, source })
}
