//! What the stock ccaas builder said and wrote.
#![expect(clippy::unwrap_used, reason = "a helper of a test stops at the first surprise")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use selvedge_golden::Corpus;
use selvedge_package::JsonError;
use selvedge_package::builder::{self, BuilderError};
use selvedge_package::template::TemplateError;
use serde_json::Value;

#[test]
fn golden_builder_cases_are_reproduced() {
    let vectors = Corpus::get().json_lines("vectors/ccaas-builder.jsonl");
    assert!(vectors.iter().any(|vector| vector["build_exit"] == 1), "no failed build recorded");
    assert!(vectors.iter().any(|vector| vector["release_exit"] == 0), "no release recorded");
    for vector in &vectors {
        check(vector);
    }
}

fn check(vector: &Value) {
    let name = vector["name"].as_str().unwrap();
    let root = tempfile::tempdir().unwrap();
    let [src, meta, bld, rel] = ["src", "meta", "bld", "rel"].map(|folder| root.path().join(folder));
    for folder in [&src, &meta, &bld, &rel] {
        fs::create_dir(folder).unwrap();
    }
    fs::write(meta.join("metadata.json"), text(vector, "metadata.json")).unwrap();
    fs::write(src.join("connection.json"), text(vector, "connection.json")).unwrap();
    // The source's META-INF is not recorded by itself; the builder copied it unchanged.
    let expected = expected_files(vector);
    for (path, content) in &expected {
        if let Some(inside) = path.strip_prefix("bld/META-INF/") {
            let path = src.join("META-INF").join(inside);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
    }

    compare(vector, "detect", builder::detect(&src, &meta));
    if vector.get("build_exit").is_some() {
        let built = builder::build(&src, &meta, &bld, text(vector, "builder_config_env"));
        compare(vector, "build", built.map(|_| ()));
    }
    if vector.get("release_exit").is_some() {
        compare(vector, "release", builder::release(&bld, &rel));
    }

    let mut found = BTreeMap::new();
    collect(&bld, "bld", &mut found);
    collect(&rel, "rel", &mut found);
    assert_eq!(found, expected, "{name}");
}

/// The recorded files, with the one intended difference: a domain under TLS is kept, as the last member.
fn expected_files(vector: &Value) -> BTreeMap<String, String> {
    let source: Value = serde_json::from_str(text(vector, "connection.json")).unwrap_or_default();
    let domain = Some(&source["domain"]).filter(|_| source["tls_required"] == true).and_then(Value::as_str);
    let kept = |path: &str, content: &str| match domain {
        Some(domain) if path.ends_with("/connection.json") => {
            format!("{},\"domain\":{}}}", content.strip_suffix('}').unwrap(), Value::from(domain))
        }
        _ => content.to_owned(),
    };
    let files = vector["files"].as_object().unwrap().iter();
    files.map(|(path, content)| (path.clone(), kept(path, content.as_str().unwrap()))).collect()
}

fn compare(vector: &Value, step: &str, verdict: Result<(), BuilderError>) {
    let name = &vector["name"];
    let exit = i32::from(verdict.is_err());
    assert_eq!(vector[format!("{step}_exit")], exit, "{name}: {step}: {verdict:?}");
    let Err(error) = verdict else { return };
    // Syntax errors, of JSON and of templates, are told in words of our own.
    let in_fabrics_words = matches!(
        error,
        BuilderError::NotSupported(_)
            | BuilderError::NotCcaas(_)
            | BuilderError::Connection(JsonError::Type { .. })
            | BuilderError::Template { error: TemplateError::MissingKey { .. }, .. }
    );
    let recorded = text(vector, &format!("{step}_output"));
    assert!(
        !in_fabrics_words || recorded.ends_with(&format!("::Error: {error}")),
        "{name}: {error} / {recorded}"
    );
}

fn text<'a>(vector: &'a Value, field: &str) -> &'a str {
    vector[field].as_str().unwrap_or_else(|| panic!("{field} is not recorded"))
}

fn collect(folder: &Path, prefix: &str, files: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{prefix}/{}", entry.file_name().into_string().unwrap());
        if entry.file_type().unwrap().is_dir() {
            collect(&entry.path(), &name, files);
        } else {
            files.insert(name, fs::read_to_string(entry.path()).unwrap());
        }
    }
}
