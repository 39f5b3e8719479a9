//! What fio reports.

use std::time::Duration;

use serde::Deserialize;

use crate::sample::Sample;
use crate::workload::{Operation, Workload};

/// `--output-format=json`, as far as it is read.
#[derive(Debug, Deserialize)]
struct Report {
    jobs: Vec<Job>,
}

#[derive(Debug, Deserialize)]
struct Job {
    error: i64,
    read: Direction,
    write: Direction,
}

#[derive(Debug, Deserialize)]
struct Direction {
    io_bytes: u64,
    total_ios: u64,
    /// Milliseconds from the first request to the last completion.
    runtime: u64,
    short_ios: u64,
}

/// What a report says was moved.
pub(super) fn sample(report: &str, workload: &Workload) -> Result<Sample, String> {
    let report: Report =
        serde_json::from_str(report).map_err(|error| format!("cannot be read: {error}"))?;
    let [job] = report.jobs.as_slice() else {
        return Err(format!("tells of {} jobs", report.jobs.len()));
    };
    if job.error != 0 {
        return Err(format!("tells of the error {}", job.error));
    }
    let (done, other) = match workload.operation {
        Operation::Read => (&job.read, &job.write),
        Operation::Write => (&job.write, &job.read),
    };
    let whole = done.total_ios.checked_mul(u64::from(workload.block)) == Some(done.io_bytes);
    if done.io_bytes == 0
        || !whole
        || done.short_ios != 0
        || other.total_ios != 0
        || done.runtime == 0
    {
        return Err(format!("is not one of a {workload}: {job:?}"));
    }
    Ok(Sample {
        bytes: done.io_bytes,
        commands: done.total_ios,
        elapsed: Duration::from_millis(done.runtime),
        cpu: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As fio 3.33 writes it, with fields that nobody reads here left out.
    fn report(read: &str, error: i32) -> String {
        let none = r#"{"io_bytes":0,"total_ios":0,"runtime":0,"short_ios":0}"#;
        format!(
            r#"{{"fio version":"fio-3.33","jobs":[{{"jobname":"load","error":{error},
            "read":{read},"write":{none},"usr_cpu":12.5}}],"disk_util":[]}}"#
        )
    }

    const GOOD: &str =
        r#"{"io_bytes":8192,"io_kbytes":8,"bw":16,"runtime":500,"total_ios":2,"short_ios":0}"#;

    #[test]
    fn bytes_requests_and_time_are_read() {
        let seen = sample(&report(GOOD, 0), &Workload::read(4096, 1)).unwrap();
        let elapsed = Duration::from_millis(500);
        assert_eq!(seen, Sample { bytes: 8192, commands: 2, elapsed, cpu: None });
    }

    #[test]
    fn a_report_that_cannot_be_true_is_an_error() {
        let cases = [
            (report(GOOD, 5), "tells of the error 5"),
            (report(&GOOD.replace("8192", "8191"), 0), "is not one of a read 4 KiB ×1"),
            (report(&GOOD.replace(r#""short_ios":0"#, r#""short_ios":1"#), 0), "is not one of"),
            (report(&GOOD.replace("500", "0"), 0), "is not one of"),
            (report(&GOOD.replace("8192", "0").replace(":2", ":0"), 0), "is not one of"),
            (report(&GOOD.replace("8192", "-1"), 0), "cannot be read"),
            (report(&GOOD.replace(":2", ":18446744073709551615"), 0), "is not one of"),
            (report(GOOD, 0)[..150].to_owned(), "cannot be read"),
            (r#"{"jobs":[]}"#.to_owned(), "tells of 0 jobs"),
            ("fio: pid=0, err=22".to_owned(), "cannot be read"),
            (String::new(), "cannot be read"),
        ];
        for (report, expected) in cases {
            let error = sample(&report, &Workload::read(4096, 1)).unwrap_err();
            assert!(error.starts_with(expected), "{report}: {error}");
        }
        let error = sample(&report(GOOD, 0), &Workload::write(4096, 1)).unwrap_err();
        assert!(error.starts_with("is not one of a write"), "{error}");
    }
}
