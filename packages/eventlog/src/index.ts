// The durable log over JetStream, its twin in memory, the claims and the lease beside it, and the connection that they share.
export { connectNats, NatsLink, type ConnectOptions, type NatsAddress } from './connection.ts';
export * from './errors.ts';
export * from './event-log.ts';
export * from './execute.ts';
export { NatsBucket, type Bucket, type BucketEntry, type BucketOptions } from './bucket.ts';
export * from './claims.ts';
export { decodeKey, encodeKey, maxKeyBytes } from './keys.ts';
export { Lease, openLease, type LeaseHolder, type LeaseOptions, type OpenLeaseOptions, type Term } from './lease.ts';
export { MemoryBucket, type MemoryBucketOptions } from './memory-bucket.ts';
export { MemoryEventLog, type MemoryEventLogOptions } from './memory-event-log.ts';
export { NatsEventLog, openEventLog, type EventLogOptions } from './nats-event-log.ts';
export { NatsObjectStore, type ObjectStore, type ObjectStoreOptions, type StoredObject } from './object-store.ts';
export { subjectMatches } from './subjects.ts';
