//! Produces dead letters to a topic, beside the store that keeps them.
//!
//! Nothing waits for it: a letter that finds no room, or that the broker does not take in time, stays in the store
//! alone, and whoever opened the producer is told.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};

use super::client::{log, reason};
use super::settings::{Secrets, producer_settings, refused};
use crate::definition::DeadLetterTopic;
use crate::source::SourceError;

/// How long closing waits for what is on its way.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Produces dead letters to a topic of Kafka. Bounded, and never in the way of who sends.
pub struct DeadLetterProducer {
    producer: ThreadedProducer<Deliveries>,
    topic: String,
}

impl DeadLetterProducer {
    /// Starts a producer; its broker may be away. `not_produced` is called for each letter that does not reach the
    /// topic, on any thread, and must return soon.
    ///
    /// # Errors
    /// A setting that librdkafka refuses.
    pub fn open(
        settings: &DeadLetterTopic,
        not_produced: impl Fn() + Send + Sync + 'static,
    ) -> Result<DeadLetterProducer, SourceError> {
        let mut config = ClientConfig::from_iter(producer_settings(settings)?);
        config.set_log_level(RDKafkaLogLevel::Info);
        let deliveries = Deliveries {
            secrets: Secrets::of(&settings.options),
            topic: settings.topic.clone(),
            not_produced: Box::new(not_produced),
            fails: AtomicBool::new(false),
        };
        let producer = config
            .create_with_context(deliveries)
            .map_err(|error| refused(&Secrets::of(&settings.options), error))?;
        Ok(DeadLetterProducer {
            producer,
            topic: settings.topic.clone(),
        })
    }

    /// Puts a letter on its way. Returns at once; where there is no room the letter is not produced.
    pub fn send(&self, key: Option<&[u8]>, payload: &[u8], headers: &[(&'static str, &[u8])]) {
        let headers = headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header {
                key,
                value: Some(*value),
            })
        });
        let mut record = BaseRecord::<[u8], [u8]>::to(&self.topic)
            .payload(payload)
            .headers(headers);
        record.key = key;
        if let Err((error, _)) = self.producer.send(record) {
            self.producer.context().failed(&error);
        }
    }

    /// Waits a moment for what is on its way, and gives up on the rest.
    pub fn close(self) {
        // What did not get through is counted when the producer is dropped.
        let _ = self.producer.flush(CLOSE_TIMEOUT);
    }
}

/// What became of letters that were sent.
struct Deliveries {
    secrets: Secrets,
    topic: String,
    not_produced: Box<dyn Fn() + Send + Sync>,
    /// Whether the last one failed, so that a failure is logged when it is news.
    fails: AtomicBool,
}

impl Deliveries {
    fn failed(&self, error: &KafkaError) {
        (self.not_produced)();
        if !self.fails.swap(true, Ordering::Relaxed) {
            let (topic, reason) = (&self.topic, reason(error));
            tracing::warn!(topic, "dead letters are kept and not produced to Kafka: {reason}");
        }
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(&self.secrets, level, facility, message);
    }

    /// What matters of it shows in the deliveries.
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!("librdkafka: {error}: {}", self.secrets.hidden_in(reason));
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(_) => {
                if self.fails.swap(false, Ordering::Relaxed) {
                    tracing::info!(topic = self.topic, "dead letters are produced to Kafka again");
                }
            }
            Err((error, _)) => self.failed(error),
        }
    }
}
