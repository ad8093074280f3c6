// What services and clients say to each other: messages of the log, subjects, host calls, HTTP shapes. Types and form checks only.
export * from './claims.ts';
export * from './host-protocol.ts';
export * from './http/access.ts';
export * from './http/cluster.ts';
export * from './http/docker-container.ts';
export * from './http/docker-images.ts';
export * from './http/docker-reference.ts';
export * from './http/docker-secrets.ts';
export * from './http/docker-summary.ts';
export * from './http/docker-volumes.ts';
export * from './http/hosts.ts';
export * from './http/kernels.ts';
export * from './join.ts';
export * from './http/docker-services.ts';
export * from './http/services.ts';
export * from './message.ts';
export * from './subjects.ts';
