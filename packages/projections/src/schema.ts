// The projection's tables as drizzle sees them. The SQL in migrations/ makes them; a test holds the two against each other.
import { blob, integer, primaryKey, sqliteTable, text } from 'drizzle-orm/sqlite-core';

/** One row: how far the projection has come, in which stream. Written in the same transaction as what it speaks of. */
export const checkpoint = sqliteTable('checkpoint', {
  id: integer().primaryKey(),
  stream: text().notNull(),
  seq: integer().notNull(),
  messageId: text('message_id').notNull(),
  malformed: integer().notNull().default(0),
  unknown: integer().notNull().default(0),
  prunedSeq: integer('pruned_seq').notNull().default(0),
  prunedMs: integer('pruned_ms').notNull().default(0),
});

/** Every subject that the history holds a message of; `goneSeq` since when it has ended. */
export const subjects = sqliteTable('subjects', {
  key: integer().primaryKey(),
  subject: text().notNull().unique(),
  kind: text().notNull(),
  hostId: text('host_id'),
  aggregateId: text('aggregate_id').notNull(),
  parentId: text('parent_id'),
  firstSeq: integer('first_seq').notNull(),
  lastSeq: integer('last_seq').notNull(),
  goneSeq: integer('gone_seq'),
});

/** Every message, until pruned. `message` is the log's own bytes. */
export const history = sqliteTable('history', {
  seq: integer().primaryKey(),
  subjectKey: integer('subject_key').notNull(),
  storedAtMs: integer('stored_at_ms').notNull(),
  atMs: integer('at_ms').notNull(),
  messageId: text('message_id').notNull(),
  actor: text().notNull(),
  types: text().notNull(),
  message: blob({ mode: 'buffer' }).notNull(),
});

/** A row of the present points to the message that holds its state; pruning leaves those messages. */
const origin = { seq: integer().notNull() };

export const containers = sqliteTable('containers', {
  id: text().primaryKey(),
  hostId: text('host_id').notNull(),
  name: text().notNull(),
  nameSeq: integer('name_seq').notNull(),
  status: text().notNull(),
  imageId: text('image_id').notNull(),
  createdAtMs: integer('created_at_ms').notNull(),
  startedAtMs: integer('started_at_ms'),
  finishedAtMs: integer('finished_at_ms'),
  exitCode: integer('exit_code'),
  health: text(),
  item: text().notNull(),
  ...origin,
});

export const placements = sqliteTable('placements', { id: text().primaryKey(), name: text().notNull(), status: text().notNull(), ...origin });

export const hosts = sqliteTable('hosts', { id: text().primaryKey(), status: text().notNull(), ...origin });

export const images = sqliteTable(
  'images',
  { hostId: text('host_id').notNull(), key: text().notNull(), name: text().notNull(), imageId: text('image_id').notNull(), ...origin },
  (table) => [primaryKey({ columns: [table.hostId, table.key] })],
);

export const execs = sqliteTable('execs', {
  id: text().primaryKey(),
  containerId: text('container_id').notNull(),
  hostId: text('host_id').notNull(),
  status: text().notNull(),
  ...origin,
});

export const kernels = sqliteTable('kernels', { id: text().primaryKey(), name: text().notNull(), ...origin });

/** Small aggregates of the cluster that are only asked for by kind and name. */
export const records = sqliteTable('records', { kind: text().notNull(), id: text().notNull(), ...origin }, (table) => [primaryKey({ columns: [table.kind, table.id] })]);

export const tables = { checkpoint, subjects, history, containers, placements, hosts, images, execs, kernels, records };
