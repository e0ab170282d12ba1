//! Instructions per pair: this program runs itself under callgrind, which counts only the measured
//! part.

use std::process::{Command, ExitCode, Stdio};

use fencepost_benches::contender::Contender;
use fencepost_benches::footprint::arena_bytes;
use fencepost_benches::measured::FUNCTION;
use fencepost_benches::stream::Stream;
use fencepost_benches::workloads::Workload;

use super::report::count;
use super::{Arguments, Suite};

/// Live allocations.
const LIVE: usize = 10_000;

/// Measured steps.
const STEPS: usize = 50_000;

fn stream(workload: Workload, live: usize) -> Stream {
    workload.stream(live, STEPS, 1)
}

/// Runs one subject on one workload, as named by the arguments.
pub(super) fn run_alone(arguments: &Arguments, contenders: &[Box<dyn Contender>]) -> ExitCode {
    let is = |workload: &Workload| workload.name() == arguments.workload;
    // The list of names was split at commas, and so was a name that contains one.
    let name = arguments.subject.join(",");
    let workload = Workload::ALL.into_iter().find(is);
    let found = workload.zip(contenders.iter().find(|contender| contender.name() == name));
    let ran = found.and_then(|(workload, contender)| {
        let stream = stream(workload, arguments.live[0]);
        contender.run(&stream, arena_bytes(&stream, 2.0))
    });
    if ran.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Suite {
    pub(super) fn instructions(&self) {
        self.header(
            "Instructions",
            "Of a pair of allocate and free, and of the loop around it, by callgrind; mispredicted branches by its \
             model in brackets.",
            &[],
        );
        let valgrind = Command::new("valgrind").arg("--version").stdout(Stdio::null()).status();
        if !valgrind.is_ok_and(|status| status.success()) {
            println!("\n**valgrind is not installed: no instructions were counted.**");
            eprintln!("valgrind is not installed: no instructions were counted");
            return;
        }
        for workload in [Workload::Uniform, Workload::UniformFrames, Workload::Renderer] {
            if !workload.name().contains(&self.arguments.workload) {
                continue;
            }
            let stream = stream(workload, LIVE);
            let pairs = (stream.steps.len() - stream.steady) as f64 / 2.0;
            let able = self.able(&stream).into_iter().filter(|able| !able.is_reference());
            let cells: Vec<(&str, String)> = able
                .filter_map(|contender| {
                    let (instructions, mispredicted) = counted(contender.name(), workload)?;
                    let each = |sum: u64| sum as f64 / pairs;
                    let cell = format!("{:.0} ({:.2})", each(instructions), each(mispredicted));
                    Some((contender.name(), cell))
                })
                .collect();
            self.row(&format!("{} {}", workload.name(), count(LIVE)), &cells, &[]);
        }
    }
}

/// Instructions and mispredicted branches of the measured part.
fn counted(subject: &str, workload: Workload) -> Option<(u64, u64)> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--branch-sim=yes"])
        .arg(format!("--toggle-collect=*{FUNCTION}*"))
        .arg(std::env::current_exe().ok()?)
        .args(["--loop-alone", "--live", &LIVE.to_string()])
        .args(["--workload", workload.name()])
        .args(["--subject", subject])
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        eprintln!("{subject} under callgrind: {told}");
        return None;
    }
    collected(&told)
}

/// Instructions and mispredicted branches, as reported by callgrind.
fn collected(told: &str) -> Option<(u64, u64)> {
    let counts = told.lines().find_map(|line| line.split_once("Collected :"))?.1;
    let counts: Vec<u64> =
        counts.split_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
    // Ir, Bc, Bcm, Bi, Bim; zeros at the end are omitted.
    let at = |index: usize| counts.get(index).copied().unwrap_or(0);
    (at(0) > 0).then(|| (at(0), at(2) + at(4)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_callgrind_tells_is_read() {
        let told = |counts: &str| format!("==1== Events    : Ir Bc\n==1== Collected : {counts}\n");
        assert_eq!(collected(&told("9723844 1221300 46909")), Some((9_723_844, 46_909)));
        assert_eq!(collected(&told("100 20 3 4 5")), Some((100, 8)));
        assert_eq!(collected(&told("0")), None, "nothing was counted");
        assert_eq!(collected("valgrind: no such program"), None);
    }
}
