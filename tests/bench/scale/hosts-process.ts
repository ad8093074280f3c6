// The hosts of a large cluster in a process of their own, so that what they cost does not fall on whoever measures: scripted agents, each with a
// connection, credentials and heartbeats of its own. Told what to do by its parent, and gone with it.
import { startScriptedAgent, type ScriptedAgent, type ScriptedAgentOptions } from '../../fixtures/scripted-agent.ts';

/** Hosts that connect at the same time: each connection is a TLS handshake on both sides. */
const atOnce = 16;

export type HostSettings = Pick<ScriptedAgentOptions, 'hostId' | 'capacity' | 'labels' | 'member'> & { readonly hostId: string };
export type ToHosts = { readonly type: 'start'; readonly natsUrl: string; readonly hosts: readonly HostSettings[] } | { readonly type: 'take' } | { readonly type: 'stop' };
/** When a container came to its host: its id and the time in ms since 1970, with fractions. */
export type Arrival = readonly [containerId: string, atMs: number];
export type FromHosts = { readonly type: 'ready' } | { readonly type: 'arrivals'; readonly arrivals: readonly Arrival[] } | { readonly type: 'failed'; readonly error: string };

const agents: ScriptedAgent[] = [];
let arrivals: Arrival[] = [];

const say = (message: FromHosts): void => { process.send?.(message); };

async function start(natsUrl: string, hosts: readonly HostSettings[]): Promise<void> {
  const left = hosts.values();
  // The workers share one iterator: each takes the next host.
  await Promise.all(Array.from({ length: atOnce }, async () => {
    for (const settings of left) {
      agents.push(await startScriptedAgent({ natsUrl, ...settings, scheduled: true, onAssigned: ({ id }) => { arrivals.push([id, performance.timeOrigin + performance.now()]); } }));
    }
  }));
  say({ type: 'ready' });
}

async function stop(): Promise<void> {
  await Promise.all(agents.map((agent) => agent.stop()));
  process.disconnect();
}

const attempt = (work: Promise<void>): void => { work.catch((error: unknown) => { say({ type: 'failed', error: error instanceof Error ? `${error.message} ${String(error.cause ?? '')}` : String(error) }); }); };

process.on('message', (message: ToHosts) => {
  switch (message.type) {
    case 'start':
      return attempt(start(message.natsUrl, message.hosts));
    case 'take':
      say({ type: 'arrivals', arrivals });
      arrivals = [];
      return;
    case 'stop':
      return attempt(stop());
  }
});
process.on('disconnect', () => process.exit());
