"""AIO's expression language and built-in transforms, pure: no engine, no broker, no clock of their own."""
