// Writes the rows that a batch changed into the present's tables. Called inside the projector's transaction; decides nothing.
import { and, eq, sql } from 'drizzle-orm';
import type { Orm } from './database.ts';
import type { PresentChanges } from './present.ts';
import { containers, execs, hosts, images, kernels, placements, records } from './schema.ts';

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
      else {
        const { state, nameSeq, columns } = row;
        to.putContainer.run({ seq: row.seq, ...columns, id, hostId: state.hostId, name: state.name, nameSeq, status: state.status, imageId: state.spec.image.id, createdAtMs: state.createdAtMs });
      }
    }
    for (const [id, row] of changes.placements) {
      if (row === null) to.dropPlacement.run({ id });
      else to.putPlacement.run({ seq: row.seq, id, name: row.state.name, status: row.state.status });
    }
    for (const [id, row] of changes.hosts) {
      if (row === null) to.dropHost.run({ id });
      else to.putHost.run({ seq: row.seq, id, status: row.state.state });
    }
    for (const [id, row] of changes.images) {
      const [hostId = '', key = ''] = id.split(' ');
      if (row === null) to.dropImage.run({ hostId, key });
      else to.putImage.run({ seq: row.seq, hostId, key, name: row.state.name, imageId: row.state.record.id });
    }
    for (const [id, row] of changes.kernels) {
      if (row === null) to.dropKernel.run({ id });
      else to.putKernel.run({ seq: row.seq, id, name: row.state.name });
    }
    for (const [key, row] of changes.records) {
      const [kind = '', id = ''] = key.split(' ');
      if (row === null) to.dropRecord.run({ kind, id });
      else to.putRecord.run({ seq: row.seq, kind, id });
    }
    for (const [id, row] of changes.execs) {
      if (row === null) to.dropExec.run({ id });
      else to.putExec.run({ seq: row.seq, id, containerId: row.state.containerId, hostId: row.state.hostId, status: row.state.status });
    }
  }
}

function prepare(orm: Orm) {
  const p = sql.placeholder;
  const from = { seq: p('seq') };
  const excluded = (...columns: readonly string[]) => Object.fromEntries(columns.map((name) => [name, sql.raw(`excluded.${name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}`)]));
  return {
    putContainer: orm
      .insert(containers)
      .values({ id: p('id'), hostId: p('hostId'), name: p('name'), nameSeq: p('nameSeq'), status: p('status'), imageId: p('imageId'), createdAtMs: p('createdAtMs'), startedAtMs: p('startedAtMs'), finishedAtMs: p('finishedAtMs'), exitCode: p('exitCode'), health: p('health'), item: p('item'), ...from })
      .onConflictDoUpdate({ target: containers.id, set: excluded('hostId', 'name', 'nameSeq', 'status', 'imageId', 'createdAtMs', 'startedAtMs', 'finishedAtMs', 'exitCode', 'health', 'item', 'seq') })
      .prepare(),
    dropContainer: orm.delete(containers).where(eq(containers.id, p('id'))).prepare(),
    putPlacement: orm.insert(placements).values({ id: p('id'), name: p('name'), status: p('status'), ...from }).onConflictDoUpdate({ target: placements.id, set: excluded('name', 'status', 'seq') }).prepare(),
    dropPlacement: orm.delete(placements).where(eq(placements.id, p('id'))).prepare(),
    putHost: orm.insert(hosts).values({ id: p('id'), status: p('status'), ...from }).onConflictDoUpdate({ target: hosts.id, set: excluded('status', 'seq') }).prepare(),
    dropHost: orm.delete(hosts).where(eq(hosts.id, p('id'))).prepare(),
    putImage: orm
      .insert(images)
      .values({ hostId: p('hostId'), key: p('key'), name: p('name'), imageId: p('imageId'), ...from })
      .onConflictDoUpdate({ target: [images.hostId, images.key], set: excluded('name', 'imageId', 'seq') })
      .prepare(),
    dropImage: orm.delete(images).where(and(eq(images.hostId, p('hostId')), eq(images.key, p('key')))).prepare(),
    putExec: orm
      .insert(execs)
      .values({ id: p('id'), containerId: p('containerId'), hostId: p('hostId'), status: p('status'), ...from })
      .onConflictDoUpdate({ target: execs.id, set: excluded('containerId', 'hostId', 'status', 'seq') })
      .prepare(),
    putKernel: orm.insert(kernels).values({ id: p('id'), name: p('name'), ...from }).onConflictDoUpdate({ target: kernels.id, set: excluded('name', 'seq') }).prepare(),
    dropKernel: orm.delete(kernels).where(eq(kernels.id, p('id'))).prepare(),
    putRecord: orm.insert(records).values({ kind: p('kind'), id: p('id'), ...from }).onConflictDoUpdate({ target: [records.kind, records.id], set: excluded('seq') }).prepare(),
    dropRecord: orm.delete(records).where(and(eq(records.kind, p('kind')), eq(records.id, p('id')))).prepare(),
    dropExec: orm.delete(execs).where(eq(execs.id, p('id'))).prepare(),
    dropExecsOf: orm.delete(execs).where(eq(execs.containerId, p('id'))).prepare(),
  };
}
