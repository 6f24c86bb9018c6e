use std::collections::BTreeMap;
use std::thread;

use metrics::{Label, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use super::*;

/// Renders what `record` records.
fn rendered(record: impl FnOnce()) -> Result<String, String> {
    let recorder = Recorder::default();
    metrics::with_local_recorder(&recorder, record);
    recorder.render().map_err(|invalid| invalid.to_string())
}

#[test]
fn metric_that_is_not_recorded_is_an_error() {
    let histogram = "metric `wait` is a histogram, which cannot be recorded";
    let cases: [(&str, fn()); 8] = [
        ("invalid metric name `9th`", || counter!("9th").increment(1)),
        ("invalid metric name ``", || describe_gauge!("", "Nothing.")),
        ("invalid metric name `größe`", || gauge!("größe").set(1.0)),
        ("metric `sent`: invalid or duplicate label `a:b`", || {
            counter!("sent", "a:b" => "1").increment(1);
        }),
        ("metric `sent`: invalid or duplicate label `a`", || {
            let labels = vec![Label::new("a", "1"), Label::new("b", "1"), Label::new("a", "2")];
            counter!("sent", labels).increment(1);
        }),
        ("metric `sent` is a counter and a gauge", || {
            counter!("sent", "a" => "1").increment(1);
            gauge!("sent", "a" => "2").set(1.0);
        }),
        (histogram, || histogram!("wait").record(1.0)),
        (histogram, || describe_histogram!("wait", "Time that a task waits.")),
    ];
    for (expected, record) in cases {
        assert_eq!(rendered(record), Err(expected.to_owned()));
    }
}

#[test]
fn samples_of_one_family_follow_one_type_line_in_order() {
    let record = || {
        gauge!("size").set(2.5);
        for code in ["replayed", "expired"] {
            counter!("refused_total", "code" => code).increment(1);
        }
        describe_counter!("refused_total", "Refused tasks,\nby code.");
        counter!("a_total", "x" => "1", "y" => "2").increment(1);
        counter!("a_total", "y" => "2", "x" => "1").increment(1);
    };
    let expected = "# TYPE a_total counter\n\
                    a_total{x=\"1\",y=\"2\"} 2\n\
                    # HELP refused_total Refused tasks,\\nby code.\n\
                    # TYPE refused_total counter\n\
                    refused_total{code=\"expired\"} 1\n\
                    refused_total{code=\"replayed\"} 1\n\
                    # TYPE size gauge\n\
                    size 2.5\n";
    assert_eq!(rendered(record).unwrap(), expected);
}

#[test]
fn counter_that_is_set_never_falls_and_gauge_does() {
    let record = || {
        for value in [7, 3] {
            counter!("evicted_total").absolute(value);
        }
        gauge!("waiting").increment(2.0);
        gauge!("waiting").decrement(3.0);
        gauge!("free").set(f64::INFINITY);
    };
    let text = rendered(record).unwrap();
    assert!(text.contains("\nevicted_total 7\n"), "{text}");
    assert!(text.contains("\nwaiting -1\n") && text.contains("\nfree +Inf\n"), "{text}");
}

#[test]
fn increments_of_concurrent_threads_are_all_counted() {
    const THREADS: u64 = 8;
    const INCREMENTS: u64 = 1_000;
    let recorder = Recorder::default();

    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                metrics::with_local_recorder(&recorder, || {
                    for number in 0..INCREMENTS {
                        // Each thread may be the first to use a label.
                        counter!("sent_total", "last_digit" => (number % 10).to_string()).increment(1);
                        gauge!("open").increment(1.0);
                    }
                });
            });
        }
    });

    let text = recorder.render().unwrap();
    let values: BTreeMap<&str, &str> =
        text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(' ')).collect();
    assert_eq!(values.get("open"), Some(&&*(THREADS * INCREMENTS).to_string()));
    let counted = values.iter().filter(|(name, _)| name.starts_with("sent_total{"));
    assert_eq!(counted.clone().count(), 10);
    assert!(
        counted.into_iter().all(|(_, count)| *count == (THREADS * INCREMENTS / 10).to_string()),
        "{text}"
    );
}
