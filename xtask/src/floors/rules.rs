//! What the floors allow.

use std::collections::BTreeSet;

use super::graph::Graph;
use super::table::Floors;

/// Only `tls` names these, so that there is one place where trust is decided.
const TLS_STACK: [&str; 4] = ["rustls", "tokio-rustls", "rustls-webpki", "webpki"];

const TLS: &str = "tls";
const PKI: &str = "pki";
const LIBRARY: &str = "chaincode";

/// One line for each broken rule; none if the graph is as it must be.
///
/// A crate that the table does not name is a helper of tests: only dev-dependencies may name it, and
/// it names no other crate of the workspace.
pub(crate) fn violations(floors: &Floors, graph: &Graph) -> Vec<String> {
    let absent = floors.names().filter(|name| !graph.contains_key(*name));
    let mut found: Vec<String> = absent
        .map(|name| format!("  {name}: the table names it, the workspace has no such folder"))
        .collect();
    for (name, declared) in graph {
        let Some(floor) = floors.of(name) else {
            for dependency in declared.normal.union(&declared.dev) {
                found.push(format!(
                    "  {name} -> {dependency}: a crate outside the table names no other crate"
                ));
            }
            continue;
        };
        for dependency in &declared.normal {
            match floors.of(dependency) {
                None => found
                    .push(format!("  {name} -> {dependency}: only tests may name a crate outside the table")),
                Some(below) if below >= floor => {
                    found.push(format!(
                        "  {name} (floor {floor}) -> {dependency} (floor {below}): must point downwards"
                    ));
                }
                Some(_) => {}
            }
        }
        for dependency in &declared.dev {
            if let Some(above) = floors.of(dependency).filter(|above| *above > floor) {
                found.push(format!(
                    "  {name} (floor {floor}) -> {dependency} (floor {above}): tests must not point upwards"
                ));
            }
        }
        if name != TLS {
            for dependency in TLS_STACK.iter().filter(|stack| declared.external.contains(**stack)) {
                found.push(format!("  {name} -> {dependency}: only {TLS} names the TLS stack"));
            }
        }
    }
    found.extend(cycles(graph));
    if reachable(graph, LIBRARY).contains(PKI) {
        found.push(format!("  {LIBRARY} -> … -> {PKI}: the author's library makes no certificates"));
    }
    found
}

/// All that the crate needs outside of tests, itself included.
fn reachable<'graph>(graph: &'graph Graph, from: &'graph str) -> BTreeSet<&'graph str> {
    let mut seen = BTreeSet::new();
    let mut open = vec![from];
    while let Some(name) = open.pop() {
        if seen.insert(name) {
            open.extend(
                graph.get(name).into_iter().flat_map(|declared| &declared.normal).map(String::as_str),
            );
        }
    }
    seen
}

/// The crates that stand on a cycle once tests are counted: cargo would build such a crate twice, and
/// its test would compare two different crates of one name.
fn cycles(graph: &Graph) -> Option<String> {
    let mut left: BTreeSet<&str> = graph.keys().map(String::as_str).collect();
    // Whoever names nobody that is left stands on no cycle.
    loop {
        let free: Vec<&str> = left.iter().copied().filter(|name| !names_one_of(graph, name, &left)).collect();
        if free.is_empty() {
            break;
        }
        for name in free {
            left.remove(name);
        }
    }
    let names: Vec<&str> = left.into_iter().collect();
    (!names.is_empty()).then(|| format!("  {}: stand on or above a cycle of dependencies", names.join(", ")))
}

fn names_one_of(graph: &Graph, name: &str, others: &BTreeSet<&str>) -> bool {
    graph[name].normal.union(&graph[name].dev).any(|dependency| others.contains(dependency.as_str()))
}

#[cfg(test)]
mod tests {
    use super::super::graph::Declared;
    use super::*;

    const TABLE: &str = "```floors\n3 chaincode peer\n2 session\n1 tls pki\n0 proto\n```\n";

    /// `crate: normal … / dev … / external …`, the last two if there are any.
    fn graph(lines: &[&str]) -> Graph {
        let mut graph: Graph = ["chaincode", "peer", "session", "tls", "pki", "proto"]
            .map(|n| (n.to_owned(), Declared::default()))
            .into();
        for line in lines {
            let (name, rest) = line.split_once(':').unwrap();
            let mut parts = rest
                .split('/')
                .map(|part| part.split_whitespace().map(str::to_owned).collect::<BTreeSet<_>>());
            let mut next = || parts.next().unwrap_or_default();
            graph.insert(name.to_owned(), Declared { normal: next(), dev: next(), external: next() });
        }
        graph
    }

    fn broken(lines: &[&str]) -> Vec<String> {
        violations(&Floors::parse(TABLE).unwrap(), &graph(lines))
    }

    #[test]
    fn downwards_is_allowed_and_tests_may_look_sideways() {
        let found = broken(&[
            "chaincode: session tls proto / pki peer golden /",
            "session: proto / golden / bytes",
            "tls: proto / pki / rustls tokio-rustls",
            "golden: / / tar",
        ]);
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn each_rule_bites() {
        let cases = [
            (&["session: peer"][..], "session (floor 2) -> peer (floor 3): must point downwards"),
            (&["peer: chaincode"], "peer (floor 3) -> chaincode (floor 3): must point downwards"),
            (&["proto: / tls"], "proto (floor 0) -> tls (floor 1): tests must not point upwards"),
            (&["peer: / / rustls"], "peer -> rustls: only tls names the TLS stack"),
            (&["peer: golden", "golden:"], "peer -> golden: only tests may name a crate outside the table"),
            (&["golden: proto"], "golden -> proto: a crate outside the table names no other crate"),
            (&["chaincode: session", "session: pki"], "chaincode -> … -> pki: the author's library makes no"),
            (&["tls: / pki", "pki: / tls"], "pki, tls: stand on or above a cycle of dependencies"),
        ];
        for (lines, expected) in cases {
            let found = broken(lines);
            assert_eq!(found.len(), 1, "{lines:?}: {found:?}");
            assert!(found[0].contains(expected), "{found:?}");
        }
    }

    #[test]
    fn a_name_without_a_folder_is_found() {
        let mut graph = graph(&[]);
        graph.remove("session");
        let found = violations(&Floors::parse(TABLE).unwrap(), &graph);
        assert_eq!(found, ["  session: the table names it, the workspace has no such folder"]);
    }
}
