//! Which crate of the workspace names which other, as the manifests declare it.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::camino::Utf8Path;
use cargo_metadata::{DependencyKind, Metadata};

/// What one crate declares. Build dependencies count as normal ones.
#[derive(Debug, Default)]
pub(crate) struct Declared {
    /// Crates of the workspace, by folder name.
    pub(crate) normal: BTreeSet<String>,
    /// Crates of the workspace that only tests, examples and benches name.
    pub(crate) dev: BTreeSet<String>,
    /// Crates from elsewhere, of any kind.
    pub(crate) external: BTreeSet<String>,
}

/// Every crate of the workspace, by folder name.
pub(crate) type Graph = BTreeMap<String, Declared>;

/// Reads the graph, with optional dependencies and those of every platform.
pub(crate) fn read(metadata: &Metadata) -> Graph {
    metadata
        .workspace_packages()
        .into_iter()
        .map(|package| {
            let mut declared = Declared::default();
            for dependency in &package.dependencies {
                match (&dependency.path, dependency.kind) {
                    (None, _) => declared.external.insert(dependency.name.clone()),
                    (Some(path), DependencyKind::Development) => declared.dev.insert(folder(path)),
                    (Some(path), _) => declared.normal.insert(folder(path)),
                };
            }
            (package.manifest_path.parent().map(folder).unwrap_or_default(), declared)
        })
        .collect()
}

fn folder(path: &Utf8Path) -> String {
    path.file_name().unwrap_or_default().to_owned()
}
