//! A document's path -> the key texts it may mean.
//!
//! Clients differ: `acme/28` comes as `acme/28` or as `acme%2F28`, and a part that holds a slash as a part of
//! the key's text, escaped once more (`a%252Fb/28`), or escaped as any part of a path is (`a%2Fb/28`).

/// The key texts that a path may mean, likeliest first: the decoded text, then its segments as parts of a key.
pub fn key_texts(decoded: &str, path: &str) -> Vec<String> {
    let mut texts = vec![decoded.to_owned()];
    // /v1/indexes/{index}/documents/{key}
    let parts = path.splitn(6, '/').nth(5).and_then(as_parts);
    texts.extend(parts.filter(|parts| parts != decoded));
    texts
}

/// Each segment decoded, and escaped again as in `Key::to_text`.
fn as_parts(raw: &str) -> Option<String> {
    let parts: Option<Vec<String>> = raw
        .split('/')
        .map(|segment| Some(percent_decode(segment)?.replace('%', "%25").replace('/', "%2F")))
        .collect();
    Some(parts?.join("/"))
}

/// `None` where the bytes are not UTF-8. A `%` that starts no escape stands for itself.
fn percent_decode(text: &str) -> Option<String> {
    let mut pieces = text.split('%');
    let mut bytes = pieces.next()?.as_bytes().to_vec();
    for piece in pieces {
        let escaped = piece
            .split_at_checked(2)
            .filter(|(hex, _)| hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match escaped.and_then(|(hex, rest)| Some((u8::from_str_radix(hex, 16).ok()?, rest))) {
            Some((byte, rest)) => {
                bytes.push(byte);
                bytes.extend_from_slice(rest.as_bytes());
            }
            None => {
                bytes.push(b'%');
                bytes.extend_from_slice(piece.as_bytes());
            }
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{Datum, Key};

    fn check(segment: &str, decoded: &str, expected: &[&str]) {
        let path = format!("/v1/indexes/shop/documents/{segment}");
        assert_eq!(key_texts(decoded, &path), expected, "{segment}");
    }

    #[test]
    fn each_way_to_write_a_key_in_a_path_leads_to_its_text() {
        check("28", "28", &["28"]);
        check("acme/28", "acme/28", &["acme/28"]);
        check("acme%2F28", "acme/28", &["acme/28", "acme%2F28"]);
        check("r%C3%B6d%20shoe", "röd shoe", &["röd shoe"]);
        check("50%25", "50%", &["50%", "50%25"]);
        check(
            "50%/7%zz%+f",
            "50%/7%zz%+f",
            &["50%/7%zz%+f", "50%25/7%25zz%25+f"],
        );

        let slash = Key::new(vec![Datum::text("a/b %"), Datum::Int(28)]).to_string();
        assert_eq!(slash, "a%2Fb %25/28");
        check("a%252Fb%20%2525%2F28", &slash, &[&slash, "a%252Fb %2525%2F28"]);
        check("a%252Fb%20%2525/28", &slash, &[&slash, "a%252Fb %2525/28"]);
        check("a%2Fb%20%25/28", "a/b %/28", &["a/b %/28", &slash]);
    }

    #[test]
    fn bytes_that_are_no_text_have_no_second_meaning() {
        check(
            "%FF",
            "never asked: the decoder refused it",
            &["never asked: the decoder refused it"],
        );
    }
}
