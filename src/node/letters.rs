//! Where a node's dead letters go: a file, and a topic of Kafka where the definition names one.

use super::{NodeError, ServeOptions};
use crate::checkpoint::snapshots::DEAD_LETTERS;
use crate::definition::DeadLetterTopic;
use crate::intake::DeadLetters;
use crate::metrics::Metrics;
use crate::source::kafka::DeadLetterProducer;

pub(super) fn open_dead_letters(options: &ServeOptions) -> Result<DeadLetters, NodeError> {
    let path = match &options.dead_letters {
        Some(path) => path.clone(),
        None => options.data_dir.join(DEAD_LETTERS),
    };
    DeadLetters::append_to(&path).map_err(|cause| NodeError::DeadLetters { path, cause })
}

/// Gives each dead letter to a topic of Kafka, too: the message as it came, and headers that say why and from where.
pub(super) fn produce_dead_letters(
    topic: &DeadLetterTopic,
    dead_letters: &DeadLetters,
    metrics: &Metrics,
) -> Result<(), NodeError> {
    let metrics = metrics.clone();
    let producer = DeadLetterProducer::open(topic, move || metrics.dead_letter_not_produced());
    let producer = producer.map_err(NodeError::DeadLetterTopic)?;
    dead_letters.also(Box::new(move |letter| {
        let offset = letter.offset.map(|offset| offset.to_string()).unwrap_or_default();
        let headers: [(&str, &[u8]); 4] = [
            ("millpond.reason", letter.reason.as_bytes()),
            ("millpond.table", letter.table.as_bytes()),
            ("millpond.partition", letter.partition.as_bytes()),
            ("millpond.offset", offset.as_bytes()),
        ];
        let raw = letter.raw().unwrap_or_default();
        producer.send(
            raw.key.as_deref(),
            raw.value.as_deref().unwrap_or_default(),
            &headers,
        );
    }));
    Ok(())
}
