//! The health of tokens in the text format of Prometheus.

use std::collections::HashMap;
use std::fmt::Write;
use std::time::Duration;

use taskseal_hsm::{Health, Histogram};

use super::tokens::health;

/// Returns the health of every open token in the text format of Prometheus; an empty text if no token is open.
#[must_use]
pub fn metrics() -> String {
    let tokens = distinct(health());
    let mut text = String::new();
    if tokens.is_empty() {
        return text;
    }
    for family in &FAMILIES {
        family.write(&mut text, &tokens);
    }
    signing(&mut text, &tokens);
    text
}

/// A metric of every token: one sample for each set of further labels.
struct Family {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    samples: fn(&Health) -> Vec<(&'static str, u64)>,
}

const FAMILIES: [Family; 7] = [
    Family {
        name: "taskseal_hsm_up",
        kind: "gauge",
        help: "Whether the token can be used.",
        samples: |health| vec![("", u64::from(health.is_up()))],
    },
    Family {
        name: "taskseal_hsm_recoveries_total",
        kind: "counter",
        help: "Recoveries of the token by what had to be renewed.",
        samples: |health| {
            vec![
                (",level=\"session\"", health.session_recoveries),
                (",level=\"login\"", health.login_recoveries),
                (",level=\"library\"", health.library_recoveries),
            ]
        },
    },
    Family {
        name: "taskseal_hsm_faulty_answers_total",
        kind: "counter",
        help: "Wrong answers of the token that were detected and not used.",
        samples: |health| vec![("", health.faulty_answers)],
    },
    Family {
        name: "taskseal_hsm_agreements_total",
        kind: "counter",
        help: "Key agreements.",
        samples: |health| vec![("", health.agreements)],
    },
    Family {
        name: "taskseal_hsm_pin_count_low",
        kind: "gauge",
        help: "Whether the token has counted wrong PINs.",
        samples: |health| vec![("", u64::from(health.pin_count_low))],
    },
    Family {
        name: "taskseal_hsm_sessions",
        kind: "gauge",
        help: "Sessions of the pool.",
        samples: |health| {
            vec![
                (",state=\"open\"", count(health.pool_size)),
                (",state=\"in_use\"", count(health.pool_in_use)),
                (",state=\"limit\"", count(health.pool_limit)),
                (",state=\"abandoned\"", count(health.abandoned)),
            ]
        },
    },
    Family {
        name: "taskseal_hsm_waiting",
        kind: "gauge",
        help: "Calls that wait for a session.",
        samples: |health| vec![("", count(health.queued))],
    },
];

impl Family {
    fn write(&self, text: &mut String, tokens: &[(String, Health)]) {
        let Self { name, kind, help, samples } = self;
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (token, health) in tokens {
            for (labels, value) in samples(health) {
                // Names of tokens are percent-encoded, so they contain no quotation mark.
                let _ = writeln!(text, "{name}{{token=\"{token}\"{labels}}} {value}");
            }
        }
    }
}

/// Numbers the entries of a token that was opened under several URIs: a collector drops a file in which a series occurs
/// twice.
fn distinct(tokens: Vec<(String, Health)>) -> Vec<(String, Health)> {
    let mut seen: HashMap<String, u32> = HashMap::new();
    let number = |(name, health): (String, Health)| {
        let count = seen.entry(name.clone()).or_default();
        *count += 1;
        (if *count == 1 { name } else { format!("{name} #{count}") }, health)
    };
    tokens.into_iter().map(number).collect()
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

fn signing(text: &mut String, tokens: &[(String, Health)]) {
    let name = "taskseal_hsm_sign_seconds";
    let _ = writeln!(text, "# HELP {name} Duration of signatures in the token.\n# TYPE {name} histogram");
    for (token, health) in tokens {
        let signing = health.signing;
        for (bound, count) in Histogram::BOUNDS.iter().zip(signing.buckets) {
            let bound = Duration::from_micros(*bound).as_secs_f64();
            let _ = writeln!(text, "{name}_bucket{{token=\"{token}\",le=\"{bound}\"}} {count}");
        }
        let _ = writeln!(text, "{name}_bucket{{token=\"{token}\",le=\"+Inf\"}} {}", signing.count);
        let _ = writeln!(text, "{name}_sum{{token=\"{token}\"}} {}", signing.sum.as_secs_f64());
        let _ = writeln!(text, "{name}_count{{token=\"{token}\"}} {}", signing.count);
    }
}
