//! The names in a request -> what they are in the index.

use crate::definition::{Field, FieldKind, Index, VectorSource};

use super::refusal::{Read, Refusal};

/// What a name in a query is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Named<'a> {
    /// A text that is searched by words, by its place among the index's texts.
    Text(usize),
    /// A field of exact values.
    Field(&'a Field),
    /// The key.
    Id,
}

/// A name that is matched by words: a text before a field.
pub fn by_words<'a>(index: &'a Index, name: &str) -> Read<Named<'a>> {
    match (text(index, name), exact(index, name)) {
        (Some(place), _) => Ok(Named::Text(place)),
        (None, Some(field)) => Ok(Named::Field(field)),
        (None, None) if name == "_id" => Ok(Named::Id),
        (None, None) => Err(unknown(index, name)),
    }
}

/// A name that is compared as it is: a field before a text.
pub fn by_value<'a>(index: &'a Index, name: &str) -> Read<Named<'a>> {
    match (exact(index, name), text(index, name)) {
        (Some(field), _) => Ok(Named::Field(field)),
        (None, Some(place)) => Ok(Named::Text(place)),
        (None, None) if name == "_id" => Ok(Named::Id),
        (None, None) => Err(unknown(index, name)),
    }
}

/// A field to sort by or to count.
pub fn field<'a>(index: &'a Index, name: &str) -> Read<&'a Field> {
    exact(index, name).ok_or_else(|| match text(index, name) {
        None => unknown(index, name),
        Some(_) => Refusal::illegal(format!(
            "[{name}] is searched by words alone: name it in `fields` of the dataflow file to sort or count it"
        )),
    })
}

/// A vector field: by its name, or by the column that its vectors come from.
pub fn vector<'a>(index: &'a Index, name: &str) -> Read<&'a str> {
    let is_meant = |source: &VectorSource| match source {
        VectorSource::Column(column) => index
            .plan
            .columns
            .get(column.column)
            .is_some_and(|own| own == name),
        VectorSource::Embed { .. } => false,
    };
    let mut fields = index.vectors.iter();
    let by_name = fields.clone().find(|field| field.name == name);
    match by_name.or_else(|| fields.find(|field| is_meant(&field.source))) {
        Some(field) => Ok(&field.name),
        None => {
            let names: Vec<&str> = index.vectors.iter().map(|field| &*field.name).collect();
            Err(Refusal::illegal(format!(
                "[knn] names [{name}], which is no vector field of the index: there are [{}]",
                names.join(", ")
            )))
        }
    }
}

/// The texts that a name, or a pattern with `*`, stands for.
pub fn texts(index: &Index, pattern: &str) -> Read<Vec<usize>> {
    let of_pattern = |(place, name): (usize, &str)| matches(pattern, name).then_some(place);
    let names = index.text.iter().map(|text| &*text.name).enumerate();
    let found: Vec<usize> = names.filter_map(of_pattern).collect();
    match found.is_empty() {
        false => Ok(found),
        true => Err(match exact(index, pattern) {
            Some(_) => Refusal::illegal(format!(
                "[{pattern}] is a field of exact values: ask for it by [term] or [match]"
            )),
            None => unknown(index, pattern),
        }),
    }
}

fn text(index: &Index, name: &str) -> Option<usize> {
    index.text.iter().position(|text| text.name == name)
}

/// The field of a name; `x.keyword` is `x`, where that is a keyword.
fn exact<'a>(index: &'a Index, name: &str) -> Option<&'a Field> {
    let named = |name: &str| index.fields.iter().find(|field| field.name == name);
    named(name).or_else(|| {
        let field = named(name.strip_suffix(".keyword")?)?;
        (field.kind == FieldKind::Keyword).then_some(field)
    })
}

fn unknown(index: &Index, name: &str) -> Refusal {
    let mut names: Vec<&str> = index.text.iter().map(|text| &*text.name).collect();
    names.extend(index.fields.iter().map(|field| &*field.name));
    names.sort_unstable();
    names.dedup();
    Refusal::illegal(format!(
        "the index has no field [{name}]: there are [{}]",
        names.join(", ")
    ))
}

/// Whether a pattern, in which `*` stands for any characters, is that of a name.
pub fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, name, expected) in [
            ("name", "name", true),
            ("name", "names", false),
            ("*", "", true),
            ("na*", "name", true),
            ("*me", "name", true),
            ("n*m*e", "name", true),
            ("n*mm*e", "name", false),
            ("na*ame", "name", false),
            ("*a*a*", "name", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} of {name}");
        }
    }
}
