//! The health of tokens in the text format of Prometheus.

use std::collections::HashMap;
use std::iter;
use std::time::Duration;

use taskseal_hsm::{Health, Histogram};

use super::tokens::health;
use crate::telemetry::text::{Value, write_family, write_sample};

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

/// A metric of every token: one sample for each value of a further label.
struct Family {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    samples: fn(&Health) -> Vec<Sample>,
}

/// Name and value of a further label, and the value of the sample.
type Sample = (Option<(&'static str, &'static str)>, u64);

const FAMILIES: [Family; 7] = [
    Family {
        name: "taskseal_hsm_up",
        kind: "gauge",
        help: "Whether the token can be used.",
        samples: |health| vec![(None, u64::from(health.is_up()))],
    },
    Family {
        name: "taskseal_hsm_recoveries_total",
        kind: "counter",
        help: "Recoveries of the token by what had to be renewed.",
        samples: |health| {
            vec![
                (Some(("level", "session")), health.session_recoveries),
                (Some(("level", "login")), health.login_recoveries),
                (Some(("level", "library")), health.library_recoveries),
            ]
        },
    },
    Family {
        name: "taskseal_hsm_faulty_answers_total",
        kind: "counter",
        help: "Wrong answers of the token that were detected and not used.",
        samples: |health| vec![(None, health.faulty_answers)],
    },
    Family {
        name: "taskseal_hsm_agreements_total",
        kind: "counter",
        help: "Key agreements.",
        samples: |health| vec![(None, health.agreements)],
    },
    Family {
        name: "taskseal_hsm_pin_count_low",
        kind: "gauge",
        help: "Whether the token has counted wrong PINs.",
        samples: |health| vec![(None, u64::from(health.pin_count_low))],
    },
    Family {
        name: "taskseal_hsm_sessions",
        kind: "gauge",
        help: "Sessions of the pool.",
        samples: |health| {
            vec![
                (Some(("state", "open")), count(health.pool_size)),
                (Some(("state", "in_use")), count(health.pool_in_use)),
                (Some(("state", "limit")), count(health.pool_limit)),
                (Some(("state", "abandoned")), count(health.abandoned)),
            ]
        },
    },
    Family {
        name: "taskseal_hsm_waiting",
        kind: "gauge",
        help: "Calls that wait for a session.",
        samples: |health| vec![(None, count(health.queued))],
    },
];

impl Family {
    fn write(&self, text: &mut String, tokens: &[(String, Health)]) {
        let Self { name, kind, help, samples } = self;
        write_family(text, name, kind, Some(help));
        for (token, health) in tokens {
            for (label, value) in samples(health) {
                let labels: Vec<(&str, &str)> = iter::once(("token", token.as_str())).chain(label).collect();
                write_sample(text, name, &labels, Value::Integer(value));
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
    write_family(text, name, "histogram", Some("Duration of signatures in the token."));
    let (bucket, sum, count) = (format!("{name}_bucket"), format!("{name}_sum"), format!("{name}_count"));
    for (token, health) in tokens {
        let (token, signing) = (("token", token.as_str()), health.signing);
        for (bound, count) in Histogram::BOUNDS.iter().zip(signing.buckets) {
            let bound = Duration::from_micros(*bound).as_secs_f64().to_string();
            write_sample(text, &bucket, &[token, ("le", &bound)], Value::Integer(count));
        }
        write_sample(text, &bucket, &[token, ("le", "+Inf")], Value::Integer(signing.count));
        write_sample(text, &sum, &[token], Value::Float(signing.sum.as_secs_f64()));
        write_sample(text, &count, &[token], Value::Integer(signing.count));
    }
}
