//! A push as its log holds it: a head with a checksum, the idempotency key, the body.
//!
//! Lines have offsets that go on from frame to frame, so a frame that is damaged shows as a gap between its
//! neighbours.

use memchr::memmem;
use xxhash_rust::xxh3::Xxh3;

/// Begins every frame. The digit is the version of the format.
const MAGIC: [u8; 8] = *b"\xffpush\x001\n";

/// Magic, checksum, first offset, time, lines, dead letters, length of the body, length of the key.
const HEAD_BYTES: usize = 8 + 8 + 8 + 8 + 4 + 4 + 4 + 1;

/// Places behind damage that are tried for a whole frame. Only a body that imitates frames has more of them.
const CANDIDATES_MAX: usize = 64;

/// One push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The offset of its first line.
    pub first: u64,
    /// Lines that are not blank: each has an offset.
    pub lines: u32,
    pub dead_letters: u32,
    /// When it was taken, in milliseconds since 1970.
    pub taken_ms: u64,
    /// Empty where the push had none; at most 255 bytes.
    pub key: &'a str,
    pub body: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The offset after its last line.
    pub fn end(&self) -> u64 {
        self.first.saturating_add(self.lines.into())
    }

    /// What stands in the log before the body.
    pub fn head(&self) -> Vec<u8> {
        let mut rest = Vec::with_capacity(HEAD_BYTES + self.key.len());
        rest.extend(self.first.to_le_bytes());
        rest.extend(self.taken_ms.to_le_bytes());
        rest.extend(self.lines.to_le_bytes());
        rest.extend(self.dead_letters.to_le_bytes());
        // A body has at most 64 MiB and a key 255 bytes: who takes a push sees to it.
        rest.extend((self.body.len() as u32).to_le_bytes());
        rest.push(self.key.len() as u8);
        rest.extend(self.key.as_bytes());
        let mut head = Vec::with_capacity(HEAD_BYTES + self.key.len());
        head.extend(MAGIC);
        head.extend(checksum(&rest, self.body).to_le_bytes());
        head.append(&mut rest);
        head
    }

    /// The frame at the start of `bytes` and its length there, if it is whole.
    fn parse(bytes: &'a [u8]) -> Option<(Frame<'a>, usize)> {
        let rest = bytes.strip_prefix(&MAGIC)?;
        let (expected, rest) = take_u64(rest)?;
        let head = rest;
        let (first, rest) = take_u64(rest)?;
        let (taken_ms, rest) = take_u64(rest)?;
        let (lines, rest) = take_u32(rest)?;
        let (dead_letters, rest) = take_u32(rest)?;
        let (body_bytes, rest) = take_u32(rest)?;
        let (&key_bytes, rest) = rest.split_first()?;
        let (key, rest) = rest.split_at_checked(key_bytes.into())?;
        let (body, after) = rest.split_at_checked(usize::try_from(body_bytes).ok()?)?;
        let head = &head[..head.len() - rest.len()];
        if checksum(head, body) != expected {
            return None;
        }
        let frame = Frame {
            first,
            lines,
            dead_letters,
            taken_ms,
            key: std::str::from_utf8(key).ok()?,
            body,
        };
        Some((frame, bytes.len() - after.len()))
    }
}

/// The frames of a segment that are whole, in order. What is damaged is left out.
pub fn frames(mut bytes: &[u8]) -> impl Iterator<Item = Frame<'_>> {
    std::iter::from_fn(move || {
        let (frame, length) = Frame::parse(bytes).or_else(|| {
            let candidates = memmem::find_iter(bytes, &MAGIC).take(CANDIDATES_MAX);
            let mut whole = candidates.filter_map(|start| {
                let (frame, length) = Frame::parse(bytes.get(start..)?)?;
                Some((frame, start + length))
            });
            whole.next()
        })?;
        bytes = bytes.get(length..)?;
        Some(frame)
    })
}

fn checksum(head: &[u8], body: &[u8]) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(head);
    hash.update(body);
    hash.digest()
}

fn take_u64(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u64::from_le_bytes(*number), rest))
}

fn take_u32(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u32::from_le_bytes(*number), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame<'a>(first: u64, key: &'a str, body: &'a [u8]) -> Frame<'a> {
        Frame {
            first,
            lines: 1,
            dead_letters: 0,
            taken_ms: 7,
            key,
            body,
        }
    }

    fn written(frames: &[Frame<'_>]) -> Vec<u8> {
        let bytes = frames
            .iter()
            .flat_map(|frame| [frame.head(), frame.body.to_vec()]);
        bytes.flatten().collect()
    }

    #[test]
    fn frames_are_read_as_they_were_written() {
        let key = "k".repeat(255);
        let all = [frame(3, "", b"{}"), frame(4, &key, b""), frame(5, "a", b"x\ny")];
        assert_eq!(frames(&written(&all)).collect::<Vec<_>>(), all);
        assert_eq!(frames(b"").count(), 0);
    }

    #[test]
    fn a_torn_tail_ends_the_frames_wherever_it_was_torn() {
        let all = [frame(0, "a", b"first"), frame(1, "b", b"second")];
        let (whole, bytes) = (written(&all[..1]).len(), written(&all));
        for length in 0..bytes.len() {
            let found: Vec<_> = frames(&bytes[..length]).collect();
            assert_eq!(found, all[..usize::from(length >= whole)], "of {length} bytes");
        }
    }

    #[test]
    fn any_flipped_bit_costs_its_frame_and_no_other() {
        let all = [
            frame(0, "a", b"first"),
            frame(1, "b", b"second"),
            frame(2, "", b"third"),
        ];
        let bytes = written(&all);
        let (start, end) = (written(&all[..1]).len(), written(&all[..2]).len());
        for bit in start * 8..end * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let found: Vec<_> = frames(&damaged).collect();
            assert_eq!(found, [all[0], all[2]], "bit {bit}");
        }
    }
}
