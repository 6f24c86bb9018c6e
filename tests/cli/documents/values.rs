//! Values of this run that take the place of those that a page prints.

/// Pairs of what a page prints and what a command needs instead.
#[derive(Debug, Default)]
pub(crate) struct Values(Vec<(String, String)>);

impl Values {
    pub(crate) fn set(&mut self, printed: &str, value: &str) {
        if self.get(printed).is_none() {
            self.0.push((printed.to_owned(), value.to_owned()));
        }
    }

    pub(crate) fn get(&self, printed: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == printed).map(|(_, value)| value.as_str())
    }

    /// Returns the text with each value in its place.
    pub(crate) fn apply(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (printed, value)| text.replace(printed, value))
    }
}
