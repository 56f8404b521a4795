//! A segment's files in one: how many bytes each has, then their bytes.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tantivy::Directory;
use tantivy::directory::RamDirectory;
use tantivy::index::SegmentComponent;

use super::KeywordError;

/// Where tantivy keeps what it must know before it opens a segment.
const META: &str = "meta.json";

const COMPONENTS: [SegmentComponent; 6] = [
    SegmentComponent::Terms,
    SegmentComponent::Postings,
    SegmentComponent::Positions,
    SegmentComponent::FastFields,
    SegmentComponent::FieldNorms,
    SegmentComponent::Store,
];

pub fn write(segment: &tantivy::Segment, files: &RamDirectory, out: &mut dyn Write) -> io::Result<()> {
    let components = COMPONENTS
        .iter()
        .map(|component| segment.relative_path(component.clone()));
    let mut heads = Vec::new();
    let mut contents = Vec::new();
    for path in components.chain([PathBuf::from(META)]) {
        let content = match files.open_read(&path) {
            Ok(content) => content.read_bytes()?,
            Err(tantivy::directory::error::OpenReadError::FileDoesNotExist(_)) => continue,
            Err(error) => return Err(io::Error::other(error)),
        };
        heads.push((path.to_string_lossy().into_owned(), content.len() as u64));
        contents.push(content);
    }
    out.write_all(&postcard::to_stdvec(&heads).map_err(io::Error::other)?)?;
    contents.iter().try_for_each(|content| out.write_all(content))
}

/// The files are copied into memory once: tantivy cannot borrow bytes that others own.
pub fn read(bytes: &[u8]) -> Result<RamDirectory, KeywordError> {
    let cut_short = || KeywordError("a segment is not of the length that it says".into());
    let (heads, mut rest): (Vec<(String, u64)>, &[u8]) =
        postcard::take_from_bytes(bytes).map_err(|error| KeywordError(error.to_string()))?;
    let files = RamDirectory::create();
    for (name, length) in heads {
        let length = usize::try_from(length).map_err(|_| cut_short())?;
        let (content, after) = rest.split_at_checked(length).ok_or_else(cut_short)?;
        files.atomic_write(Path::new(&name), content)?;
        rest = after;
    }
    if rest.is_empty() {
        Ok(files)
    } else {
        Err(cut_short())
    }
}
