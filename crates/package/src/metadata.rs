//! `metadata.json`: `{"type": "ccaas", "label": "basic_1.0", "path": "…"}`.

use bytes::Bytes;
use serde_json::Value;

use crate::error::JsonError;
use crate::json::{Object, encode_text};

/// The chaincode type that the stock ccaas builder takes.
pub const CCAAS: &str = "ccaas";

/// A package's metadata.json. Builders get its original bytes, so what this project does not know is not lost.
#[derive(Debug, Clone, PartialEq)]
pub struct Metadata {
    chaincode_type: String,
    label: String,
    path: String,
    object: Object,
    bytes: Bytes,
}

impl Metadata {
    /// Reads a metadata.json as Fabric's peer does; absent fields are empty. The label is not checked here.
    ///
    /// # Errors
    /// [`JsonError`] when the document or one of the three fields does not decode.
    pub fn parse(bytes: impl Into<Bytes>) -> Result<Self, JsonError> {
        let bytes = bytes.into();
        let object = Object::parse(&bytes, "ChaincodePackageMetadata")?;
        Ok(Self {
            chaincode_type: object.text("type")?,
            label: object.text("label")?,
            path: object.text("path")?,
            object,
            bytes,
        })
    }

    /// The type of the chaincode, by which a builder recognises its own: `ccaas`, `golang`, `node`, …
    pub fn chaincode_type(&self) -> &str {
        &self.chaincode_type
    }

    /// The label, the first part of the package id.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Where the source came from; empty for ccaas packages.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The fields Fabric does not know, in document order.
    pub fn unknown_fields(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.object.others(&["type", "label", "path"])
    }

    /// The document as it stands in the package, which is what builders are given.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// True for the type `ccaas` in any mix of cases, as the stock builder compares it.
    pub fn is_ccaas(&self) -> bool {
        is_ccaas(&self.chaincode_type)
    }
}

pub(crate) fn is_ccaas(chaincode_type: &str) -> bool {
    chaincode_type.eq_ignore_ascii_case(CCAAS)
}

/// Writes a metadata.json; an empty path is left out.
pub(crate) fn write(chaincode_type: &str, label: &str, path: &str) -> Vec<u8> {
    let path = if path.is_empty() { String::new() } else { format!("\"path\":{},", encode_text(path)) };
    format!("{{{path}\"type\":{},\"label\":{}}}", encode_text(chaincode_type), encode_text(label))
        .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::{Metadata, write};

    #[test]
    fn unknown_fields_and_bytes_are_kept() {
        let text = r#"{ "label":"a","zzz":{"x":1},"Type":"CCaaS" }"#;
        let metadata = Metadata::parse(text).unwrap();
        assert_eq!((metadata.label(), metadata.path()), ("a", ""));
        assert!(metadata.is_ccaas());
        assert_eq!(metadata.bytes(), text.as_bytes());
        let unknown: Vec<_> =
            metadata.unknown_fields().map(|(name, value)| (name, value.to_string())).collect();
        assert_eq!(unknown, [("zzz", r#"{"x":1}"#.to_owned())]);
    }

    #[test]
    fn what_is_written_reads_back() {
        let metadata = Metadata::parse(write("golang", "l_1", "a/\"b")).unwrap();
        assert_eq!(
            (metadata.chaincode_type(), metadata.label(), metadata.path()),
            ("golang", "l_1", "a/\"b")
        );
        assert_eq!(write("ccaas", "l", ""), br#"{"type":"ccaas","label":"l"}"#);
    }
}
