// A log of a large cluster, made by the domain's own decisions: what a rebuild has to read and a list has to answer.
import { toMessage, type Message } from '@pouch/contracts';
import type { EventLog } from '@pouch/eventlog';
import { LogOfEntries } from '../../fixtures/log-entries.ts';

/** Messages of `containers` containers: all are made, every tenth has run once. */
export function syntheticLog(containers: number): LogOfEntries {
  const log = new LogOfEntries();
  log.join();
  for (let n = 0; n < containers; n++) {
    log.create(n, { name: `bench-${n}` });
    if (n % 10 === 0) log.exit(n, log.start(n));
  }
  return log;
}

/** Appends the entries, `atOnce` subjects at a time, the messages of one subject in their order. Answers messages per second. */
export async function fill(log: EventLog<Message>, { entries }: LogOfEntries, atOnce: number): Promise<number> {
  const bySubject = new Map<string, Message[]>();
  for (const { subject, payload } of entries) {
    const message = toMessage(JSON.parse(Buffer.from(payload).toString()));
    const of = bySubject.get(subject);
    if (of === undefined) bySubject.set(subject, [message]);
    else of.push(message);
  }
  const subjects = bySubject.entries();
  const began = performance.now();
  // The workers share one iterator: each takes the next subject.
  await Promise.all(Array.from({ length: atOnce }, async () => {
    for (const [subject, messages] of subjects) {
      let expectedSeq = 0;
      for (const message of messages) expectedSeq = (await log.append({ subject, message, expectedSeq })).seq;
    }
  }));
  return entries.length / ((performance.now() - began) / 1_000);
}
