// Answers what is there now: containers, images, hosts, execs, placements. Prepared statements on a read-only connection, synchronous and short;
// every answer is of the instant of asking. Changes nothing.
import type { Container, ContainerStatus, Exec, HealthStatus, Host, Image, Kernel, Placement, StateOf } from '@pouch/domain';
import { and, asc, desc, eq, inArray, sql } from 'drizzle-orm';
import type { Orm } from './database.ts';
import type { RecordKind } from './present.ts';
import { containers, execs, history, hosts, images, kernels, placements, records } from './schema.ts';

/** A state, and the message of the log that it stands in. */
export interface Stored<S> {
  readonly seq: number;
  readonly messageId: string;
  /** The log's clock at the append of that message. */
  readonly storedAtMs: number;
  readonly state: S;
}

/** A container's row for lists: no state is parsed. */
export interface ContainerItem {
  readonly id: string;
  readonly hostId: string;
  readonly name: string;
  readonly status: ContainerStatus;
  readonly imageId: string;
  readonly createdAtMs: number;
  /** Of the latest run. */
  readonly startedAtMs: number | null;
  readonly finishedAtMs: number | null;
  readonly exitCode: number | null;
  /** Null: it has no health check, or has not run. */
  readonly health: HealthStatus | null;
  /** For `finishDockerItem`. */
  readonly item: string;
}

/** What a name, id or prefix of an id leads to. */
export type Resolved = { readonly ok: true; readonly container: Stored<Container> } | { readonly ok: false; readonly code: 'not-found' | 'ambiguous'; readonly message: string };

export interface ContainerFilter {
  readonly statuses?: readonly ContainerStatus[];
  readonly hostId?: string;
}

export interface Counts {
  readonly containers: Readonly<Record<Exclude<ContainerStatus, 'removed'>, number>>;
  /** Distinct images, however many names and hosts have them. */
  readonly images: number;
  readonly hosts: Readonly<Record<Host['state'], number>>;
}

const presentStatuses: readonly ContainerStatus[] = ['assigned', 'created', 'running', 'paused', 'restarting', 'exited'];

type StoredRow = { readonly seq: number; readonly messageId: string; readonly storedAtMs: number; readonly message: Buffer };

export class PresentReader {
  readonly #statements: ReturnType<typeof prepare>;

  constructor(orm: Orm) {
    this.#statements = prepare(orm);
  }

  /** By whole id. */
  container(id: string): Stored<Container> | null {
    return parsed<Container>(this.#statements.container.get({ id }));
  }

  /** As Docker: whole id, then name (with or without `/`), then a prefix of exactly one id. */
  resolveContainer(reference: string): Resolved {
    const name = reference.startsWith('/') ? reference.slice(1) : reference;
    const exact = this.container(name) ?? parsed<Container>(this.#statements.containerByName.get({ name }));
    if (exact !== null) return { ok: true, container: exact };
    if (/^[0-9a-f]{1,63}$/.test(name)) {
      const found = this.#statements.containersByPrefix.all({ prefix: name, end: `${name}g` });
      const only = parsed<Container>(found[0]);
      if (found.length > 1) return { ok: false, code: 'ambiguous', message: `Multiple IDs found with provided prefix: ${name}` };
      if (only !== null) return { ok: true, container: only };
    }
    return { ok: false, code: 'not-found', message: `No such container: ${reference}` };
  }

  /** Newest first, states parsed. For thousands prefer `containerItems`. */
  containers(filter: ContainerFilter = {}): Stored<Container>[] {
    const rows = this.#statements.containers.all(filterValues(filter));
    return rows.map((row) => parsedRow<Container>(row));
  }

  /** Newest first. */
  containerItems(filter: ContainerFilter = {}): ContainerItem[] {
    const { statuses = presentStatuses, hostId = '' } = filter;
    // All of them is by far the commonest question, and a condition that is never false is not free on 20,000 rows.
    return (hostId === '' && statuses === presentStatuses ? this.#statements.allItems.all() : this.#statements.items.all(filterValues(filter))) as ContainerItem[];
  }

  /** Containers on each host, by status. */
  containerCountsByHost(): { hostId: string; status: ContainerStatus; count: number }[] {
    return this.#statements.countsByHost.all() as { hostId: string; status: ContainerStatus; count: number }[];
  }

  /** Containers made from an image, whatever their status. */
  containersOfImage(imageId: string): { id: string; name: string; hostId: string; status: ContainerStatus }[] {
    return this.#statements.ofImage.all({ imageId }) as { id: string; name: string; hostId: string; status: ContainerStatus }[];
  }

  placement(id: string): Stored<Placement> | null {
    return parsed<Placement>(this.#statements.placement.get({ id }));
  }

  /** By host id. */
  hosts(): Stored<Host>[] {
    return this.#statements.hosts.all().map((row) => parsedRow<Host>(row));
  }

  host(id: string): Stored<Host> | null {
    return parsed<Host>(this.#statements.host.get({ id }));
  }

  /** Every name of every image on every host; Docker's list groups them by image id. */
  images(): Stored<Image>[] {
    return this.#statements.images.all().map((row) => parsedRow<Image>(row));
  }

  /** By canonical name, on each host that has it. */
  imagesByName(name: string): Stored<Image>[] {
    return this.#statements.imagesByName.all({ name }).map((row) => parsedRow<Image>(row));
  }

  /** The one that came last under a canonical name, on whichever host. */
  newestImageByName(name: string): Stored<Image> | null {
    return parsed<Image>(this.#statements.newestByName.get({ name }));
  }

  /** The one that came last, on whichever host, by image id or a prefix of one as in `imagesById`; null where there is none, `ambiguous` where it begins several ids. */
  newestImageById(idOrPrefix: string): Stored<Image> | 'ambiguous' | null {
    const prefix = idOrPrefix.startsWith('sha256:') ? idOrPrefix : `sha256:${idOrPrefix}`;
    const [first, second] = this.#statements.imageIds.all({ prefix, end: `${prefix}g` });
    if (second !== undefined) return 'ambiguous';
    return first === undefined ? null : parsed<Image>(this.#statements.newestById.get({ imageId: first.imageId }));
  }

  /** By image id, with or without `sha256:`, or by an unambiguous or ambiguous prefix of it: the caller groups by id. At most 1000. */
  imagesById(idOrPrefix: string): Stored<Image>[] {
    const prefix = idOrPrefix.startsWith('sha256:') ? idOrPrefix : `sha256:${idOrPrefix}`;
    return this.#statements.imagesById.all({ prefix, end: `${prefix}g` }).map((row) => parsedRow<Image>(row));
  }

  /** A token, secret, or the policy, by its id. */
  record<K extends RecordKind>(kind: K, id: string): Stored<StateOf<K>> | null {
    return parsed<StateOf<K>>(this.#statements.record.get({ kind, id }));
  }

  /** All of a kind, by id. */
  records<K extends RecordKind>(kind: K): Stored<StateOf<K>>[] {
    return this.#statements.records.all({ kind }).map((row) => parsedRow<StateOf<K>>(row));
  }

  /** Guest kernels of the catalogue, by name. */
  kernels(): Stored<Kernel>[] {
    return this.#statements.kernels.all().map((row) => parsedRow<Kernel>(row));
  }

  exec(id: string): Stored<Exec> | null {
    return parsed<Exec>(this.#statements.exec.get({ id }));
  }

  /** Execs that a container has or lately had, for its inspect. */
  execsOf(containerId: string): Stored<Exec>[] {
    return this.#statements.execsOf.all({ containerId }).map((row) => parsedRow<Exec>(row));
  }

  /** Sequence of the message that a row of the present points to; null when there is no such row, or none of that kind. */
  origin(kind: string, id: string, hostId: string | null): number | null {
    const { containerOrigin, placementOrigin, hostOrigin, imageOrigin, execOrigin, kernelOrigin } = this.#statements;
    const statements = { container: containerOrigin, placement: placementOrigin, host: hostOrigin, image: imageOrigin, exec: execOrigin, kernel: kernelOrigin };
    if (!Object.hasOwn(statements, kind)) return this.#statements.recordOrigin.get({ kind, id })?.seq ?? null;
    return statements[kind as keyof typeof statements].get({ id, hostId: hostId ?? '' })?.seq ?? null;
  }

  counts(): Counts {
    const { statusCounts, imageCount, hostCounts } = this.#statements;
    const containerCounts = { assigned: 0, created: 0, running: 0, paused: 0, restarting: 0, exited: 0 };
    for (const { status, count } of statusCounts.all()) if (Object.hasOwn(containerCounts, status)) containerCounts[status as keyof typeof containerCounts] = count;
    const hostStates = { up: 0, lost: 0, removed: 0 };
    for (const { status, count } of hostCounts.all()) if (Object.hasOwn(hostStates, status)) hostStates[status as keyof typeof hostStates] = count;
    return { containers: containerCounts, images: imageCount.get()?.count ?? 0, hosts: hostStates };
  }
}

function parsedRow<S>(row: StoredRow): Stored<S> {
  const { snapshot } = JSON.parse(row.message.toString('utf8')) as { snapshot: S };
  return { seq: row.seq, messageId: row.messageId, storedAtMs: row.storedAtMs, state: snapshot };
}

function parsed<S>(row: StoredRow | undefined): Stored<S> | null {
  return row === undefined ? null : parsedRow<S>(row);
}

function filterValues({ statuses = presentStatuses, hostId = '' }: ContainerFilter): { statuses: string; hostId: string } {
  return { statuses: JSON.stringify(statuses), hostId };
}

function prepare(orm: Orm) {
  const p = sql.placeholder;
  const stored = { seq: history.seq, messageId: history.messageId, storedAtMs: history.storedAtMs, message: history.message };
  const from = (table: typeof containers | typeof placements | typeof hosts | typeof images | typeof execs | typeof kernels | typeof records) => orm.select(stored).from(table).innerJoin(history, eq(history.seq, table.seq));
  const within = (column: typeof containers.id | typeof images.imageId) => and(sql`${column} >= ${p('prefix')}`, sql`${column} < ${p('end')}`);
  const itemColumns =
    'id, host_id AS hostId, name, status, image_id AS imageId, created_at_ms AS createdAtMs, started_at_ms AS startedAtMs, finished_at_ms AS finishedAtMs, exit_code AS exitCode, health, item';
  const count = sql<number>`count(*)`;
  return {
    container: from(containers).where(eq(containers.id, p('id'))).prepare(),
    containerByName: from(containers).where(eq(containers.name, p('name'))).orderBy(desc(containers.nameSeq)).limit(1).prepare(),
    containersByPrefix: from(containers).where(within(containers.id)).limit(2).prepare(),
    containers: from(containers)
      .where(and(sql`${containers.status} IN (SELECT value FROM json_each(${p('statuses')}))`, sql`(${p('hostId')} = '' OR ${containers.hostId} = ${p('hostId')})`))
      .orderBy(desc(containers.createdAtMs), desc(containers.id))
      .prepare(),
    // Not through drizzle: mapping 20,000 rows takes it longer than SQLite takes to find them.
    allItems: orm.$client.prepare(`SELECT ${itemColumns} FROM containers ORDER BY created_at_ms DESC, id DESC`),
    items: orm.$client.prepare(`SELECT ${itemColumns} FROM containers WHERE status IN (SELECT value FROM json_each(@statuses)) AND (@hostId = '' OR host_id = @hostId) ORDER BY created_at_ms DESC, id DESC`),
    countsByHost: orm.select({ hostId: containers.hostId, status: containers.status, count }).from(containers).groupBy(containers.hostId, containers.status).prepare(),
    ofImage: orm.select({ id: containers.id, name: containers.name, hostId: containers.hostId, status: containers.status }).from(containers).where(eq(containers.imageId, p('imageId'))).prepare(),
    placement: from(placements).where(eq(placements.id, p('id'))).prepare(),
    hosts: from(hosts).orderBy(asc(hosts.id)).prepare(),
    host: from(hosts).where(eq(hosts.id, p('id'))).prepare(),
    images: from(images).orderBy(asc(images.name), asc(images.hostId)).prepare(),
    imagesByName: from(images).where(eq(images.name, p('name'))).orderBy(asc(images.hostId)).prepare(),
    imagesById: from(images).where(within(images.imageId)).orderBy(asc(images.name), asc(images.hostId)).limit(1_000).prepare(),
    newestByName: from(images).where(eq(images.name, p('name'))).orderBy(desc(images.seq)).limit(1).prepare(),
    newestById: from(images).where(eq(images.imageId, p('imageId'))).orderBy(desc(images.seq)).limit(1).prepare(),
    imageIds: orm.selectDistinct({ imageId: images.imageId }).from(images).where(within(images.imageId)).limit(2).prepare(),
    exec: from(execs).where(eq(execs.id, p('id'))).prepare(),
    execsOf: from(execs).where(eq(execs.containerId, p('containerId'))).prepare(),
    kernels: from(kernels).orderBy(asc(kernels.name)).prepare(),
    record: from(records).where(and(eq(records.kind, p('kind')), eq(records.id, p('id')))).prepare(),
    records: from(records).where(eq(records.kind, p('kind'))).orderBy(asc(records.id)).prepare(),
    recordOrigin: orm.select({ seq: records.seq }).from(records).where(and(eq(records.kind, p('kind')), eq(records.id, p('id')))).prepare(),
    containerOrigin: orm.select({ seq: containers.seq }).from(containers).where(and(eq(containers.id, p('id')), eq(containers.hostId, p('hostId')))).prepare(),
    placementOrigin: orm.select({ seq: placements.seq }).from(placements).where(eq(placements.id, p('id'))).prepare(),
    hostOrigin: orm.select({ seq: hosts.seq }).from(hosts).where(eq(hosts.id, p('id'))).prepare(),
    imageOrigin: orm.select({ seq: images.seq }).from(images).where(and(eq(images.key, p('id')), eq(images.hostId, p('hostId')))).prepare(),
    execOrigin: orm.select({ seq: execs.seq }).from(execs).where(eq(execs.id, p('id'))).prepare(),
    kernelOrigin: orm.select({ seq: kernels.seq }).from(kernels).where(eq(kernels.id, p('id'))).prepare(),
    statusCounts: orm.select({ status: containers.status, count }).from(containers).where(inArray(containers.status, [...presentStatuses])).groupBy(containers.status).prepare(),
    imageCount: orm.select({ count: sql<number>`count(DISTINCT ${images.imageId})` }).from(images).prepare(),
    hostCounts: orm.select({ status: hosts.status, count }).from(hosts).groupBy(hosts.status).prepare(),
  };
}
