//! `selvedge explain`: what a code means.

use clap::Args;
use serde_json::{Value, json};

use crate::catalogue::{self, Code};
use crate::failure::Failure;
use crate::output::{self, Answer, STRONG};

#[derive(Debug, Args)]
pub(crate) struct ExplainArguments {
    /// The code, such as SV-TLS-07 (default: list them all)
    #[arg(value_name = "CODE")]
    code: Option<String>,
    /// Print a JSON document
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &ExplainArguments) -> Result<Answer, Failure> {
    let Some(code) = &arguments.code else {
        if arguments.json {
            super::json(&catalogue::ALL.iter().map(|code| document(code)).collect::<Value>())?;
        } else {
            for entry in catalogue::ALL {
                super::line(&format!("{STRONG}{}{STRONG:#}  {}", entry.code, entry.title))?;
            }
        }
        return Ok(Answer::Done);
    };
    let entry = catalogue::find(code).ok_or_else(|| {
        Failure::new(catalogue::UNKNOWN_CODE, "there is no such code")
            .evidence(format!("{code:?}"))
            .fix("copy the code from the error; selvedge explain lists them all")
    })?;
    if arguments.json {
        super::json(&document(entry))?;
    } else {
        let indent = " ".repeat(entry.code.len() + 2);
        let first = format!("{STRONG}{}{STRONG:#}  ", entry.code);
        super::line(&output::wrapped(entry.title, &first, &indent, output::width()))?;
        super::line("")?;
        super::line(&output::wrapped(entry.text, "", "", output::width()))?;
    }
    Ok(Answer::Done)
}

fn document(entry: Code) -> Value {
    json!({ "code": entry.code, "title": entry.title, "text": entry.text })
}
