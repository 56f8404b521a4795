//! `[index.graph]` -> [`Tuning`].

use super::written::Entry;
use crate::definition::{Builder, Effort, Originals, Quantization, Reduce, Tuning};

/// Reads the section, of an index whose vectors have so many dimensions, where that is known.
pub(super) fn read(entry: &Entry<'_>, dimensions: Option<usize>) -> Option<Tuning> {
    let default = Tuning::default();
    let mut section = entry.section("a section such as `m = 16`, `accuracy = 0.99`")?;
    let links = match section.optional("m") {
        None => Some(default.links),
        Some(entry) => entry
            .integer(2..65, "links of a row, from 2 to 64")
            .map(|links| links as usize),
    };
    let build_width = build_width(section.optional("ef_construction"), links);
    let effort = effort(section.optional("ef"), section.optional("accuracy"));
    let builder = match section.optional("builder") {
        None => Some(default.builder),
        Some(entry) => entry.choice(
            "builder",
            &[("millpond", Builder::Millpond), ("hnsw_rs", Builder::HnswRs)],
        ),
    };
    let originals = match section.optional("originals") {
        None => Some(None),
        Some(entry) => {
            let places = [("memory", Originals::Memory), ("disk", Originals::Disk)];
            entry.choice("place of the originals", &places).map(Some)
        }
    };
    let quantization = section.optional("quantization");
    let reduce = match section.optional("reduce") {
        None => Some(None),
        Some(entry) => reduce(&entry, dimensions).map(Some),
    };
    let quantization = read_quantization(quantization, matches!(reduce, Some(None)));
    section.finish();
    Some(Tuning {
        links: links?,
        build_width: build_width?,
        effort: effort?,
        builder: builder?,
        quantization: quantization?,
        originals: originals?,
        reduce: reduce?,
    })
}

/// A row of fewer dimensions has nothing that a hit could be scored by: there int16 would be int8 in twice the memory.
fn read_quantization(entry: Option<Entry<'_>>, is_whole: bool) -> Option<Quantization> {
    let Some(entry) = entry else {
        return Some(match is_whole {
            true => Quantization::Int16,
            false => Quantization::Int8,
        });
    };
    let known = [
        ("int16", Quantization::Int16),
        ("int8", Quantization::Int8),
        ("f16", Quantization::F16),
    ];
    let chosen = entry.choice("quantization", &known)?;
    if chosen == Quantization::Int16 && !is_whole {
        entry.wrong(
            "`int16` keeps whole vectors, and `reduce` cuts them",
            "leave `quantization` out, or say `int8` or `f16`",
        );
        return None;
    }
    Some(chosen)
}

/// More candidates find no better neighbours, and a row takes milliseconds.
const BUILD_WIDTH_MAX: usize = 4_096;

fn build_width(entry: Option<Entry<'_>>, links: Option<usize>) -> Option<usize> {
    let Some(entry) = entry else {
        return Some(Tuning::default().build_width);
    };
    let expected = match links {
        Some(links) => format!("candidates for links, from `m` ({links}) to {BUILD_WIDTH_MAX}"),
        None => format!("candidates for links, from `m` to {BUILD_WIDTH_MAX}"),
    };
    let width = entry.integer(links.unwrap_or(2) as u64..BUILD_WIDTH_MAX as u64 + 1, &expected)?;
    Some(width as usize)
}

fn effort(ef: Option<Entry<'_>>, accuracy: Option<Entry<'_>>) -> Option<Effort> {
    let width = |entry: &Entry<'_>| {
        let most = Effort::WIDTH_MAX;
        let width = entry.integer(
            1..most as u64 + 1,
            &format!("the width of a search, from 1 to {most}"),
        )?;
        Some(Effort::Width(width as usize))
    };
    let share = |entry: &Entry<'_>| {
        let share = entry.number(
            |share| Effort::is_accuracy(share as f32),
            "the share of the nearest that a search finds, more than 0 and less than 1: `0.99`",
        )?;
        Some(Effort::Accuracy(share as f32))
    };
    match (&ef, &accuracy) {
        (None, None) => Some(Effort::Usual),
        (Some(ef), None) => width(ef),
        (None, Some(accuracy)) => share(accuracy),
        (Some(ef), Some(accuracy)) => {
            width(ef);
            share(accuracy);
            accuracy.wrong(
                "the graph has `ef` and `accuracy`",
                "`accuracy` finds the width that `ef` would give: leave one out",
            );
            None
        }
    }
}

fn reduce(entry: &Entry<'_>, dimensions: Option<usize>) -> Option<Reduce> {
    let expected = "`{ pca = 128 }` or `{ truncate = 128 }`";
    let mut section = entry.section(expected)?;
    let (pca, truncate) = (section.optional("pca"), section.optional("truncate"));
    section.finish();
    let kept = |entry: &Entry<'_>| {
        let (end, of) = match dimensions {
            Some(dimensions) => (dimensions, format!("fewer than the {dimensions} of the vectors")),
            None => (4_096, "fewer than those of the vectors".to_owned()),
        };
        let kept = entry.integer(2..end.max(2) as u64, &format!("dimensions to keep, from 2, {of}"))?;
        Some(kept as usize)
    };
    match (&pca, &truncate) {
        (Some(entry), None) => kept(entry).map(Reduce::Pca),
        (None, Some(entry)) => kept(entry).map(Reduce::Truncate),
        _ => {
            entry.wrong(
                format!("`{}` does not name one way to reduce", entry.path),
                format!("it must be {expected}"),
            );
            None
        }
    }
}
