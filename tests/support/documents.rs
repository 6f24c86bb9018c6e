//! The documents of the project: its Markdown pages, their fenced blocks, and the commands in these.

use std::fs;
use std::path::{Path, PathBuf};

/// Returns a path below the top folder of the project.
#[must_use]
pub fn top(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// A Markdown page.
#[derive(Clone, Debug)]
pub struct Page {
    /// Path of the file, relative to the top folder.
    pub path: String,
    /// Its whole text.
    pub text: String,
}

/// A fenced block of a page.
#[derive(Clone, Debug)]
pub struct Block<'p> {
    /// Number of the line of the opening fence.
    pub line: usize,
    /// Info string of the fence.
    pub language: &'p str,
    /// Text between the fences.
    pub text: &'p str,
    /// Text between the block before this one and this one.
    pub before: &'p str,
}

/// A command, and what the page prints below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command<'p> {
    /// Number of its first line in the page.
    pub line: usize,
    /// One command of the shell, which may have several lines.
    pub text: String,
    /// Lines that it prints; empty if the page does not show them.
    pub output: Vec<&'p str>,
}

impl Page {
    /// Reads a page.
    ///
    /// # Panics
    /// If the file cannot be read.
    #[must_use]
    pub fn read(path: &str) -> Self {
        let text = fs::read_to_string(top(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        Self { path: path.to_owned(), text }
    }

    /// Returns the fenced blocks.
    #[must_use]
    pub fn blocks(&self) -> Vec<Block<'_>> {
        let mut blocks = Vec::new();
        let mut opening: Option<(usize, &str, usize)> = None;
        let (mut position, mut end_of_last) = (0, 0);
        for (number, line) in (1..).zip(self.text.split_inclusive('\n')) {
            let start = position;
            position += line.len();
            let Some(info) = line.strip_prefix("```") else { continue };
            if let Some((line, language, body)) = opening.take() {
                let before = self.text.get(end_of_last..body).unwrap_or_default();
                let before = before.rsplit_once("```").map_or(before, |(before, _)| before);
                let text = self.text.get(body..start).unwrap_or_default();
                blocks.push(Block { line, language, text, before });
                end_of_last = position;
            } else {
                opening = Some((number, info.trim(), position));
            }
        }
        blocks
    }

    /// Returns the code spans outside of the blocks, each in one line.
    #[must_use]
    pub fn spans(&self) -> Vec<String> {
        let mut outside = String::new();
        let mut in_block = false;
        for line in self.text.lines() {
            let is_fence = line.starts_with("```");
            in_block ^= is_fence;
            // A span does not go beyond its paragraph.
            let line = if is_fence || line.trim().is_empty() { "\n" } else { line };
            if is_fence || !in_block {
                outside.push_str(line);
                outside.push(if line == "\n" { '\n' } else { ' ' });
            }
        }
        let paragraphs = outside.split('\n');
        paragraphs.flat_map(|text| text.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
    }
}

impl<'p> Block<'p> {
    /// Returns whether the block is the content of an executable file, not commands.
    #[must_use]
    pub fn is_script(&self) -> bool {
        self.text.starts_with("#!")
    }

    /// Returns the commands of a block of `console` or `sh`; none of another block.
    #[must_use]
    pub fn commands(&self) -> Vec<Command<'p>> {
        match self.language {
            "console" => self.console(),
            "sh" if !self.is_script() => self.shell(),
            _ => Vec::new(),
        }
    }

    /// Commands begin with `$ `, their further lines with `> `, unless the line before ends with a backslash.
    fn console(&self) -> Vec<Command<'p>> {
        let mut commands: Vec<Command<'p>> = Vec::new();
        for (line, text) in (self.line + 1..).zip(self.text.lines()) {
            let last = commands.last_mut();
            match (text.strip_prefix("$ "), last) {
                (Some(start), _) => {
                    commands.push(Command { line, text: start.to_owned(), output: Vec::new() });
                }
                (None, Some(last)) if last.output.is_empty() && last.text.ends_with('\\') => {
                    last.text.push('\n');
                    last.text.push_str(text);
                }
                (None, Some(last)) if last.output.is_empty() && text.starts_with("> ") => {
                    last.text.push('\n');
                    last.text.push_str(text.trim_start_matches("> "));
                }
                (None, Some(last)) => last.output.push(text),
                (None, None) => {}
            }
        }
        commands.retain(|command| !command.text.starts_with('#'));
        commands
    }

    /// Each line is a command, except for further lines after a backslash or of a here-document.
    fn shell(&self) -> Vec<Command<'p>> {
        let mut commands: Vec<Command<'p>> = Vec::new();
        let (mut continued, mut delimiter) = (false, None);
        for (line, text) in (self.line + 1..).zip(self.text.lines()) {
            let in_document = delimiter.is_some();
            match commands.last_mut() {
                Some(last) if continued || in_document => {
                    last.text.push('\n');
                    last.text.push_str(text);
                }
                _ if text.trim().is_empty() || text.starts_with('#') => continue,
                _ => commands.push(Command { line, text: text.to_owned(), output: Vec::new() }),
            }
            if in_document {
                delimiter = delimiter.filter(|end| *end != text);
            } else {
                delimiter = text.split_once("<<").map(|(_, end)| end.trim_matches(['\'', '"', ' ']));
            }
            continued = delimiter.is_none() && text.ends_with('\\');
        }
        commands
    }
}

/// Returns the Markdown pages of the project.
#[must_use]
pub fn pages() -> Vec<Page> {
    let mut paths = Vec::new();
    collect(&top(""), "", &mut paths);
    paths.sort();
    paths.iter().map(|path| Page::read(path)).collect()
}

/// Adds the pages in a folder and its subfolders, without built and downloaded files.
fn collect(folder: &Path, name: &str, paths: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("a folder can be read") {
        let entry = entry.expect("an entry can be read");
        let file = entry.file_name().to_string_lossy().into_owned();
        let path = if name.is_empty() { file.clone() } else { format!("{name}/{file}") };
        let hidden = file.starts_with('.') && file != ".github";
        if hidden || ["target", "node_modules", "corpus"].contains(&file.as_str()) {
            continue;
        }
        if entry.file_type().expect("an entry has a type").is_dir() {
            collect(&entry.path(), &path, paths);
        } else if Path::new(&file).extension().is_some_and(|extension| extension == "md") {
            paths.push(path);
        }
    }
}
