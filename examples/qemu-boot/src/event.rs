//! The event lines that the guest writes on its serial port:
//! `@isboot stage=<name> us=<microseconds since kernel entry> key=value …`.
//!
//! A value with spaces or quotes stands in double quotes, with `\"` and `\\` as escapes.

use std::fmt;

/// What every event line starts with.
const MARK: &str = "@isboot ";

/// One event line, parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its stage, as the guest names it.
    pub stage: String,
    /// Microseconds since kernel entry.
    pub micros: u64,
    /// Everything else, in the line's order.
    pub fields: Vec<(String, String)>,
}

/// Why an event line could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// What is wrong with it.
    pub what: &'static str,
    /// The line.
    pub line: String,
}

impl fmt::Display for Malformed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.what, self.line)
    }
}

impl Event {
    /// Reads a line of the console; `None` when it is not an event line.
    ///
    /// Firmware may leave the cursor in the middle of a line, so the mark may follow other text.
    ///
    /// # Errors
    /// [`Malformed`] for a line that has the mark but not the form.
    #[must_use]
    pub fn parse(line: &str) -> Option<Result<Self, Malformed>> {
        let (_, rest) = line.split_once(MARK)?;
        Some(
            Self::parse_marked(rest.trim())
                .map_err(|what| Malformed { what, line: line.trim().to_owned() }),
        )
    }

    /// The value of a field.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        field(&self.fields, name)
    }

    /// The value of a field that counts something.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u64> {
        self.field(name)?.parse().ok()
    }

    fn parse_marked(rest: &str) -> Result<Self, &'static str> {
        let mut fields = Vec::new();
        let mut rest = rest;
        while !rest.is_empty() {
            let (key, after) = rest.split_once('=').ok_or("a word without `=`")?;
            if key.is_empty() || key.contains([' ', '"']) {
                return Err("a key that is empty or holds spaces");
            }
            let (value, after) = parse_value(after)?;
            fields.push((key.to_owned(), value));
            rest = after.trim_start();
        }
        let mut take = |name: &str| {
            let index = fields.iter().position(|(key, _)| key == name)?;
            Some(fields.remove(index).1)
        };
        let stage = take("stage").ok_or("no stage")?;
        let micros = take("us").ok_or("no time")?;
        let micros = micros.parse().map_err(|_| "a time that is not a number")?;
        Ok(Self { stage, micros, fields })
    }
}

/// The value at the start of `text`, and what follows it.
fn parse_value(text: &str) -> Result<(String, &str), &'static str> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(' ').unwrap_or(text.len());
        let (value, after) = text.split_at(end);
        if value.contains('"') {
            return Err("a quote inside a bare value");
        }
        return Ok((value.to_owned(), after));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => {
                let after = &quoted[at + 1..];
                if !(after.is_empty() || after.starts_with(' ')) {
                    return Err("text right after a closing quote");
                }
                return Ok((value, after));
            }
            '\\' => match characters.next() {
                Some((_, escaped @ ('"' | '\\'))) => value.push(escaped),
                _ => return Err("an unknown escape"),
            },
            other => value.push(other),
        }
    }
    Err("a quote that is never closed")
}

/// The line without terminal escapes and control characters, as a person would read it.
#[must_use]
pub fn plain_text(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\u{1b}' => {
                if characters.next_if_eq(&'[').is_some() {
                    // A control sequence ends with a byte of 0x40–0x7e.
                    while characters.next_if(|c| !('\u{40}'..='\u{7e}').contains(c)).is_some() {}
                }
                characters.next();
            }
            '\u{8}' => {
                text.pop();
            }
            '\t' => text.push(' '),
            other if other.is_control() => {}
            other => text.push(other),
        }
    }
    text.trim_end().to_owned()
}

/// The value of a field by its name.
pub(crate) fn field<'f>(fields: &'f [(String, String)], name: &str) -> Option<&'f str> {
    fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(line: &str) -> Event {
        Event::parse(line).unwrap().unwrap()
    }

    fn malformed(line: &str) -> &'static str {
        Event::parse(line).unwrap().unwrap_err().what
    }

    #[test]
    fn bare_and_quoted_values_are_read() {
        let event = event(
            r#"@isboot stage=disk us=1204567 index=0 vendor=ISBOOT product="istgt boot disk" serial="a\"b\\c" read_only=no"#,
        );
        assert_eq!(event.stage, "disk");
        assert_eq!(event.micros, 1_204_567);
        assert_eq!(event.field("product"), Some("istgt boot disk"));
        assert_eq!(event.field("serial"), Some(r#"a"b\c"#));
        assert_eq!(event.number("index"), Some(0));
        assert_eq!(event.field("read_only"), Some("no"));
        assert_eq!(event.field("absent"), None);
    }

    #[test]
    fn an_empty_value_is_a_value() {
        assert_eq!(
            event("@isboot stage=address us=1 gateway= origin=dhcp").field("gateway"),
            Some("")
        );
        assert_eq!(event(r#"@isboot stage=a us=1 text="""#).field("text"), Some(""));
    }

    #[test]
    fn other_lines_are_not_events() {
        assert_eq!(Event::parse("Registered SAN device 0x80"), None);
        assert_eq!(Event::parse("isboot: login done"), None);
        assert!(Event::parse("Booting...  @isboot stage=kernel us=0").is_some());
    }

    #[test]
    fn a_line_with_the_mark_but_not_the_form_is_named() {
        assert_eq!(malformed("@isboot us=1"), "no stage");
        assert_eq!(malformed("@isboot stage=read"), "no time");
        assert_eq!(malformed("@isboot stage=read us=soon"), "a time that is not a number");
        assert_eq!(malformed("@isboot stage=read us=1 alone"), "a word without `=`");
        assert_eq!(
            malformed(r#"@isboot stage=error us=1 text="half"#),
            "a quote that is never closed"
        );
        assert_eq!(malformed(r#"@isboot stage=error us=1 text="a\n""#), "an unknown escape");
        assert_eq!(
            malformed(r#"@isboot stage=error us=1 text="a"b"#),
            "text right after a closing quote"
        );
    }

    #[test]
    fn terminal_escapes_are_removed() {
        assert_eq!(
            plain_text("\u{1b}c\u{1b}[?7l\u{1b}[2J\u{1b}[0mSeaBIOS (version 1.16.2)\r\n"),
            "SeaBIOS (version 1.16.2)"
        );
        assert_eq!(plain_text("line...\u{8} \u{8}\u{8}!\r\n"), "line.!");
    }
}
