//! The health of tokens in the text format of Prometheus.

use std::collections::HashMap;
use std::fmt::Write;
use std::time::Duration;

use taskseal_hsm::{Health, Histogram};

use super::health;

/// The health of every open token in the text format of Prometheus; nothing if there is none.
#[must_use]
pub fn metrics() -> String {
    let tokens = distinct(health());
    let mut text = String::new();
    if tokens.is_empty() {
        return text;
    }
    family(&mut text, &tokens, "taskseal_hsm_up", "gauge", "Whether the token can be used.", |health| {
        vec![("", u64::from(health.is_up()))]
    });
    let help = "Recoveries of the token by what had to be renewed.";
    family(&mut text, &tokens, "taskseal_hsm_recoveries_total", "counter", help, |health| {
        vec![
            (",level=\"session\"", health.session_recoveries),
            (",level=\"login\"", health.login_recoveries),
            (",level=\"library\"", health.library_recoveries),
        ]
    });
    let help = "Wrong answers of the token that were found and not used.";
    family(&mut text, &tokens, "taskseal_hsm_faulty_answers_total", "counter", help, |health| {
        vec![("", health.faulty_answers)]
    });
    family(&mut text, &tokens, "taskseal_hsm_agreements_total", "counter", "Key agreements.", |health| {
        vec![("", health.agreements)]
    });
    let help = "Whether the token has counted wrong PINs.";
    family(&mut text, &tokens, "taskseal_hsm_pin_count_low", "gauge", help, |health| {
        vec![("", u64::from(health.pin_count_low))]
    });
    family(&mut text, &tokens, "taskseal_hsm_sessions", "gauge", "Sessions of the pool.", |health| {
        vec![
            (",state=\"open\"", count(health.pool_size)),
            (",state=\"in_use\"", count(health.pool_in_use)),
            (",state=\"limit\"", count(health.pool_limit)),
            (",state=\"abandoned\"", count(health.abandoned)),
        ]
    });
    family(&mut text, &tokens, "taskseal_hsm_waiting", "gauge", "Calls that wait for a session.", |health| {
        vec![("", count(health.queued))]
    });
    signing(&mut text, &tokens);
    text
}

/// A token that was opened under two URIs is there twice. The second opening gets a number, because a collector drops a
/// file in which a series occurs twice.
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

fn family(
    text: &mut String,
    tokens: &[(String, Health)],
    name: &str,
    kind: &str,
    help: &str,
    samples: impl Fn(&Health) -> Vec<(&'static str, u64)>,
) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    for (token, health) in tokens {
        for (labels, value) in samples(health) {
            // A name of a token is percent-encoded: nothing in it ends the label.
            let _ = writeln!(text, "{name}{{token=\"{token}\"{labels}}} {value}");
        }
    }
}

fn signing(text: &mut String, tokens: &[(String, Health)]) {
    let name = "taskseal_hsm_sign_seconds";
    let _ = writeln!(text, "# HELP {name} How long signatures take in the token.\n# TYPE {name} histogram");
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
