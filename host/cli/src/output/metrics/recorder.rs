//! The recorder of the `metrics` facade: the counters and gauges of this process, by name and labels.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

use metrics::atomics::AtomicU64;
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, SharedString, Unit};
use taskseal::telemetry::text::{self, Value};

use taskseal::small_map::SmallMap;

#[cfg(test)]
mod tests;

/// Records counters and gauges. Clones share them.
///
/// Histograms are not recorded: no metric of the worker is one. A metric that is not recorded is an error of
/// [`Recorder::render`], so that it is noticed.
#[derive(Clone, Default)]
pub(crate) struct Recorder(Arc<RwLock<Registry>>);

#[derive(Default)]
struct Registry {
    families: SmallMap<KeyName, Family>,
    /// The first metric that could not be recorded.
    invalid: Option<InvalidMetric>,
}

/// The samples of one name.
struct Family {
    kind: Kind,
    help: Option<SharedString>,
    /// Counts, or the bits of floating point numbers.
    samples: SmallMap<Key, Arc<AtomicU64>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
}

/// A metric that cannot be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InvalidMetric {
    name: String,
    reason: Reason,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Reason {
    Name,
    Label(String),
    TwoKinds,
    Histogram,
}

impl Recorder {
    /// Returns every metric in the text format of Prometheus, in the order of names and labels.
    ///
    /// # Errors
    /// [`InvalidMetric`] if one could not be recorded.
    pub(crate) fn render(&self) -> Result<String, InvalidMetric> {
        let registry = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(invalid) = &registry.invalid {
            return Err(invalid.clone());
        }
        let mut text = String::new();
        for (name, family) in registry.families.entries() {
            family.write(&mut text, name.as_str());
        }
        Ok(text)
    }

    /// Returns the value of a metric, which begins at zero.
    fn value(&self, kind: Kind, key: &Key) -> Arc<AtomicU64> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner).value(kind, key);
        known.unwrap_or_else(|| {
            let mut registry = self.write();
            registry.add(kind, key).unwrap_or_else(|invalid| {
                registry.refuse(invalid);
                Arc::default()
            })
        })
    }

    fn describe(&self, kind: Kind, name: KeyName, help: SharedString) {
        let mut registry = self.write();
        match registry.family(kind, name) {
            Ok(family) => family.help = Some(help),
            Err(invalid) => registry.refuse(invalid),
        }
    }

    fn refuse_histogram(&self, name: &str) {
        self.write().refuse(InvalidMetric::new(name, Reason::Histogram));
    }

    fn write(&self) -> RwLockWriteGuard<'_, Registry> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl metrics::Recorder for Recorder {
    fn describe_counter(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        self.describe(Kind::Counter, name, help);
    }

    fn describe_gauge(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        self.describe(Kind::Gauge, name, help);
    }

    fn describe_histogram(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
        self.refuse_histogram(name.as_str());
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.value(Kind::Counter, key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.value(Kind::Gauge, key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        self.refuse_histogram(key.name());
        Histogram::noop()
    }
}

impl Registry {
    fn value(&self, kind: Kind, key: &Key) -> Option<Arc<AtomicU64>> {
        let family = self.families.get(key.name()).filter(|family| family.kind == kind)?;
        family.samples.get(key).cloned()
    }

    fn add(&mut self, kind: Kind, key: &Key) -> Result<Arc<AtomicU64>, InvalidMetric> {
        check_labels(key)?;
        let family = self.family(kind, key.name_shared())?;
        Ok(Arc::clone(family.samples.get_or_insert(&key.to_retained(), Arc::default())))
    }

    /// Returns the family of this name, which may be new.
    fn family(&mut self, kind: Kind, name: KeyName) -> Result<&mut Family, InvalidMetric> {
        if !is_valid(name.as_str(), ":_") {
            return Err(InvalidMetric::new(name.as_str(), Reason::Name));
        }
        let new = Family { kind, help: None, samples: SmallMap::default() };
        let family = self.families.get_or_insert(&name.to_retained(), new);
        if family.kind == kind {
            Ok(family)
        } else {
            Err(InvalidMetric::new(name.as_str(), Reason::TwoKinds))
        }
    }

    fn refuse(&mut self, invalid: InvalidMetric) {
        self.invalid.get_or_insert(invalid);
    }
}

impl Family {
    fn write(&self, text: &mut String, name: &str) {
        text::write_family(text, name, self.kind.as_str(), self.help.as_deref());
        for (key, value) in self.samples.entries() {
            let labels: Vec<_> = key.labels().map(|label| (label.key(), label.value())).collect();
            let value = value.load(Ordering::Acquire);
            let value = match self.kind {
                Kind::Counter => Value::Integer(value),
                Kind::Gauge => Value::Float(f64::from_bits(value)),
            };
            text::write_sample(text, name, &labels, value);
        }
    }
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        }
    }
}

impl InvalidMetric {
    fn new(name: &str, reason: Reason) -> Self {
        Self { name: name.to_owned(), reason }
    }
}

impl fmt::Display for InvalidMetric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, reason } = self;
        match reason {
            Reason::Name => write!(f, "invalid metric name `{name}`"),
            Reason::Label(label) => write!(f, "metric `{name}`: invalid or duplicate label `{label}`"),
            Reason::TwoKinds => write!(f, "metric `{name}` is a counter and a gauge"),
            Reason::Histogram => write!(f, "metric `{name}` is a histogram, which cannot be recorded"),
        }
    }
}

impl std::error::Error for InvalidMetric {}

fn check_labels(key: &Key) -> Result<(), InvalidMetric> {
    for (index, label) in key.labels().enumerate() {
        let name = label.key();
        if !is_valid(name, "_") || key.labels().take(index).any(|before| before.key() == name) {
            return Err(InvalidMetric::new(key.name(), Reason::Label(name.to_owned())));
        }
    }
    Ok(())
}

/// Returns whether a name consists of ASCII letters, of digits after the first character, and of `punctuation`.
fn is_valid(name: &str, punctuation: &str) -> bool {
    !name.starts_with(|first: char| first.is_ascii_digit())
        && !name.is_empty()
        && name.chars().all(|character| character.is_ascii_alphanumeric() || punctuation.contains(character))
}
