//! What librdkafka is told, and what must not be told to anyone else.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::error::KafkaError;

use crate::definition::{DeadLetterTopic, KafkaSettings};
use crate::source::SourceError;

/// Messages and kilobytes that librdkafka may fetch ahead, over all partitions. With a queue per partition it counts
/// each of them alone, so they share. It may hold one fetch of a megabyte more.
const AHEAD_MESSAGES: usize = 100_000;
const AHEAD_KBYTES: usize = 64 << 10;

/// What a partition may fetch ahead at least: less would be a round trip per few messages.
const AHEAD_MESSAGES_MIN: usize = 1_000;
const AHEAD_KBYTES_MIN: usize = 256;

const REFRESH_OPTION: &str = "topic.metadata.refresh.interval.ms";
const REFRESH_DEFAULT: Duration = Duration::from_secs(2);

/// Dead letters that wait for the broker: some minutes of a stream that is all wrong, and little beside the rest.
const LETTERS_MAX: usize = 10_000;
const LETTERS_KBYTES_MAX: usize = 16 << 10;

/// How long a dead letter is tried to be produced.
const LETTER_TIMEOUT: Duration = Duration::from_secs(30);

/// Settings that this source relies on, with what sets them.
const RESERVED: [(&str, &str); 6] = [
    ("bootstrap.servers", "`brokers` sets it"),
    ("metadata.broker.list", "`brokers` sets it"),
    ("group.id", "`group` sets it"),
    (
        "enable.auto.commit",
        "offsets are committed after they are published",
    ),
    ("enable.partition.eof", "a partition has no end here"),
    ("auto.offset.reset", "`start` and `on_gap` set it"),
];

/// The settings of a client that reads so many partitions.
pub(super) fn client_settings(
    settings: &KafkaSettings,
    partitions: usize,
) -> Result<BTreeMap<String, String>, SourceError> {
    let share = |all: usize, min: usize| (all / partitions.max(1)).max(min).to_string();
    let mut all: BTreeMap<String, String> = [
        // A message goes on when it is there, not when there are many.
        ("fetch.wait.max.ms", "10".to_owned()),
        // How long a queue that was full is not fetched for: a second, otherwise.
        ("fetch.queue.backoff.ms", "5".to_owned()),
        ("queued.min.messages", share(AHEAD_MESSAGES, AHEAD_MESSAGES_MIN)),
        (
            "queued.max.messages.kbytes",
            share(AHEAD_KBYTES, AHEAD_KBYTES_MIN),
        ),
        ("reconnect.backoff.max.ms", "2000".to_owned()),
        // How long a commit may wait for its coordinator, which closing waits for too; nothing else, without membership.
        ("session.timeout.ms", "2000".to_owned()),
        // Likewise for a broker that has fallen silent.
        ("socket.timeout.ms", "10000".to_owned()),
        ("client.id", "millpond".to_owned()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    for (name, value) in &settings.options {
        reserved(name)?;
        all.insert(name.clone(), value.clone());
    }
    for (name, value) in [
        ("bootstrap.servers", settings.brokers.as_str()),
        ("group.id", &settings.group),
        ("enable.auto.commit", "false"),
        ("enable.partition.eof", "false"),
        // A position that retention has removed is reported, rather than jumped over in silence.
        ("auto.offset.reset", "error"),
    ] {
        all.insert(name.to_owned(), value.to_owned());
    }
    Ok(all)
}

/// The settings of a client that produces dead letters: bounded, and in no hurry.
pub(super) fn producer_settings(topic: &DeadLetterTopic) -> Result<BTreeMap<String, String>, SourceError> {
    let mut all: BTreeMap<String, String> = [
        ("queue.buffering.max.messages", LETTERS_MAX.to_string()),
        ("queue.buffering.max.kbytes", LETTERS_KBYTES_MAX.to_string()),
        ("message.timeout.ms", LETTER_TIMEOUT.as_millis().to_string()),
        ("linger.ms", "50".to_owned()),
        ("reconnect.backoff.max.ms", "2000".to_owned()),
        ("socket.timeout.ms", "10000".to_owned()),
        ("client.id", "millpond".to_owned()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    for (name, value) in &topic.options {
        reserved(name)?;
        all.insert(name.clone(), value.clone());
    }
    all.insert("bootstrap.servers".to_owned(), topic.brokers.clone());
    Ok(all)
}

fn reserved(name: &str) -> Result<(), SourceError> {
    match RESERVED.iter().find(|(reserved, _)| *reserved == name) {
        None => Ok(()),
        Some((_, reason)) => Err(SourceError::KafkaSetting {
            reason: format!("`{name}` cannot be an option: {reason}"),
        }),
    }
}

/// How often partitions that were added are looked for.
pub(super) fn refresh_interval(settings: &KafkaSettings) -> Duration {
    let option = settings
        .options
        .get(REFRESH_OPTION)
        .and_then(|value| value.parse().ok());
    option
        .filter(|ms| *ms > 0)
        .map_or(REFRESH_DEFAULT, Duration::from_millis)
}

/// The error for what librdkafka says about the settings.
pub(super) fn refused(secrets: &Secrets, error: KafkaError) -> SourceError {
    let reason = match error {
        // Its own text names the value.
        KafkaError::ClientConfig(_, reason, name, _) if reason.contains(&name) => reason,
        KafkaError::ClientConfig(_, reason, name, _) => format!("`{name}`: {reason}"),
        KafkaError::ClientCreation(reason) => reason,
        error => error.to_string(),
    };
    let hint = if cfg!(feature = "kafka-tls") {
        ""
    } else if ["OpenSSL", "not supported in this build", "No provider"]
        .iter()
        .any(|text| reason.contains(text))
    {
        "; TLS and SASL/SCRAM come with the feature `kafka-tls`: cargo build --features kafka-tls"
    } else {
        ""
    };
    SourceError::KafkaSetting {
        reason: format!("{}{hint}", secrets.hidden_in(&reason)),
    }
}

/// Values of options that nobody else may see.
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    pub fn of(options: &BTreeMap<String, String>) -> Secrets {
        let mut secrets: Vec<String> = options
            .iter()
            .filter(|(name, value)| is_secret(name) && !value.is_empty())
            .map(|(_, value)| value.clone())
            .collect();
        // One that is part of another must not leave the rest of it to be read.
        secrets.sort_unstable_by_key(|secret| std::cmp::Reverse(secret.len()));
        Secrets(secrets)
    }

    /// The text, with the secrets left out.
    pub fn hidden_in(&self, text: &str) -> String {
        self.0
            .iter()
            .fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
    }
}

/// By its name, since librdkafka adds options; rather one too many. A path is no secret.
fn is_secret(name: &str) -> bool {
    let words = [
        "password",
        "secret",
        "key",
        "pem",
        "token",
        "jaas",
        "assertion",
        "oauthbearer.config",
    ];
    !name.ends_with(".location") && words.iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::{KafkaStart, OnGap};

    fn settings(options: &[(&str, &str)]) -> KafkaSettings {
        KafkaSettings {
            brokers: "localhost:9092".into(),
            topics: vec!["t".into()],
            group: "g".into(),
            start: KafkaStart::Earliest,
            on_gap: OnGap::Stop,
            options: options
                .iter()
                .map(|(name, value)| (name.to_string(), value.to_string()))
                .collect(),
        }
    }

    #[test]
    fn what_is_fetched_ahead_is_bounded_over_all_partitions() {
        for partitions in [1, 3, 64] {
            let all = client_settings(&settings(&[]), partitions).unwrap();
            let number = |name: &str| all[name].parse::<usize>().unwrap();
            assert!(number("queued.max.messages.kbytes") * partitions <= 64 << 10);
            assert!(number("queued.min.messages") * partitions <= 100_000);
        }
    }

    #[test]
    fn options_override_defaults_but_not_what_the_source_relies_on() {
        let all = client_settings(&settings(&[("fetch.wait.max.ms", "500")]), 1).unwrap();
        assert_eq!(all["fetch.wait.max.ms"], "500");
        let error = client_settings(&settings(&[("enable.auto.commit", "true")]), 1).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("`enable.auto.commit` cannot be an option"),
            "{error}"
        );
    }

    #[test]
    fn secrets_are_left_out_of_texts_and_paths_are_not() {
        let settings = settings(&[
            ("sasl.password", "hunter2"),
            ("ssl.key.password", "hunter2-too"),
            ("ssl.key.location", "/etc/key.pem"),
        ]);
        let text =
            Secrets::of(&settings.options).hidden_in("password hunter2 and hunter2-too of /etc/key.pem");
        assert_eq!(text, "password *** and *** of /etc/key.pem");
    }

    #[test]
    fn a_gap_is_reported_whatever_the_options_say() {
        assert_eq!(
            client_settings(&settings(&[]), 1).unwrap()["auto.offset.reset"],
            "error"
        );
        let error = client_settings(&settings(&[("auto.offset.reset", "latest")]), 1).unwrap_err();
        assert!(error.to_string().contains("`on_gap`"), "{error}");
    }
}
