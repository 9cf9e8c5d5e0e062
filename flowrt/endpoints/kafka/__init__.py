"""Apache Kafka: sources in a consumer group, sinks that wait for every replica (extra `kafka`)."""
