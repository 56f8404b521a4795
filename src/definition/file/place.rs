//! What `[embedder]` and `[reranker]` say alike of a model: where it is, on this machine or behind an endpoint, and how it is
//! asked there.

use super::written::{Entry, Section};

/// Where a model is.
pub(super) enum Place<'a> {
    /// In a folder, or a file.
    Path(Entry<'a>),
    /// Behind an endpoint.
    Url(Entry<'a>),
}

/// Reads `path` or `url` out of the section of an entry.
pub(super) fn place<'a>(entry: &Entry<'a>, section: &mut Section<'a>, expected: &str) -> Option<Place<'a>> {
    match (section.optional("path"), section.optional("url")) {
        (Some(path), None) => Some(Place::Path(path)),
        (None, Some(url)) => Some(Place::Url(url)),
        (Some(_), Some(url)) => {
            url.wrong(
                "the model has `path` and `url`",
                "it either lies on this machine or is asked for over HTTP",
            );
            None
        }
        (None, None) => {
            entry.wrong(
                format!("`{}` has neither `path` nor `url`", entry.path),
                format!("it must be {expected}"),
            );
            None
        }
    }
}

/// How many tokens of a text a model on this machine reads; `None`: as many as its files say.
pub(super) fn tokens_max(section: &mut Section<'_>, least: u64) -> Option<Option<usize>> {
    const MOST: u64 = 65_536;
    let Some(entry) = section.optional("max_tokens") else {
        return Some(None);
    };
    let tokens = entry.integer(
        least..MOST + 1,
        &format!("a number of tokens from {least} to {MOST}"),
    )?;
    Some(Some(tokens as usize))
}

/// The name of a model behind an endpoint.
pub(super) fn name(section: &mut Section<'_>) -> Option<String> {
    let expected = "the name by which the service knows the model";
    let entry = section.required("name", expected)?;
    entry.text(expected).map(str::to_owned)
}

/// `key_env`, where an endpoint asks for a key.
pub(super) fn key_variable(section: &mut Section<'_>) -> Option<Option<String>> {
    match section.optional("key_env") {
        None => Some(None),
        Some(entry) => variable(&entry).map(Some),
    }
}

/// The URL of an endpoint, such as `example`, without a secret: it stands in logs.
pub(super) fn endpoint(entry: &Entry<'_>, example: &str) -> Option<String> {
    let expected = format!("the URL of the endpoint itself, such as `{example}`");
    let url = entry.text(&expected)?;
    let rest = url
        .strip_prefix("http://")
        .or_else(|| url.strip_prefix("https://"));
    let host = rest.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
    let plain = |c: char| c.is_ascii_graphic();
    match host {
        Some(host) if host.contains('@') => {
            entry.wrong(
                format!("`{}` has a name or a password", entry.path),
                "a key comes from the environment: `key_env = \"NAME_OF_THE_VARIABLE\"`",
            );
            None
        }
        Some(host) if !host.is_empty() && url.chars().all(plain) => Some(url.to_owned()),
        _ => {
            entry.wrong(
                format!("`{}` is no URL", entry.path),
                format!("it must be {expected}"),
            );
            None
        }
    }
}

/// The name of an environment variable. It is read where the service is asked, so a file can be checked without it.
fn variable(entry: &Entry<'_>) -> Option<String> {
    const EXPECTED: &str = "the name of the environment variable that has the key, such as `OPENAI_API_KEY`";
    let name = entry.text(EXPECTED)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.chars().all(plain) && !name.starts_with(|c: char| c.is_ascii_digit()) {
        return Some(name.to_owned());
    }
    // What stands here may be the key itself, so it is not repeated.
    entry.wrong(
        format!("`{}` is no name of a variable", entry.path),
        format!("it must be {EXPECTED}"),
    );
    None
}
