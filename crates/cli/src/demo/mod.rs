//! `selvedge demo`: the whole story, shown as it happens.

mod view;

use std::io;

use selvedge_network::demo::{self, DemoConfig, Progress, Report};

use self::view::View;
use crate::arguments::DemoArguments;
use crate::catalogue;
use crate::errors;
use crate::failure::Failure;
use crate::output::{self, Answer};
use crate::signals;

pub(crate) async fn run(arguments: &DemoArguments) -> Result<Answer, Failure> {
    let stop = signals::stop()?;
    let config = DemoConfig {
        program: std::env::current_exe()
            .map_err(|error| errors::machine("the command does not find its own program", &error))?,
        keep: arguments.keep.clone(),
        organizations: usize::from(arguments.orgs),
    };
    let view = View::new(!arguments.json);
    let written = |error: io::Error| errors::output(&error);
    view.begin(&config).map_err(written)?;
    let mut problem = None;
    let mut watcher = |progress: Progress<'_>| {
        if let Err(error) = view.show(progress) {
            problem.get_or_insert(error);
        }
    };
    let report = demo::run(&config, &mut watcher, stop).await;
    if let Some(error) = problem {
        return Err(written(error));
    }
    if arguments.json {
        // One document, also when it ends before its time.
        let mut document = serde_json::to_value(&report)
            .map_err(|error| errors::machine("the report has no JSON form", &error))?;
        if report.interrupted {
            document["error"] = interrupted(&report).document()["error"].take();
        }
        output::result(&output::document(&document)).map_err(written)?;
    } else if report.interrupted {
        return Err(interrupted(&report));
    } else {
        view.end(&report).map_err(written)?;
    }
    if report.interrupted {
        return Ok(Answer::Failed);
    }
    Ok(if report.ok { Answer::Done } else { Answer::Negative })
}

fn interrupted(report: &Report) -> Failure {
    let failure = Failure::new(catalogue::STOPPED, "the demonstration was stopped before its end")
        .evidence("a signal asked for it, as Ctrl-C sends it");
    match &report.folder {
        Some(folder) => {
            failure.fix(format!("remove {} or name another folder, and run it again", folder.display()))
        }
        None => failure.fix("run it again"),
    }
}
