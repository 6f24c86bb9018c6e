//! The text format of Prometheus, version 0.0.4, for the metrics of this process and of its tokens.

use std::fmt::{self, Display, Write};

#[cfg(test)]
mod tests;

/// The value of a sample.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Value {
    /// A count.
    Integer(u64),
    /// A measured value.
    Float(f64),
}

impl Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Integer(value) => value.fmt(f),
            Self::Float(f64::INFINITY) => f.write_str("+Inf"),
            Self::Float(f64::NEG_INFINITY) => f.write_str("-Inf"),
            Self::Float(value) => value.fmt(f),
        }
    }
}

/// Appends the lines that begin a family of metrics: its description, if it has one, and its type. The samples of the
/// family follow without other lines between them.
pub fn write_family(text: &mut String, name: &str, kind: &str, help: Option<&str>) {
    if let Some(help) = help {
        let _ = writeln!(text, "# HELP {name} {}", EscapedText { text: help, quoted: false });
    }
    let _ = writeln!(text, "# TYPE {name} {kind}");
}

/// Appends the line of a sample. The names of the metric and of its labels must be valid; any label value is.
pub fn write_sample(text: &mut String, name: &str, labels: &[(&str, &str)], value: Value) {
    text.push_str(name);
    let mut separator = '{';
    for (label, value) in labels {
        let _ = write!(text, "{separator}{label}=\"{}\"", EscapedText { text: value, quoted: true });
        separator = ',';
    }
    if separator == ',' {
        text.push('}');
    }
    let _ = writeln!(text, " {value}");
}

/// A description, or a label value between quotation marks, with the escapes of the format.
struct EscapedText<'a> {
    text: &'a str,
    quoted: bool,
}

impl Display for EscapedText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.chars().try_for_each(|character| match character {
            '\\' => f.write_str("\\\\"),
            '\n' => f.write_str("\\n"),
            '"' if self.quoted => f.write_str("\\\""),
            _ => f.write_char(character),
        })
    }
}
