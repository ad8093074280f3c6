// One append after the other, as a command is answered: with the expected sequence and an id, each acknowledged before the next.
import { toMessage, type Message } from '@pouch/contracts';
import { openEventLog } from '@pouch/eventlog';
import { createLogger } from '@pouch/process';
import { LogOfEntries } from '../../fixtures/log-entries.ts';
import { makeMembers } from '../../fixtures/members.ts';
import { startNats } from '../../fixtures/nats.ts';
import { byTurns, median, round2, summary, type Side } from '../figures.ts';
import type { Session } from '../session.ts';
import { fill, syntheticLog } from './synthetic.ts';

/** `always` is Pouch's default: acknowledged means fsynced. `2m` is nats-server's. `plain`: without TLS and credentials, which no cluster is, to see what they cost. */
const kinds = [
  { name: 'sync always', sync: 'always', members: true }, { name: 'sync 2m', sync: '2m', members: true },
  { name: 'sync always, plain', sync: 'always', members: false }, { name: 'sync 2m, plain', sync: '2m', members: false },
] as const;
const perRound = 300;
const warmUp = 1;
const pipelined = { containers: 500, atOnce: 64 };
const readyMs = 20_000;

export async function appends(session: Session, rounds: number): Promise<void> {
  const sides: (Side & { readonly each: number[]; readonly together: number })[] = [];
  const members = await makeMembers();
  session.undo('members', () => members.remove());
  const address = await members.address({ kind: 'api' });
  // The first of them pays for what the engine compiles: it is not counted.
  for (const { name, sync, members: known } of [kinds[0], ...kinds]) {
    const nats = await startNats({ sync, ...(known ? { config: members.config } : {}) });
    session.undo(`nats-server ${name}`, () => nats.stop());
    const log = openEventLog<Message>({ servers: nats.url, ...(known ? address : {}), name: 'bench', logger: createLogger({ service: 'bench', level: 'silent' }), check: toMessage });
    session.undo(`log ${name}`, () => log.close());
    await log.ready(readyMs);
    const each: number[] = [];
    const heads = new Map<string, number>();
    let counted = -warmUp;
    const round = async (): Promise<{ total: number }> => {
      const messages = lifeOfContainers(`${name}-${counted}`);
      const began = performance.now();
      for (const { subject, message } of messages) {
        const from = performance.now();
        const { seq } = await log.append({ subject, message, expectedSeq: heads.get(subject) ?? 0 });
        if (counted >= 0) each.push(performance.now() - from);
        heads.set(subject, seq);
      }
      heads.clear(); // each round has subjects of its own
      counted += 1;
      return { total: performance.now() - began };
    };
    const together = await fill(log, syntheticLog(pipelined.containers), pipelined.atOnce);
    sides.push({ name, round, each, together });
  }
  sides.shift();
  const samples = await byTurns(sides, { rounds, warmUp });
  for (const { name, each, together } of sides) {
    const perSecond = perRound / (median(samples.get(name)?.get('total') ?? []) / 1_000);
    session.tell({ figure: 'append', unit: 'ms', side: name, ...summary(each) });
    session.tell({ figure: 'append one by one', unit: '1/s', side: name, value: Math.round(perSecond) });
    session.tell({ figure: `append ${pipelined.atOnce} at once`, unit: '1/s', side: name, value: Math.round(together) });
  }
  const bytes = lifeOfContainers('size').map(({ message }) => Buffer.byteLength(JSON.stringify(message)));
  session.tell({ figure: 'message size', unit: 'bytes', value: round2(median(bytes)) });
}

let made = 0;

/** `perRound` messages of containers that come, run and end; no two calls share a subject or an id. */
function lifeOfContainers(tag: string): { subject: string; message: Message }[] {
  const log = new LogOfEntries({ tag });
  while (log.entries.length < perRound) {
    const n = 1_000_000 + made++;
    log.create(n);
    log.exit(n, log.start(n));
  }
  return log.entries.slice(0, perRound).map(({ subject, payload }) => ({ subject, message: toMessage(JSON.parse(Buffer.from(payload).toString())) }));
}
