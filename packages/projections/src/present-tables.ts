// Writes the rows that a batch changed into the present's tables. Called inside the projector's transaction; decides nothing.
import { and, eq, sql, type Query } from 'drizzle-orm';
import type { Orm } from './database.ts';
import type { PresentChanges } from './present.ts';
import { containers, execs, hosts, images, kernels, placements, records } from './schema.ts';
import { writing, type Writing } from './writing.ts';

export class PresentTables {
  readonly #statements: ReturnType<typeof prepare>;

  constructor(orm: Orm) {
    this.#statements = prepare(orm);
  }

  write(changes: PresentChanges): void {
    const to = this.#statements;
    for (const id of changes.execsGoneOf) to.dropExecsOf.run({ id });
    for (const [id, row] of changes.containers) {
      if (row === null) to.dropContainer.run({ id });
      else to.putContainer.run(row);
    }
    for (const [id, row] of changes.placements) {
      if (row === null) to.dropPlacement.run({ id });
      else to.putPlacement.run(row);
    }
    for (const [id, row] of changes.hosts) {
      if (row === null) to.dropHost.run({ id });
      else to.putHost.run(row);
    }
    for (const [id, row] of changes.images) {
      const [hostId = '', key = ''] = id.split(' ');
      if (row === null) to.dropImage.run({ hostId, key });
      else to.putImage.run(row);
    }
    for (const [id, row] of changes.kernels) {
      if (row === null) to.dropKernel.run({ id });
      else to.putKernel.run(row);
    }
    for (const [key, row] of changes.records) {
      const [kind = '', id = ''] = key.split(' ');
      if (row === null) to.dropRecord.run({ kind, id });
      else to.putRecord.run(row);
    }
    for (const [id, row] of changes.execs) {
      if (row === null) to.dropExec.run({ id });
      else to.putExec.run(row);
    }
  }
}

function prepare(orm: Orm) {
  const p = sql.placeholder;
  const from = { seq: p('seq') };
  const excluded = (...columns: readonly string[]) => Object.fromEntries(columns.map((name) => [name, sql.raw(`excluded.${name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}`)]));
  const to = (query: { toSQL(): Query }): Writing => writing(orm, query);
  return {
    putContainer: to(
      orm
        .insert(containers)
        .values({ id: p('id'), hostId: p('hostId'), name: p('name'), nameSeq: p('nameSeq'), status: p('status'), imageId: p('imageId'), createdAtMs: p('createdAtMs'), startedAtMs: p('startedAtMs'), finishedAtMs: p('finishedAtMs'), exitCode: p('exitCode'), health: p('health'), item: p('item'), ...from })
        .onConflictDoUpdate({ target: containers.id, set: excluded('hostId', 'name', 'nameSeq', 'status', 'imageId', 'createdAtMs', 'startedAtMs', 'finishedAtMs', 'exitCode', 'health', 'item', 'seq') }),
    ),
    dropContainer: to(orm.delete(containers).where(eq(containers.id, p('id')))),
    putPlacement: to(orm.insert(placements).values({ id: p('id'), name: p('name'), status: p('status'), ...from }).onConflictDoUpdate({ target: placements.id, set: excluded('name', 'status', 'seq') })),
    dropPlacement: to(orm.delete(placements).where(eq(placements.id, p('id')))),
    putHost: to(orm.insert(hosts).values({ id: p('id'), status: p('status'), ...from }).onConflictDoUpdate({ target: hosts.id, set: excluded('status', 'seq') })),
    dropHost: to(orm.delete(hosts).where(eq(hosts.id, p('id')))),
    putImage: to(
      orm
        .insert(images)
        .values({ hostId: p('hostId'), key: p('key'), name: p('name'), imageId: p('imageId'), ...from })
        .onConflictDoUpdate({ target: [images.hostId, images.key], set: excluded('name', 'imageId', 'seq') }),
    ),
    dropImage: to(orm.delete(images).where(and(eq(images.hostId, p('hostId')), eq(images.key, p('key'))))),
    putExec: to(
      orm
        .insert(execs)
        .values({ id: p('id'), containerId: p('containerId'), hostId: p('hostId'), status: p('status'), ...from })
        .onConflictDoUpdate({ target: execs.id, set: excluded('containerId', 'hostId', 'status', 'seq') }),
    ),
    putKernel: to(orm.insert(kernels).values({ id: p('id'), name: p('name'), ...from }).onConflictDoUpdate({ target: kernels.id, set: excluded('name', 'seq') })),
    dropKernel: to(orm.delete(kernels).where(eq(kernels.id, p('id')))),
    putRecord: to(orm.insert(records).values({ kind: p('kind'), id: p('id'), ...from }).onConflictDoUpdate({ target: [records.kind, records.id], set: excluded('seq') })),
    dropRecord: to(orm.delete(records).where(and(eq(records.kind, p('kind')), eq(records.id, p('id'))))),
    dropExec: to(orm.delete(execs).where(eq(execs.id, p('id')))),
    dropExecsOf: to(orm.delete(execs).where(eq(execs.containerId, p('id')))),
  };
}
