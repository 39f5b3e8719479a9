//! The words of the command line.

use core::fmt;

use heapless::String;

/// Words, separated by spaces. Double quotes keep spaces in a word (`a="b c"` is the word
/// `a=b c`), and a backslash takes the next character as it is.
#[derive(Debug)]
pub(crate) struct CommandLine {
    /// Each word ends with a zero character.
    words: String<2048>,
    cut: bool,
}

impl CommandLine {
    pub(crate) fn parse(line: &[u8]) -> Self {
        let chars = line.utf8_chunks().flat_map(|chunk| {
            let bad = (!chunk.invalid().is_empty()).then_some(char::REPLACEMENT_CHARACTER);
            chunk.valid().chars().chain(bad)
        });
        Self::from_chars(chars)
    }

    pub(crate) fn from_chars(chars: impl Iterator<Item = char>) -> Self {
        let mut line = Self { words: String::new(), cut: false };
        let (mut in_word, mut quoted, mut escaped) = (false, false, false);
        for c in chars {
            match c {
                _ if escaped => {
                    line.push(c);
                    escaped = false;
                }
                '\\' => (escaped, in_word) = (true, true),
                '"' => (quoted, in_word) = (!quoted, true),
                c if c.is_whitespace() && !quoted => {
                    if in_word {
                        line.push('\0');
                    }
                    in_word = false;
                }
                _ => {
                    line.push(c);
                    in_word = true;
                }
            }
        }
        if in_word {
            line.push('\0');
        }
        line
    }

    /// The words in order; the last is left out when it was cut off.
    pub(crate) fn words(&self) -> impl Iterator<Item = &str> {
        self.words.split_inclusive('\0').filter_map(|word| word.strip_suffix('\0'))
    }

    /// Whether the line was longer than fits, so that words are missing.
    pub(crate) const fn is_cut(&self) -> bool {
        self.cut
    }

    fn push(&mut self, c: char) {
        self.cut |= self.cut || self.words.push(c).is_err();
    }
}

impl fmt::Display for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, word) in self.words().enumerate() {
            let gap = if index == 0 { "" } else { " " };
            match word.contains(' ') {
                true => write!(f, "{gap}\"{word}\"")?,
                false => write!(f, "{gap}{word}")?,
            }
        }
        Ok(())
    }
}
