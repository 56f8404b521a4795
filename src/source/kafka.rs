//! Kafka: all partitions of one or several topics, by `assign`. The only file that names rdkafka.
