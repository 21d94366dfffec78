//! A private key on its way to a file.

use std::fmt;

use zeroize::Zeroizing;

/// A private key as PKCS#8 PEM. Its memory is wiped when it is dropped and `Debug` does not show it.
#[derive(Clone)]
pub struct KeyPem(Zeroizing<String>);

impl KeyPem {
    /// The PEM text, from `-----BEGIN PRIVATE KEY-----` to the end marker and a line feed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The PEM text as bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    pub(crate) fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl AsRef<[u8]> for KeyPem {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl AsRef<str> for KeyPem {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Debug for KeyPem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyPem(not shown)")
    }
}
