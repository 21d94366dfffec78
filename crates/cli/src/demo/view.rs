//! How the steps look to a person: the time first, then what was done, then what was found, all within the width of
//! the terminal.

use std::io;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use selvedge_network::demo::{DemoConfig, Progress, Refusal, Report, Seen, Step};

use crate::output::{self, BAD, FAINT, GOOD, STRONG, wrapped};

/// Where what was found begins: below the step's title.
const INDENT: &str = "                ";

pub(super) struct View {
    steps: bool,
    width: usize,
    /// Hidden where standard error is no terminal.
    spinner: ProgressBar,
}

impl View {
    /// A view that shows the `steps` on standard output, or only the spinner.
    pub(super) fn new(steps: bool) -> Self {
        let spinner = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{elapsed:>7}  {spinner}      {wide_msg}") {
            spinner.set_style(style);
        }
        Self { steps, width: output::width(), spinner }
    }

    pub(super) fn begin(&self, config: &DemoConfig) -> io::Result<()> {
        let organizations = match config.organizations {
            1 => "one organisation".to_owned(),
            count => format!("{count} organisations"),
        };
        let text = format!(
            "A Fabric network of {organizations} in this process, its chaincode in a process of its own, mutual TLS \
             between them, and strangers that must be refused."
        );
        self.print(&format!("{}\n", wrapped(&text, "", "", self.width)))
    }

    pub(super) fn show(&self, progress: Progress<'_>) -> io::Result<()> {
        match progress {
            Progress::Started { title } => {
                self.spinner.set_message(title.to_owned());
                self.spinner.enable_steady_tick(Duration::from_millis(100));
                Ok(())
            }
            Progress::Ended(step) => self.print(&self.step(step)),
        }
    }

    pub(super) fn end(&self, report: &Report) -> io::Result<()> {
        self.spinner.finish_and_clear();
        let Report { ok, milliseconds, steps, .. } = report;
        let good = steps.iter().filter(|step| step.ok).count();
        let refused = steps.iter().map(|step| step.refusals.len()).sum::<usize>();
        let verdict = if *ok {
            format!("{GOOD}Every step did what it should{GOOD:#}")
        } else {
            format!("{BAD}Not every step did what it should{BAD:#}")
        };
        let summary = format!(
            "{verdict}: {good} of {} steps in {}, {refused} strangers refused.",
            steps.len(),
            seconds(*milliseconds)
        );
        let mut lines = vec![String::new(), wrapped(&summary, "", "", self.width)];
        for (number, text) in next(report).iter().enumerate() {
            // Commands are aligned by hand, and fit into the narrowest terminal that is usual.
            lines.push(if number == 0 { text.clone() } else { format!("  {text}") });
        }
        output::result(&lines.join("\n"))
    }

    fn print(&self, text: &str) -> io::Result<()> {
        if !self.steps {
            return Ok(());
        }
        self.spinner.suspend(|| output::result(text))
    }

    fn step(&self, step: &Step) -> String {
        let mark = if step.ok { format!("{GOOD}ok{GOOD:#}    ") } else { format!("{BAD}FAILED{BAD:#}") };
        let first = format!("{FAINT}{:>7}{FAINT:#}  {mark} ", seconds(step.milliseconds));
        let title = format!("{STRONG}{}{STRONG:#}", step.title);
        let mut lines = vec![wrapped(&title, &first, INDENT, self.width)];
        let mut detail = |label: &str, text: &str| {
            let label = format!("{INDENT}{FAINT}{label}:{FAINT:#} ");
            lines.push(wrapped(&abbreviated(text), &label, &format!("{INDENT}  "), self.width));
        };
        for fact in &step.detail {
            detail(&fact.label, &fact.text);
        }
        for Refusal { client, .. } in &step.refusals {
            detail(&client.by, &format!("{}: {}", client.verdict, client.message));
        }
        for (server, clients) in by_server(&step.refusals) {
            let of = if clients.len() == step.refusals.len() {
                String::new()
            } else {
                format!(" (to {})", clients.join(", "))
            };
            detail(&format!("{}{of}", server.by), &format!("{}: {}", server.verdict, server.message));
        }
        for (depth, error) in step.error.iter().enumerate() {
            detail(if depth == 0 { "failed" } else { "cause" }, error);
        }
        lines.join("\n")
    }
}

/// What the server said, each thing once, with the clients that it was about.
fn by_server(refusals: &[Refusal]) -> Vec<(&Seen, Vec<&str>)> {
    let mut views: Vec<(&Seen, Vec<&str>)> = Vec::new();
    for Refusal { client, server } in refusals {
        match views.iter_mut().find(|(seen, _)| *seen == server) {
            Some((_, clients)) => clients.push(&client.by),
            None => views.push((server, vec![&client.by])),
        }
    }
    views
}

/// Text in which ids and hashes, runs of hexadecimal digits longer than any number, are cut to what tells them
/// apart. In full they fit into no line; `--json` has them.
fn abbreviated(text: &str) -> String {
    const LONGEST: usize = 40;
    const SHOWN: usize = 12;
    let mut short = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(rest.len());
        let (run, after) = rest.split_at(digits);
        match run.get(..SHOWN) {
            Some(start) if run.len() >= LONGEST => short.extend([start, "…"]),
            _ => short.push_str(run),
        }
        let others = after.find(|c: char| c.is_ascii_hexdigit()).unwrap_or(after.len());
        let (others, after) = after.split_at(others);
        short.push_str(others);
        rest = after;
    }
    short
}

/// What to do next: what to run and what it does.
fn next(report: &Report) -> Vec<String> {
    let mut next = vec!["Next:".to_owned()];
    match &report.folder {
        Some(folder) => {
            next.push(format!("look at the identities, ledgers and keys in {}", folder.display()))
        }
        None => next.push("selvedge demo --keep     leaves the identities, ledgers and keys".into()),
    }
    next.push("selvedge demo --json     gives the same as one JSON document, ids in full".into());
    next.push("selvedge sample --help   serves the sample to a peer of your own".into());
    next
}

fn seconds(milliseconds: u64) -> String {
    if milliseconds < 1000 {
        format!("{milliseconds} ms")
    } else {
        format!("{}.{:02} s", milliseconds / 1000, milliseconds % 1000 / 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(by: &str, verdict: &str, message: &str) -> Seen {
        Seen { by: by.to_owned(), verdict: verdict.to_owned(), message: message.to_owned() }
    }

    #[test]
    fn a_refusal_shows_both_ends_within_the_width() {
        let view = View { steps: true, width: 80, spinner: ProgressBar::hidden() };
        let message = "the client showed no certificate, and one is required (Go clients without a certificate of \
                       a named authority show none)";
        let server = seen("chaincode", "no-client-certificate", message);
        let client = seen("Selvedge", "client-certificate-required", "none is configured");
        let foreign = seen("Node v20", "ERR_SSL", "alert certificate required");
        let step = Step {
            name: "no-certificate".to_owned(),
            title: "A peer without a client certificate is refused".to_owned(),
            ok: true,
            milliseconds: 12,
            detail: Vec::new(),
            refusals: vec![Refusal { client, server: server.clone() }, Refusal { client: foreign, server }],
            error: Vec::new(),
        };
        let plain = anstream::adapter::strip_str(&view.step(&step)).to_string();
        assert_eq!(
            plain,
            "  12 ms  ok     A peer without a client certificate is refused\n                \
             Selvedge: client-certificate-required: none is configured\n                \
             Node v20: ERR_SSL: alert certificate required\n                \
             chaincode: no-client-certificate: the client showed no\n                  \
             certificate, and one is required (Go clients without a\n                  \
             certificate of a named authority show none)"
        );
        assert!(plain.lines().all(|line| line.len() <= 80), "{plain}");
    }

    #[test]
    fn ids_are_cut_and_nothing_else_is() {
        let id = "b6295a8da3a505dab00a168d665232e53b3a4a85812159d2b2f109d3cc8c1178";
        assert_eq!(
            abbreviated(&format!("basic_1.0:{id}: error 0A00045C, asset7")),
            "basic_1.0:b6295a8da3a5…: error 0A00045C, asset7"
        );
        assert_eq!(abbreviated("…a"), "…a");
        assert_eq!(abbreviated(""), "");
    }

    #[test]
    fn times_are_short() {
        assert_eq!(seconds(0), "0 ms");
        assert_eq!(seconds(999), "999 ms");
        assert_eq!(seconds(1234), "1.23 s");
        assert_eq!(seconds(61_050), "61.05 s");
    }
}
