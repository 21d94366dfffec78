use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

/// One step of the demonstration, when it is over.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// A stable short name, such as `install` or `no-certificate/node`.
    pub name: String,
    /// The name for a person.
    pub title: String,
    /// Whether the step did what it should. What must be refused did so by being refused.
    pub ok: bool,
    /// How long it took.
    pub milliseconds: u64,
    /// What happened, for a person.
    pub detail: Vec<Fact>,
    /// For connections that must be refused, one for each TLS stack that dialled: what either end saw of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refusals: Vec<Refusal>,
    /// Why the step failed, from the outermost error to its first cause.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub error: Vec<String>,
}

/// Something that a step found or made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fact {
    /// What it is.
    pub label: String,
    /// What it says.
    pub text: String,
}

/// A refused connection, as seen from both ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// What the end that dialled saw.
    pub client: Seen,
    /// What the server saw.
    pub server: Seen,
}

/// One end's view of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// Whose view it is, such as `selvedge` or `node v20.1.0`.
    pub by: String,
    /// The short name of the verdict: Selvedge's own names, or the error code of another TLS stack.
    pub verdict: String,
    /// The verdict for a person.
    pub message: String,
}

/// The whole demonstration.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Whether every step did what it should.
    pub ok: bool,
    /// How long it took in all.
    pub milliseconds: u64,
    /// Whether it was stopped before its end.
    pub interrupted: bool,
    /// The folder that was kept.
    pub folder: Option<PathBuf>,
    /// The steps in their order. A step that could not begin, since an earlier one failed, is not among them.
    pub steps: Vec<Step>,
}

/// What happens while the demonstration runs.
#[derive(Clone, Copy, Debug)]
pub enum Progress<'a> {
    /// A step begins.
    Started {
        /// Its name for a person.
        title: &'a str,
    },
    /// A step is over.
    Ended(&'a Step),
}

/// What a step that did what it should has to tell.
#[derive(Debug, Default)]
pub(super) struct Told {
    facts: Vec<Fact>,
    refusals: Vec<Refusal>,
}

impl Told {
    pub(super) fn fact(mut self, label: &str, text: impl Into<String>) -> Self {
        self.facts.push(Fact { label: label.to_owned(), text: text.into() });
        self
    }

    pub(super) fn refused(mut self, refusal: Refusal) -> Self {
        self.refusals.push(refusal);
        self
    }
}

/// Runs steps, takes their times and tells whoever watches.
pub(super) struct Recorder<'a> {
    watcher: &'a mut (dyn FnMut(Progress<'_>) + Send),
    steps: Vec<Step>,
}

impl<'a> Recorder<'a> {
    pub(super) fn new(watcher: &'a mut (dyn FnMut(Progress<'_>) + Send)) -> Self {
        Self { watcher, steps: Vec::new() }
    }

    /// Runs one step. `None` says that it failed, and why is recorded.
    pub(super) async fn step<T, E: std::error::Error>(
        &mut self,
        name: &str,
        title: &str,
        work: impl Future<Output = Result<(T, Told), E>>,
    ) -> Option<T> {
        (self.watcher)(Progress::Started { title });
        let started = std::time::Instant::now();
        let outcome = work.await;
        let milliseconds = milliseconds(started.elapsed());
        let (value, told, error) = match outcome {
            Ok((value, told)) => (Some(value), told, Vec::new()),
            Err(error) => (None, Told::default(), chain(&error)),
        };
        let step = Step {
            name: name.to_owned(),
            title: title.to_owned(),
            ok: value.is_some(),
            milliseconds,
            detail: told.facts,
            refusals: told.refusals,
            error,
        };
        (self.watcher)(Progress::Ended(&step));
        self.steps.push(step);
        value
    }

    pub(super) fn into_steps(self) -> Vec<Step> {
        self.steps
    }
}

pub(super) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The texts of an error and its causes. A cause whose text its parent has already quoted is left out.
fn chain(error: &dyn std::error::Error) -> Vec<String> {
    let mut texts = vec![error.to_string()];
    let mut source = error.source();
    while let Some(error) = source {
        let text = error.to_string();
        if !texts.iter().any(|told| told.contains(&text)) {
            texts.push(text);
        }
        source = error.source();
    }
    texts
}
