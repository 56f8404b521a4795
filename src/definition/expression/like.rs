//! SQL `LIKE`.

/// Whether all of `text` matches. An escape at the end of the pattern stands for itself.
///
/// After a mismatch only the last `%` takes one character more: that suffices, and bounds the time by the
/// product of both lengths.
pub(super) fn matches(text: &str, pattern: &str, escape: char, ignore_case: bool) -> bool {
    let pattern = parse(pattern, escape);
    let mut rest = text.chars();
    let mut at = 0;
    let mut last_any = None;
    loop {
        let mut after = rest.clone();
        match (pattern.get(at), after.next()) {
            (None, None) => return true,
            (Some(Piece::Any), _) => {
                at += 1;
                last_any = Some((at, rest.clone()));
                continue;
            }
            // With less text left, what follows the last `%` cannot match either.
            (Some(_), None) => return false,
            (Some(piece), Some(c)) if piece.accepts(c, ignore_case) => {
                at += 1;
                rest = after;
                continue;
            }
            (_, Some(_)) => {}
        }
        let Some((after_any, from)) = &mut last_any else {
            return false;
        };
        from.next();
        at = *after_any;
        rest = from.clone();
    }
}

enum Piece {
    /// `%`
    Any,
    /// `_`
    One,
    Char(char),
}

impl Piece {
    fn accepts(&self, c: char, ignore_case: bool) -> bool {
        match self {
            Piece::Any => false,
            Piece::One => true,
            Piece::Char(expected) if ignore_case => expected.to_lowercase().eq(c.to_lowercase()),
            Piece::Char(expected) => *expected == c,
        }
    }
}

fn parse(pattern: &str, escape: char) -> Vec<Piece> {
    let mut chars = pattern.chars();
    let mut pieces = Vec::new();
    while let Some(c) = chars.next() {
        pieces.push(match c {
            c if c == escape => Piece::Char(chars.next().unwrap_or(c)),
            '%' => Piece::Any,
            '_' => Piece::One,
            c => Piece::Char(c),
        });
    }
    pieces
}
