//! The parent: which tests exist, which of them run, and what their results are.

use std::fmt;
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use super::arguments::Arguments;
use super::child::{self, Ended};
use super::controls::{CONTROLS, Control};
use super::driver::{Driver, drivers};
use super::scenario::{PASSED, Room, Scenario};
use crate::support::{INSTALL, Validation};

/// The setting that enables the layer's detection of hazards between submissions. The layer reads
/// it when the instance is created. Its separator is the colon.
const HAZARDS_BETWEEN_SUBMITS: &str = "VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION:\
     VALIDATION_CHECK_ENABLE_SYNCHRONIZATION_VALIDATION_QUEUE_SUBMIT";

const DEADLINE: Duration = Duration::from_secs(60);
const DEEP_DEADLINE: Duration = Duration::from_secs(600);

/// One line of the report.
enum Test<'a> {
    /// A control of the harness itself, which needs no driver.
    Control(&'static Control),
    /// A scenario on a driver.
    Scenario { driver: &'a Driver, scenario: &'a Scenario, deep: bool },
}

impl fmt::Display for Test<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Control(control) => write!(out, "harness::{}", control.name),
            Self::Scenario { driver, scenario, deep } => {
                let deep = if *deep { "deep::" } else { "" };
                write!(out, "{}::{deep}{}", driver.name, scenario.name)
            }
        }
    }
}

/// The result of a test. `ended` is `None` if no child ran.
struct Outcome {
    failure: Option<String>,
    ended: Option<Ended>,
}

/// The whole program: the parent, or the child that the parent started.
pub(crate) fn main(scenarios: &[Scenario]) -> ExitCode {
    let arguments = match Arguments::parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
    };
    let drivers = match drivers() {
        Ok(drivers) => drivers,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
    };
    let tests = all_tests(&drivers, scenarios);
    if let Some(name) = &arguments.child {
        run_as_child(&tests, name);
        return ExitCode::SUCCESS;
    }
    let in_sets = |test: &Test<'_>| match test {
        Test::Scenario { deep: true, .. } => arguments.deep_set,
        _ => arguments.default_set,
    };
    let selected: Vec<&Test<'_>> =
        tests.iter().filter(|test| arguments.selects(&test.to_string())).collect();
    let filtered_out = tests.len() - selected.len();
    let (selected, ignored): (Vec<_>, Vec<_>) =
        selected.into_iter().partition(|test| in_sets(test));
    if arguments.list {
        for test in selected {
            println!("{test}: test");
        }
        return ExitCode::SUCCESS;
    }
    report(&selected, &arguments, ignored.len(), filtered_out)
}

/// Every test, in the order of the report.
fn all_tests<'a>(drivers: &'a [Driver], scenarios: &'a [Scenario]) -> Vec<Test<'a>> {
    let mut tests: Vec<Test<'a>> = CONTROLS.iter().map(Test::Control).collect();
    for scenario in scenarios {
        for driver in drivers {
            tests.push(Test::Scenario { driver, scenario, deep: false });
            if scenario.deep {
                tests.push(Test::Scenario { driver, scenario, deep: true });
            }
        }
    }
    tests
}

/// Runs one test in this process. A panic ends the process.
fn run_as_child(tests: &[Test<'_>], name: &str) {
    match tests.iter().find(|test| test.to_string() == name) {
        Some(Test::Control(control)) => (control.run)(),
        Some(Test::Scenario { driver, scenario, deep }) => {
            (scenario.run)(&Room { scenario, driver: driver.name, deep: *deep });
        }
        _ => panic!("there is no test {name}"),
    }
    println!("{PASSED}");
}

/// Runs the tests, several at once, and prints a line for each when it ends.
fn report(
    tests: &[&Test<'_>],
    arguments: &Arguments,
    ignored: usize,
    filtered_out: usize,
) -> ExitCode {
    let start = Instant::now();
    println!("\nrunning {} tests", tests.len());
    let waiting = Mutex::new(tests.iter());
    let failed = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..arguments.jobs.min(tests.len()) {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().expect("no holder panics").next();
                    let Some(test) = next else { break };
                    let outcome = run_in_child(test);
                    let mut failed = failed.lock().expect("no holder panics");
                    print(test, &outcome, arguments.show_output);
                    if outcome.failure.is_some() {
                        failed.push(test.to_string());
                    }
                }
            });
        }
    });
    let mut failed = failed.into_inner().expect("no holder panics");
    failed.sort();
    if !failed.is_empty() {
        println!("\nfailures:");
        for name in &failed {
            println!("    {name}");
        }
    }
    println!(
        "\ntest result: {}. {} passed; {} failed; {ignored} ignored; 0 measured; {filtered_out} \
         filtered out; finished in {:.2}s\n",
        if failed.is_empty() { "ok" } else { "FAILED" },
        tests.len() - failed.len(),
        failed.len(),
        start.elapsed().as_secs_f64(),
    );
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(101) }
}

fn print(test: &Test<'_>, outcome: &Outcome, show_output: bool) {
    let verdict = if outcome.failure.is_some() { "FAILED" } else { "ok" };
    let Some(ended) = &outcome.ended else {
        println!("test {test} ... {verdict}");
        if let Some(failure) = &outcome.failure {
            println!("     {failure}");
        }
        return;
    };
    let device = ended.device.as_ref().map(|name| format!(" on {name}")).unwrap_or_default();
    println!("test {test} ... {verdict} ({:.2} s{device})", ended.time.as_secs_f64());
    for note in &ended.notes {
        println!("     {note}");
    }
    if let Some(failure) = &outcome.failure {
        println!("     {failure}; its last lines:");
        for line in ended.last_lines() {
            println!("     | {line}");
        }
    } else if show_output {
        print!("{}", ended.output);
    }
}

/// Runs a test in a child and evaluates how it ended.
fn run_in_child(test: &Test<'_>) -> Outcome {
    let start =
        |deadline, prepare: &dyn Fn(&mut Command)| child::run(&test.to_string(), deadline, prepare);
    let ended = match test {
        Test::Control(control) => start(control.deadline, &|_| {}),
        Test::Scenario { driver, .. } if !driver.found => {
            let words = format!("is not installed; on Debian or Ubuntu it comes by: {INSTALL}");
            return Outcome { failure: Some(format!("{} {words}", driver.name)), ended: None };
        }
        Test::Scenario { driver, scenario, deep } => {
            start(if *deep { DEEP_DEADLINE } else { DEADLINE }, &|command| {
                driver.expose(command);
                if scenario.validation == Some(Validation::Synchronization) {
                    command.env("VK_LAYER_ENABLES", HAZARDS_BETWEEN_SUBMITS);
                }
            })
        }
    };
    let ended = match ended {
        Ok(ended) => ended,
        Err(error) => {
            return Outcome { failure: Some(format!("no child: {error}")), ended: None };
        }
    };
    let failure = match test {
        Test::Control(control) => judge(control, &ended),
        _ => ended.failure.clone(),
    };
    Outcome { failure, ended: Some(ended) }
}

/// A control holds if its child was observed to fail in the expected way.
fn judge(control: &Control, ended: &Ended) -> Option<String> {
    match &ended.failure {
        None => Some("the child passed, but it must fail".to_owned()),
        Some(seen) if !seen.contains(control.expected) => {
            Some(format!("the child must be seen to fail by {:?}, but {seen}", control.expected))
        }
        Some(_) if !ended.output.contains(control.last_words) => {
            Some("the child's last words are lost".to_owned())
        }
        Some(_) => None,
    }
}
