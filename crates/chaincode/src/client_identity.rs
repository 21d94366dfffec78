use std::ops::Deref;

use selvedge_identity::creator::{Creator, CreatorError};

/// Who sent a transaction, and what may be asked of them. It derefs to [`Creator`], which has the id, the MSP's name,
/// the certificate, its attributes and its organizational units.
///
/// ```
/// # use selvedge::{ClientIdentityError, Query};
/// /// Lets in auditors of Org1 only.
/// fn check(ctx: &Query) -> Result<bool, ClientIdentityError> {
///     let client = ctx.client_identity()?;
///     client.assert_attribute("auditor", "true")?;
///     Ok(client.msp_id() == "Org1MSP")
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientIdentity {
    creator: Creator,
}

/// Why the sender may not do what they want. The texts are those of Go's client identity library.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientIdentityError {
    /// The sender's identity is not an X.509 one.
    #[error(transparent)]
    Creator(#[from] CreatorError),
    /// The certificate does not have the attribute.
    #[error("attribute '{name}' was not found")]
    Missing {
        /// The attribute.
        name: String,
    },
    /// The attribute has another value.
    #[error("attribute '{name}' equals '{found}', not '{expected}'")]
    Different {
        /// The attribute.
        name: String,
        /// Its value.
        found: String,
        /// What it should be.
        expected: String,
    },
}

impl ClientIdentity {
    pub(crate) fn new(creator: Creator) -> Self {
        Self { creator }
    }

    /// Checks that the certificate has an attribute of this value.
    ///
    /// # Errors
    /// [`ClientIdentityError`] if it has not.
    pub fn assert_attribute(&self, name: &str, expected: &str) -> Result<(), ClientIdentityError> {
        match self.creator.attribute(name) {
            Some(found) if found == expected => Ok(()),
            Some(found) => Err(ClientIdentityError::Different {
                name: name.to_owned(),
                found: found.to_owned(),
                expected: expected.to_owned(),
            }),
            None => Err(ClientIdentityError::Missing { name: name.to_owned() }),
        }
    }
}

impl Deref for ClientIdentity {
    type Target = Creator;

    fn deref(&self) -> &Creator {
        &self.creator
    }
}
