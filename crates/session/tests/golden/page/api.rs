//! The page `docs/api.md`, held to Go's stub, to this library's own functions, and to the tests that it names.

use std::collections::BTreeSet;
use std::fs;

use selvedge_golden::Corpus;

use super::{code, page, root, rows, sources, tests};

/// All functions of Go's `ChaincodeStubInterface`, version 2.3.0.
const GO: [&str; 43] = [
    "GetArgs",
    "GetStringArgs",
    "GetFunctionAndParameters",
    "GetArgsSlice",
    "GetTxID",
    "GetChannelID",
    "InvokeChaincode",
    "GetState",
    "GetMultipleStates",
    "PutState",
    "DelState",
    "StartWriteBatch",
    "FinishWriteBatch",
    "SetStateValidationParameter",
    "GetStateValidationParameter",
    "GetStateByRange",
    "GetStateByRangeWithPagination",
    "GetStateByPartialCompositeKey",
    "GetStateByPartialCompositeKeyWithPagination",
    "GetAllStatesCompositeKeyWithPagination",
    "CreateCompositeKey",
    "SplitCompositeKey",
    "GetQueryResult",
    "GetQueryResultWithPagination",
    "GetHistoryForKey",
    "GetPrivateData",
    "GetMultiplePrivateData",
    "GetPrivateDataHash",
    "PutPrivateData",
    "DelPrivateData",
    "PurgePrivateData",
    "SetPrivateDataValidationParameter",
    "GetPrivateDataValidationParameter",
    "GetPrivateDataByRange",
    "GetPrivateDataByPartialCompositeKey",
    "GetPrivateDataQueryResult",
    "GetCreator",
    "GetTransient",
    "GetBinding",
    "GetDecorations",
    "GetSignedProposal",
    "GetTxTimestamp",
    "SetEvent",
];

/// What contracts call; all of their functions are on the page.
const OURS: [&str; 12] = [
    "Query",
    "Context",
    "Collection",
    "CollectionContext",
    "ResultIterator",
    "StateEntry",
    "CompositeKey",
    "KeyPolicy",
    "ClientIdentity",
    "Creator",
    "Response",
    "Contracts",
];

/// What stands in a cell of something that a library does not have.
const ABSENT: &str = "–";

pub(crate) fn check() {
    let page = page("api.md");
    let (tests, declared) = (tests(), declared());
    let corpus = Corpus::own();
    let (mut go, mut ours) = (BTreeSet::new(), BTreeSet::new());
    for heading in ["## The stub", "## The contract layer"] {
        for cells in rows::<9>(&page, heading) {
            let [what, in_go, .., selvedge, by, recording] = cells;
            assert!(cells.iter().all(|cell| !cell.is_empty()), "{what} has an empty cell");
            go.extend(codes(in_go));
            for name in codes(selvedge) {
                assert!(!name.contains("::") || declared.contains(name), "{what}: there is no {name}");
                ours.insert(name);
            }
            // What there is, is tested; what there is not, is said to be absent and has no test.
            assert_eq!(selvedge.starts_with(ABSENT), by == ABSENT, "{what}: {by}");
            for test in codes(by) {
                assert!(tests.contains(test), "{what}: there is no test {test}");
            }
            assert!(by == ABSENT || codes(by).next().is_some(), "{what} names no test");
            if recording != ABSENT {
                let path = code(recording);
                assert!(corpus.find(path).is_some(), "{what}: there is no recording {path}");
            }
        }
    }
    for name in GO {
        assert!(go.contains(name), "the page lacks Go's {name}");
    }
    let of_contracts = declared.iter().filter(|name| OURS.iter().any(|of| is_of(name, of)));
    let missing: Vec<_> = of_contracts.filter(|name| !ours.contains(name.as_str())).collect();
    assert!(missing.is_empty(), "the page lacks {missing:?}");
}

/// All that stands between backticks.
fn codes(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

fn is_of(name: &str, of: &str) -> bool {
    name.strip_prefix(of).is_some_and(|rest| rest.starts_with("::"))
}

/// The public functions of the library's types, and of those that it gives on: `Type::function`.
fn declared() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let creator = root().join("crates/identity/src/creator.rs");
    for path in sources(&root().join("crates/chaincode/src")).into_iter().chain([creator]) {
        let text = fs::read_to_string(&path).expect("a source file");
        let mut of = None;
        for line in text.lines() {
            if let Some(block) = line.strip_prefix("impl").and_then(|rest| rest.strip_suffix(" {")) {
                of = implemented(block);
            }
            let function = line.strip_prefix("    pub ").map(|rest| rest.trim_start_matches("async "));
            let name = function
                .and_then(|rest| rest.strip_prefix("fn "))
                .and_then(|rest| rest.split(['(', '<']).next());
            if let (Some(of), Some(name)) = (of, name) {
                names.insert(format!("{of}::{name}"));
            }
        }
    }
    names
}

/// The type of an `impl` block, from what stands between `impl` and the brace; `None` if it is one of a trait.
fn implemented(block: &str) -> Option<&str> {
    if block.contains(" for ") {
        return None;
    }
    let name = match block.strip_prefix('<') {
        Some(generic) => generic.split_once("> ")?.1,
        None => block.trim_start(),
    };
    name.split('<').next()
}
