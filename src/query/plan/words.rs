//! How the words of `query` are searched.

use super::named::among;
use crate::definition::Index;
use crate::index::keyword::{MinimumMatch, TextFields, Typos};
use crate::query::QueryError;
use crate::query::language::{self, Options};
use crate::query::request::{Fuzzy, MinimumMatchRequest, Operator, SearchRequest};

/// How the words of `query` are searched.
pub(super) fn options(index: &Index, request: &SearchRequest) -> Result<Options, QueryError> {
    Ok(Options {
        minimum: minimum(request)?,
        typos: match request.fuzzy {
            None | Some(Fuzzy::Auto) => Typos::Auto,
            Some(Fuzzy::Off) => Typos::Off,
        },
        fields: match &request.text_fields {
            None => None,
            Some(names) => text_fields(index, names)?,
        },
    })
}

fn minimum(request: &SearchRequest) -> Result<MinimumMatch, QueryError> {
    let wrong = |message: String| {
        let hint = "give a number of words from 1 on, or a share such as \"75%\"";
        Err(QueryError::new("bad_minimum_match", message, hint))
    };
    match (request.operator, &request.minimum_match) {
        (None | Some(Operator::Or), None) => Ok(MinimumMatch::Any),
        (Some(Operator::And), None) => Ok(MinimumMatch::All),
        (Some(_), Some(_)) => wrong("both `operator` and `minimum_match` say how many words".to_owned()),
        (None, Some(MinimumMatchRequest::Words(0))) => wrong("`minimum_match` is 0".to_owned()),
        (None, Some(MinimumMatchRequest::Words(words))) => Ok(MinimumMatch::Words(*words)),
        (None, Some(MinimumMatchRequest::Share(share))) => {
            let percent = share
                .strip_suffix('%')
                .and_then(|share| share.trim().parse::<u8>().ok());
            match percent.filter(|percent| (1..=100).contains(percent)) {
                Some(percent) => Ok(MinimumMatch::Percent(percent)),
                None => wrong(format!("`minimum_match` is {share:?}")),
            }
        }
    }
}

fn text_fields(index: &Index, names: &[String]) -> Result<TextFields, QueryError> {
    let mut fields = Vec::new();
    for written in names {
        let named = |name: &str| index.text.iter().position(|field| field.name == name);
        let (name, boost) = match named(written) {
            Some(_) => (written.as_str(), None),
            None => language::field_with_boost(written),
        };
        let Some(number) = named(name) else {
            return Err(QueryError::new(
                "unknown_text_field",
                format!("`text_fields` names `{name}`, which is not a text field of the index"),
                among("the text fields are", index.text.iter().map(|field| &field.name)),
            ));
        };
        let own = index.text.get(number).map_or(1.0, |field| field.boost);
        let boost = match boost {
            None => own,
            Some(written) => language::field_boost(written).ok_or_else(|| {
                QueryError::new(
                    "bad_boost",
                    format!("`text_fields` gives `{name}` the boost {written:?}"),
                    "give a number more than 0 and at most 1000000, such as `name^2`",
                )
            })?,
        };
        fields.push((number, boost));
    }
    match fields.is_empty() {
        true => Err(QueryError::new(
            "bad_text_fields",
            "`text_fields` is empty",
            among(
                "name some, or leave it out for all; the text fields are",
                index.text.iter().map(|field| &field.name),
            ),
        )),
        false => Ok(Some(fields)),
    }
}
