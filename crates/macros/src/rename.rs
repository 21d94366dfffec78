use syn::{Error, LitStr, Result};

/// How a function's name is rewritten for clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rename {
    Pascal,
    Camel,
    Snake,
}

impl Rename {
    pub(crate) fn parse(literal: &LitStr) -> Result<Self> {
        match literal.value().as_str() {
            "PascalCase" => Ok(Self::Pascal),
            "camelCase" => Ok(Self::Camel),
            "snake_case" => Ok(Self::Snake),
            _ => Err(Error::new(
                literal.span(),
                "rename_all is \"PascalCase\", \"camelCase\" or \"snake_case\"",
            )),
        }
    }

    /// Functions in Rust are named in snake case.
    pub(crate) fn apply(self, function: &str) -> String {
        if self == Self::Snake {
            return function.to_owned();
        }
        let mut name = String::with_capacity(function.len());
        for word in function.split('_').filter(|word| !word.is_empty()) {
            let mut letters = word.chars();
            match letters.next() {
                Some(first) if self == Self::Pascal || !name.is_empty() => name.extend(first.to_uppercase()),
                Some(first) => name.push(first),
                None => {}
            }
            name.push_str(letters.as_str());
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_joined() {
        for (rename, name) in [
            (Rename::Pascal, "GetAllAssets2"),
            (Rename::Camel, "getAllAssets2"),
            (Rename::Snake, "get_all_assets2"),
        ] {
            assert_eq!(rename.apply("get_all_assets2"), name);
        }
        assert_eq!(Rename::Camel.apply("_init"), "init");
        assert_eq!(Rename::Pascal.apply("a__b_"), "AB");
    }
}
