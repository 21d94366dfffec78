use std::fmt;
use std::ops::Deref;

use crate::ArgumentError;

/// Begins a composite key and divides its parts.
const SEPARATOR: char = '\0';
/// The last character there is: behind every key that begins alike.
const LAST: char = '\u{10FFFF}';

/// A key made of an object type and attributes, which can be found by its first attributes.
///
/// On the ledger it is `U+0000 type U+0000 attribute U+0000 …`, as all of Fabric's libraries write it, and so it lies
/// before all simple keys. It derefs to that text, and stands wherever a key does.
///
/// ```
/// # use selvedge::CompositeKey;
/// let key = CompositeKey::new("owner~asset", ["alice", "asset1"])?;
/// assert_eq!(&*key, "\0owner~asset\0alice\0asset1\0");
/// assert_eq!(CompositeKey::parse(&key)?.attributes().collect::<Vec<_>>(), ["alice", "asset1"]);
/// # Ok::<(), selvedge::ArgumentError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CompositeKey(String);

impl CompositeKey {
    /// Joins the parts. They may be empty, as in Go; Node's library refuses empty ones.
    ///
    /// # Errors
    /// When a part holds U+0000 or U+10FFFF.
    pub fn new<A: AsRef<str>>(
        object_type: &str,
        attributes: impl IntoIterator<Item = A>,
    ) -> Result<Self, ArgumentError> {
        let mut key = String::from(SEPARATOR);
        push(&mut key, object_type)?;
        for attribute in attributes {
            push(&mut key, attribute.as_ref())?;
        }
        Ok(Self(key))
    }

    /// Takes a key as it stands on the ledger.
    ///
    /// # Errors
    /// When the key is not made of parts.
    pub fn parse(key: &str) -> Result<Self, ArgumentError> {
        if key.len() > 1 && key.starts_with(SEPARATOR) && key.ends_with(SEPARATOR) {
            Ok(Self(key.to_owned()))
        } else {
            Err(ArgumentError::NotComposite { key: key.to_owned() })
        }
    }

    /// The first part.
    pub fn object_type(&self) -> &str {
        self.parts().next().unwrap_or_default()
    }

    /// The parts behind the object type.
    pub fn attributes(&self) -> impl Iterator<Item = &str> {
        self.parts().skip(1)
    }

    /// Where the keys end that begin with this one.
    pub(crate) fn end(&self) -> String {
        format!("{}{LAST}", self.0)
    }

    fn parts(&self) -> impl Iterator<Item = &str> {
        let inner = self.0.get(1..self.0.len().saturating_sub(1)).unwrap_or_default();
        inner.split(SEPARATOR)
    }
}

/// Where composite keys begin and end.
pub(crate) fn all() -> (String, String) {
    (SEPARATOR.into(), format!("{SEPARATOR}{LAST}"))
}

fn push(key: &mut String, part: &str) -> Result<(), ArgumentError> {
    if let Some((position, character)) =
        part.char_indices().find(|(_, character)| [SEPARATOR, LAST].contains(character))
    {
        return Err(ArgumentError::CompositeKeyCharacter { character, position });
    }
    key.push_str(part);
    key.push(SEPARATOR);
    Ok(())
}

impl Deref for CompositeKey {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for CompositeKey {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CompositeKey {
    /// The text on the ledger, with its separators.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use selvedge_golden::Corpus;

    use super::CompositeKey;

    #[test]
    fn golden_composite_keys() {
        let mut made = 0;
        for line in Corpus::get().json_lines("vectors/composite-keys.jsonl") {
            let bytes = |hex: &serde_json::Value| hex::decode(hex.as_str().expect("hex")).expect("hex");
            let parts: Vec<Vec<u8>> =
                line["parts_hex"].as_array().expect("parts").iter().map(bytes).collect();
            // What is no text cannot be given at all.
            let Ok(parts) = parts.into_iter().map(String::from_utf8).collect::<Result<Vec<_>, _>>() else {
                assert!(line["error"].is_string());
                continue;
            };
            let key = CompositeKey::new(&parts[0], &parts[1..]);
            match line["error"].as_str() {
                Some(error) => assert_eq!(key.expect_err("a refusal").to_string(), error),
                None => assert_eq!(key.expect("a key").as_bytes(), bytes(&line["key_hex"])),
            }
            made += 1;
        }
        assert!(made > 0);
    }

    proptest! {
        #[test]
        fn parts_come_back(object_type in "[^\0\u{10FFFF}]*", attributes: Vec<String>) {
            let clean: Vec<String> =
                attributes.iter().map(|part| part.replace(['\0', '\u{10FFFF}'], "")).collect();
            let key = CompositeKey::new(&object_type, &clean).expect("a key");
            let parsed = CompositeKey::parse(&key).expect("a composite key");
            prop_assert_eq!(parsed.object_type(), object_type);
            prop_assert_eq!(parsed.attributes().collect::<Vec<_>>(), clean);
        }

        #[test]
        fn keys_that_begin_alike_lie_in_the_range(attribute in "[^\0\u{10FFFF}]*", more in "[^\0\u{10FFFF}]*") {
            let prefix = CompositeKey::new("type", [&attribute]).expect("a key");
            let longer = CompositeKey::new("type", [&attribute, &more]).expect("a key");
            prop_assert!(*prefix <= *longer && *longer < *prefix.end());
        }
    }
}
