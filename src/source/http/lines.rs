//! A body of NDJSON -> messages at offsets.

use crate::change::{Offset, PartitionId};
use crate::decode::Message;

/// A message a line, blank ones left out, at offsets that begin with `first`.
pub fn messages(partition: PartitionId, first: u64, body: &[u8]) -> impl Iterator<Item = Message<'_>> {
    lines(body).zip(first..).map(move |(line, offset)| Message {
        topic: "",
        partition,
        offset: Offset(offset),
        key: None,
        value: Some(line),
        headers: &[],
        timestamp_ms: None,
    })
}

/// The lines of a body that are not blank.
fn lines(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut start = 0;
    memchr::memchr_iter(b'\n', body)
        .chain([body.len()])
        .map(move |end| {
            let line = body[start..end].trim_ascii();
            start = (end + 1).min(body.len());
            line
        })
        .filter(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::lines;

    #[test]
    fn a_body_is_split_as_a_text_file_is() {
        let check = |body: &str, expected: &[&str]| {
            let found: Vec<&str> = lines(body.as_bytes())
                .map(|line| std::str::from_utf8(line).unwrap())
                .collect();
            assert_eq!(found, expected, "{body:?}");
        };
        check("", &[]);
        check("\n \r\n\n", &[]);
        check("a", &["a"]);
        check("a\n", &["a"]);
        check("a\r\nb\n\n c ", &["a", "b", "c"]);
        check("\na\nb", &["a", "b"]);
    }
}
