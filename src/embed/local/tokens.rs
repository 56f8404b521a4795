//! Texts -> tokens, as a model has learned them.

use tokenizers::{Encoding, PostProcessor, Tokenizer, TruncationDirection};

use super::files::Files;

/// Bytes of a text for each token that counts. What lies behind is not looked at: words are shorter, and a text of
/// megabytes would be cut into tokens for nothing.
const TOKEN_BYTES_MAX: usize = 64;

/// A text, or a pair of texts, as tokens.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tokens {
    pub ids: Vec<u32>,
    /// Which of the two texts each token is of: 0 or 1. Empty where there is one.
    pub types: Vec<u32>,
}

/// The model's tokenizer. It pads nothing.
pub struct Cutter {
    tokenizer: Tokenizer,
    /// Of a text or a pair, special ones included.
    tokens_max: usize,
    /// In the place of a text that has none.
    pad: u32,
}

impl Cutter {
    /// # Errors
    /// `tokenizer.json` is absent or damaged.
    pub fn open(files: &Files, tokens_max: usize, pad: u32) -> Result<Cutter, String> {
        let named = |error: tokenizers::Error| format!("tokenizer.json: {error}");
        let mut tokenizer = Tokenizer::from_bytes(files.bytes("tokenizer.json")?).map_err(named)?;
        // What the file says of cutting and padding is of its authors' batches.
        tokenizer
            .with_padding(None)
            .with_truncation(None)
            .map_err(named)?;
        Ok(Cutter {
            tokenizer,
            tokens_max,
            pad,
        })
    }

    /// A text, cut at its end.
    pub fn text(&self, text: &str) -> Result<Tokens, String> {
        let room = self.tokens_max.saturating_sub(self.special(false));
        let text = self.part(text, room)?;
        self.put_together(text, None)
    }

    /// Each of the texts behind the query. It is the text that is cut, but for a query of more than half of the room.
    pub fn pairs(&self, query: &str, texts: &[&str]) -> Result<Vec<Tokens>, String> {
        let room = self.tokens_max.saturating_sub(self.special(true));
        let query = self.part(query, room / 2)?;
        let pair = |text: &&str| {
            let text = self.part(text, room - query.len().min(room))?;
            self.put_together(query.clone(), Some(text))
        };
        texts.iter().map(pair).collect()
    }

    /// The first tokens of a text, without special ones.
    fn part(&self, text: &str, tokens_max: usize) -> Result<Encoding, String> {
        let end = text.floor_char_boundary(tokens_max.saturating_mul(TOKEN_BYTES_MAX));
        let encoding = self
            .tokenizer
            .encode_fast(text.get(..end).unwrap_or_default(), false);
        let mut encoding = encoding.map_err(|error| format!("the text has no tokens: {error}"))?;
        encoding.truncate(tokens_max, 0, TruncationDirection::Right);
        drop(encoding.take_overflowing());
        Ok(encoding)
    }

    /// With the special tokens.
    fn put_together(&self, first: Encoding, second: Option<Encoding>) -> Result<Tokens, String> {
        let is_pair = second.is_some();
        let whole = self.tokenizer.post_process(first, second, true);
        let whole = whole.map_err(|error| format!("the text has no tokens: {error}"))?;
        Ok(match whole.get_ids() {
            // Without special tokens an empty text has none; one that pads is as good as any.
            [] => Tokens {
                ids: vec![self.pad],
                types: Vec::new(),
            },
            ids => Tokens {
                ids: ids.to_vec(),
                types: if is_pair {
                    whole.get_type_ids().to_vec()
                } else {
                    Vec::new()
                },
            },
        })
    }

    /// How many special tokens there are around a text, or a pair.
    fn special(&self, is_pair: bool) -> usize {
        let processor = self.tokenizer.get_post_processor();
        processor.map_or(0, |processor| processor.added_tokens(is_pair))
    }
}
