//! What a real Fabric network answered.

use selvedge_golden::Corpus;
use tonic::Code;

/// The status that was recorded under a label.
pub(crate) fn status(file: &str, label: &str) -> (Code, String) {
    let rows = Corpus::get().json_lines(&format!("exchanges/{file}.jsonl"));
    let row =
        rows.iter().find(|row| row["label"] == label).unwrap_or_else(|| panic!("no recording of {label}"));
    let code = i32::try_from(row["grpc"]["code"].as_i64().unwrap()).unwrap();
    (Code::from(code), row["grpc"]["message"].as_str().unwrap_or_default().to_owned())
}

/// The answer that was recorded under a label.
pub(crate) fn response(file: &str, label: &str) -> Vec<u8> {
    let rows = Corpus::get().json_lines(&format!("exchanges/{file}.jsonl"));
    let row =
        rows.iter().find(|row| row["label"] == label).unwrap_or_else(|| panic!("no recording of {label}"));
    let response = row["response"].as_str().or_else(|| row["responses"][0].as_str());
    hex::decode(response.unwrap()).unwrap()
}

/// A text without what differs from one network and one call to the next: ids, times, and the channel's name. Go's
/// protobuf library varies its texts by unusual spaces, so that nobody relies on them.
pub(crate) fn same(text: &str) -> String {
    let text = text.replace("chstream", super::CHANNEL).replace('\u{a0}', " ");
    let (mut out, mut run) = (String::new(), String::new());
    for character in text.chars().chain(['\0']) {
        // Ids are long runs of hexadecimal digits; times are shorter ones with these in between.
        if character.is_ascii_hexdigit() || matches!(character, '-' | ':' | 'T' | 'Z') {
            run.push(character);
            continue;
        }
        let digits = run.chars().filter(char::is_ascii_hexdigit).count();
        out.push_str(if digits >= 14 { "…" } else { &run });
        run.clear();
        out.push(character);
    }
    out
}
