// Who belongs to a cluster, and what NATS lets each of them do.
export * from './authority.ts';
export * from './authority-file.ts';
export * from './join.ts';
export * from './member-files.ts';
export * from './permissions.ts';
export * from './server-accounts.ts';
