//! Partitions by topic and number, as Kafka has them, and by name, as the node has them.

/// A topic and the number of a partition of it.
pub type Place = (String, i32);

/// The name of a partition in the node: with one topic its number, with several the topic too.
pub fn partition_name(topics: &[String], (topic, partition): &Place) -> String {
    match topics {
        [_] => partition.to_string(),
        _ => format!("{topic}:{partition}"),
    }
}

/// The inverse of [`partition_name`]; `None` for a name that belongs to no topic of ours.
pub fn place_of<'a>(topics: &'a [String], name: &'a str) -> Option<(&'a str, i32)> {
    let (topic, partition) = match topics {
        [topic] => (topic.as_str(), name),
        _ => name
            .rsplit_once(':')
            .filter(|(topic, _)| topics.iter().any(|ours| ours == topic))?,
    };
    Some((topic, partition.parse().ok()?))
}
