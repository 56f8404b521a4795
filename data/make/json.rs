//! JSON with its members in the order given, so that the bytes do not hang on the features of a crate.

/// A string or null, quoted and escaped.
pub fn text(value: Option<&str>) -> String {
    serde_json::to_string(&value).expect("text is JSON")
}

/// An object of members that are JSON already.
pub fn object<'a>(members: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let members: Vec<String> = members
        .into_iter()
        .map(|(name, value)| format!("{}:{value}", text(Some(name))))
        .collect();
    format!("{{{}}}", members.join(","))
}

/// An array of items that are JSON already.
pub fn array(items: impl IntoIterator<Item = String>) -> String {
    format!("[{}]", items.into_iter().collect::<Vec<_>>().join(","))
}
