//! The table of floors, as ARCHITECTURE.md holds it.

use std::collections::BTreeMap;

const FENCE: &str = "```";
const OPENING: &str = "```floors";

/// What is wrong with the table.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum TableError {
    #[error("there is no block that opens with {OPENING} and closes with {FENCE}")]
    Missing,
    #[error("there is more than one block {OPENING}")]
    Several,
    #[error("the line {line:?} is not a floor's number followed by folder names")]
    Line { line: String },
    #[error("floor {floor} stands below floor {above}; the highest comes first and none twice")]
    Order { floor: u8, above: u8 },
    #[error("{name} stands on two floors")]
    Twice { name: String },
}

/// The floor of each crate, by the name of its folder.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Floors(BTreeMap<String, u8>);

impl Floors {
    /// Reads the one fenced block `floors` of a Markdown document: lines such as `3 peer orderer`,
    /// highest floor first.
    pub(crate) fn parse(document: &str) -> Result<Self, TableError> {
        let mut floors = BTreeMap::new();
        let mut above = None;
        for line in block(document)? {
            let mut words = line.split_whitespace();
            let floor: Option<u8> = words.next().and_then(|word| word.parse().ok());
            let (Some(floor), Some(first)) = (floor, words.next()) else {
                return Err(TableError::Line { line: line.to_owned() });
            };
            if let Some(above) = above.filter(|above| *above <= floor) {
                return Err(TableError::Order { floor, above });
            }
            above = Some(floor);
            for name in [first].into_iter().chain(words) {
                if floors.insert(name.to_owned(), floor).is_some() {
                    return Err(TableError::Twice { name: name.to_owned() });
                }
            }
        }
        Ok(Self(floors))
    }

    /// The crate's floor; none for a crate that the table does not name.
    pub(crate) fn of(&self, name: &str) -> Option<u8> {
        self.0.get(name).copied()
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

fn block(document: &str) -> Result<Vec<&str>, TableError> {
    let mut lines = document.lines();
    lines.by_ref().find(|line| *line == OPENING).ok_or(TableError::Missing)?;
    let mut block = Vec::new();
    loop {
        match lines.next() {
            None => return Err(TableError::Missing),
            Some(FENCE) => break,
            Some(line) => block.push(line),
        }
    }
    if lines.any(|line| line == OPENING) {
        return Err(TableError::Several);
    }
    if block.is_empty() { Err(TableError::Missing) } else { Ok(block) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_block_is_found_among_others() {
        let floors =
            Floors::parse("# A\n```\n9 x\n```\n```floors\n5 cli xtask\n0 proto\n```\nend\n").unwrap();
        assert_eq!(floors.names().collect::<Vec<_>>(), ["cli", "proto", "xtask"]);
        assert_eq!((floors.of("xtask"), floors.of("proto"), floors.of("x")), (Some(5), Some(0), None));
    }

    #[test]
    fn a_table_that_says_nothing_clear_is_refused() {
        let cases = [
            ("5 cli\n", TableError::Missing),
            ("```floors\n5 cli\n", TableError::Missing),
            ("```floors\n```\n", TableError::Missing),
            ("```floors\n1 a\n```\n```floors\n0 b\n```\n", TableError::Several),
            ("```floors\nfive cli\n```\n", TableError::Line { line: "five cli".to_owned() }),
            ("```floors\n5\n```\n", TableError::Line { line: "5".to_owned() }),
            ("```floors\n1 a\n2 b\n```\n", TableError::Order { floor: 2, above: 1 }),
            ("```floors\n1 a\n1 b\n```\n", TableError::Order { floor: 1, above: 1 }),
            ("```floors\n1 a\n0 a\n```\n", TableError::Twice { name: "a".to_owned() }),
        ];
        for (document, expected) in cases {
            assert_eq!(Floors::parse(document).unwrap_err(), expected, "{document:?}");
        }
    }
}
