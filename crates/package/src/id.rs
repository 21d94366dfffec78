//! Package ids: `label:hash`, where the hash is the SHA-256 of the whole package file in lower-case hexadecimal.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};

use crate::error::{PackageError, shown};

/// The id under which a peer knows an installed package, and under which its chaincode registers.
///
/// Any change to the package file changes it, also one of an archive's time stamps.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackageId {
    label: String,
    hash: [u8; 32],
}

impl PackageId {
    /// The id of a package file with this label.
    ///
    /// # Errors
    /// [`PackageError::Label`] when the label breaks the rule of [`check_label`].
    pub fn of(label: &str, package: &[u8]) -> Result<Self, PackageError> {
        check_label(label)?;
        Ok(Self { label: label.to_owned(), hash: sha256(package) })
    }

    /// The label, chosen by the package's author.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The SHA-256 of the whole package file.
    pub fn hash(&self) -> &[u8; 32] {
        &self.hash
    }

    /// The name under which Fabric's peer stores the package: `label.hash.tar.gz`.
    pub fn file_name(&self) -> String {
        format!("{}.{}.tar.gz", self.label, hex::encode(self.hash))
    }
}

impl fmt::Display for PackageId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.label, hex::encode(self.hash))
    }
}

impl FromStr for PackageId {
    type Err = PackageError;

    /// Reads `label:hash`; the hash must be 64 lower-case hexadecimal digits.
    fn from_str(text: &str) -> Result<Self, PackageError> {
        let invalid = || PackageError::Id(shown(text));
        let (label, digits) = text.split_once(':').ok_or_else(invalid)?;
        check_label(label)?;
        if !digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(invalid());
        }
        let mut hash = [0; 32];
        hex::decode_to_slice(digits, &mut hash).map_err(|_| invalid())?;
        Ok(Self { label: label.to_owned(), hash })
    }
}

/// Checks a label: ASCII letters, digits, `_`, `.`, `+` and `-`, beginning with a letter or digit.
///
/// # Errors
/// [`PackageError::Label`] otherwise.
pub fn check_label(label: &str) -> Result<(), PackageError> {
    let mut bytes = label.bytes();
    let starts_well = bytes.next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    if starts_well && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"_.+-".contains(&byte)) {
        Ok(())
    } else {
        Err(PackageError::Label(shown(label)))
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::{PackageId, check_label};
    use crate::PackageError;

    #[test]
    fn an_id_reads_back() {
        let id = PackageId::of("basic_1.0", b"abc").unwrap();
        let text = "basic_1.0:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(id.to_string(), text);
        assert_eq!(text.parse::<PackageId>().unwrap(), id);
        assert!(id.file_name().starts_with("basic_1.0.ba78") && id.file_name().ends_with("15ad.tar.gz"));
    }

    #[test]
    fn other_texts_are_no_ids() {
        for text in
            ["", "a", "a:", "a:00", &format!("a:{}", "A".repeat(64)), &format!("a:{}", "0".repeat(65))]
        {
            assert!(matches!(text.parse::<PackageId>(), Err(PackageError::Id(_))), "{text}");
        }
        assert!(matches!(format!(":{}", "0".repeat(64)).parse::<PackageId>(), Err(PackageError::Label(_))));
    }

    #[test]
    fn labels_are_checked() {
        for good in ["a", "0", "l+a.b-c_1"] {
            check_label(good).unwrap();
        }
        for bad in ["", "_a", ".a", "a b", "a:b", "é", "a\n", "a/b"] {
            assert!(check_label(bad).is_err(), "{bad}");
        }
    }
}
