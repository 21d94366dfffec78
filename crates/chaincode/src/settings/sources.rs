//! Where settings come from: the program, its command line, its environment, and a file, in this order.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::error::{Given, SettingsError};
use super::names::{CONFIG_FLAG, CONFIG_VARIABLE, Form, Kind, Name, ROWS, Row, Setting};

/// Variables of the same prefix that others read: the command `selvedge`, and the project's own tests.
const OTHERS: [&str; 2] = ["SELVEDGE_CONFIG", "SELVEDGE_GOLDEN_DIR"];

/// A file of settings is a page of text; a larger one is a mistake.
const LARGEST_FILE: u64 = 1 << 20;

/// A setting as it was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Decision {
    /// Which setting.
    pub setting: Setting,
    /// What counts.
    pub winner: Given,
    /// What was given besides and does not count.
    pub overruled: Vec<Given>,
}

/// What counts for one setting.
#[derive(Clone, Debug)]
pub(super) struct Chosen {
    pub(super) given: Given,
    pub(super) form: Form,
    /// The folder that relative paths are relative to, for what stands in a file.
    folder: Option<PathBuf>,
}

impl Chosen {
    pub(super) fn path(&self, text: &str) -> PathBuf {
        match &self.folder {
            Some(folder) => folder.join(text),
            None => PathBuf::from(text),
        }
    }
}

/// All that was given, not yet judged.
#[derive(Clone, Debug, Default)]
pub(super) struct Layers {
    pub(super) code: Vec<(Setting, String)>,
    pub(super) flags: Vec<(String, String)>,
    pub(super) variables: Vec<(String, String)>,
    /// Variables of our own prefix that nothing is known of.
    pub(super) unknown: Vec<String>,
    file: Vec<(String, String)>,
    folder: Option<PathBuf>,
}

/// What is left when all layers are judged.
pub(super) struct Decided {
    chosen: Vec<(Setting, Chosen)>,
    pub(super) decisions: Vec<Decision>,
}

impl Decided {
    pub(super) fn get(&self, setting: Setting) -> Option<&Chosen> {
        self.chosen.iter().find(|(known, _)| *known == setting).map(|(_, chosen)| chosen)
    }
}

impl Layers {
    pub(super) fn add_arguments(
        &mut self,
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Result<(), SettingsError> {
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let argument = utf8(argument, "an argument")?;
            let (flag, value) = match argument.split_once('=') {
                Some((flag, value)) => (flag, Some(value.to_owned())),
                None => (argument.as_str(), None),
            };
            let row = ROWS.iter().find(|row| row.flags.iter().any(|name| name.text == flag));
            let value = match (row.map(|row| row.kind), value) {
                (None, _) if flag != CONFIG_FLAG => return Err(SettingsError::UnknownArgument { argument }),
                (_, Some(value)) => value,
                (Some(Kind::Boolean), None) => "true".to_owned(),
                (_, None) => {
                    let value =
                        arguments.next().ok_or_else(|| SettingsError::NoValue { flag: flag.to_owned() })?;
                    utf8(value, flag)?
                }
            };
            self.flags.push((flag.to_owned(), value));
        }
        Ok(())
    }

    /// Takes the variables that mean something here. Others may be anything.
    pub(super) fn add_variables(
        &mut self,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<(), SettingsError> {
        for (name, value) in variables {
            let Some(name) = name.to_str() else { continue };
            let names = ROWS.iter().flat_map(|row| row.variables);
            let is_known = name == CONFIG_VARIABLE || names.into_iter().any(|known| known.text == name);
            // An empty variable counts as not set, as in Fabric's samples.
            if is_known && !value.is_empty() {
                self.variables.push((name.to_owned(), utf8(value, name)?));
            } else if !is_known && name.starts_with("SELVEDGE_") && !OTHERS.contains(&name) {
                self.unknown.push(name.to_owned());
            }
        }
        Ok(())
    }

    /// Reads the file that the layers above name, if they do.
    fn read_file(&mut self) -> Result<(), SettingsError> {
        let from = |layer: &[(String, String)], name: &str| {
            layer.iter().find(|(known, _)| known == name).map(|(_, value)| PathBuf::from(value))
        };
        let named = from(&self.flags, CONFIG_FLAG).or_else(|| from(&self.variables, CONFIG_VARIABLE));
        let Some(path) = named else { return Ok(()) };
        let fail = |reason: String| SettingsError::File { path: path.clone(), reason };
        let text = read_bounded(&path).map_err(|error| fail(error.to_string()))?;
        let object: serde_json::Map<String, Value> =
            serde_json::from_slice(&text).map_err(|error| fail(error.to_string()))?;
        for (key, value) in object {
            if !ROWS.iter().any(|row| row.key == key) {
                let known: Vec<&str> = ROWS.iter().map(|row| row.key).collect();
                let key = selvedge_tls::escape(&key);
                return Err(fail(format!("{key:?} is no setting; there are {}", known.join(", "))));
            }
            let text = as_text(&value).ok_or_else(|| {
                fail(format!("the value of {key:?} is neither text, number, boolean nor a list"))
            })?;
            self.file.push((key, text));
        }
        self.folder = path.parent().map(Path::to_owned);
        Ok(())
    }

    pub(super) fn decide(mut self) -> Result<Decided, SettingsError> {
        self.read_file()?;
        let mut decided = Decided { chosen: Vec::new(), decisions: Vec::new() };
        for row in ROWS {
            let Some((chosen, overruled)) = self.choose(row)? else { continue };
            decided.decisions.push(Decision {
                setting: row.setting,
                winner: chosen.given.clone(),
                overruled: overruled.into_iter().map(|chosen| chosen.given).collect(),
            });
            decided.chosen.push((row.setting, chosen));
        }
        Ok(decided)
    }

    fn choose(&self, row: &Row) -> Result<Option<(Chosen, Vec<Chosen>)>, SettingsError> {
        let code = self.code.iter().filter(|(setting, _)| *setting == row.setting);
        let in_code = code.map(|(_, value)| found("the program's own value", value, Form::Plain, None));
        let key = Name { text: row.key, form: Form::Plain };
        let layers: [Vec<Chosen>; 4] = [
            in_code.collect(),
            among(&self.flags, row.flags, None),
            among(&self.variables, row.variables, None),
            among(&self.file, std::slice::from_ref(&key), self.folder.as_deref()),
        ];
        let mut winner = None;
        let mut overruled = Vec::new();
        for layer in layers {
            let layer = without_base64_beside_plain(layer);
            let Some(first) = layer.first().cloned() else { continue };
            for other in &layer {
                check_equal(row, &first, other)?;
            }
            match winner {
                None => winner = Some(first),
                Some(_) => overruled.push(first),
            }
        }
        Ok(winner.map(|winner| (winner, overruled)))
    }
}

fn found(name: &str, value: &str, form: Form, folder: Option<&Path>) -> Chosen {
    let given = Given { name: name.to_owned(), value: value.to_owned() };
    Chosen { given, form, folder: folder.map(Path::to_owned) }
}

/// What a layer gives by any of these names, in the order of the names.
fn among(layer: &[(String, String)], names: &[Name], folder: Option<&Path>) -> Vec<Chosen> {
    let given = |name: &Name| {
        let (text, form) = (name.text, name.form);
        layer
            .iter()
            .filter(move |(known, _)| known == text)
            .map(move |(known, value)| found(known, value, form, folder))
            .collect::<Vec<_>>()
    };
    names.iter().flat_map(given).collect()
}

/// Java's shim demands the same file in both forms, in different places; then the plain one counts.
fn without_base64_beside_plain(mut layer: Vec<Chosen>) -> Vec<Chosen> {
    if layer.iter().any(|chosen| chosen.form != Form::Base64) {
        layer.retain(|chosen| chosen.form != Form::Base64);
    }
    layer
}

fn check_equal(row: &Row, first: &Chosen, other: &Chosen) -> Result<(), SettingsError> {
    let equal = match (row.kind, first.form, other.form) {
        (Kind::Boolean, ..) => boolean(row.setting, first)? == boolean(row.setting, other)?,
        // An address and a port by itself agree when the ports do.
        (_, Form::Plain, Form::Port) => {
            first.given.value.rsplit_once(':').is_some_and(|(_, port)| port == other.given.value)
        }
        _ => first.given.value == other.given.value,
    };
    if equal {
        return Ok(());
    }
    let (first, second) = (first.given.clone(), other.given.clone());
    Err(SettingsError::Contradiction { first, second })
}

/// A boolean in one of the spellings that Go, and so Fabric's samples, take.
pub(super) fn boolean(setting: Setting, chosen: &Chosen) -> Result<bool, SettingsError> {
    let value = match chosen.given.value.trim() {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => true,
        "0" | "f" | "F" | "false" | "FALSE" | "False" => false,
        _ => {
            let (given, reason) = (chosen.given.clone(), "it is neither true nor false".to_owned());
            return Err(SettingsError::Value { setting, given, reason });
        }
    };
    Ok(value != (chosen.form == Form::Opposite))
}

fn utf8(text: OsString, name: &str) -> Result<String, SettingsError> {
    text.into_string().map_err(|_| SettingsError::NotUtf8 { name: name.to_owned() })
}

fn read_bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let mut text = Vec::new();
    std::fs::File::open(path)?.take(LARGEST_FILE + 1).read_to_end(&mut text)?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > LARGEST_FILE {
        return Err(std::io::Error::other(format!("it has more than {LARGEST_FILE} bytes")));
    }
    Ok(text)
}

/// A value of the file as the other layers would write it.
fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::Array(values) => {
            let texts: Option<Vec<&str>> = values.iter().map(Value::as_str).collect();
            texts.map(|texts| texts.join(","))
        }
        Value::Object(pairs) => {
            let texts = pairs.iter().map(|(key, value)| Some(format!("{key}={}", value.as_str()?)));
            texts.collect::<Option<Vec<_>>>().map(|texts| texts.join(","))
        }
        Value::Null => None,
    }
}
