// The durable log over JetStream, its twin in memory, the claims and the lease beside it, and the connection that they share.
export { connectNats, NatsLink, type ConnectOptions, type NatsAddress } from './connection.ts';
export * from './errors.ts';
export * from './event-log.ts';
export * from './execute.ts';
export { MemoryEventLog, type MemoryEventLogOptions } from './memory-event-log.ts';
export { NatsEventLog, openEventLog, type EventLogOptions } from './nats-event-log.ts';
export { subjectMatches } from './subjects.ts';
