// Docker's filters on events: which of them are to be told. Pure; source: Docker Engine API, "Monitor events".
import type { HistoryFilter } from '@pouch/projections';
import { labelsMatch, type Filters } from '../http/filters.ts';
import { familiarName, withoutTag, type DockerEvent } from './docker-events.ts';

export const eventFilterNames = ['config', 'container', 'daemon', 'event', 'image', 'label', 'network', 'node', 'plugin', 'scope', 'secret', 'service', 'type', 'volume'] as const;

/** Filters on objects that no event of ours is about: with one of them nothing matches. */
const ofOtherObjects = ['config', 'network', 'plugin', 'secret'];

/** Compiles filters to a test. Values of one filter are alternatives (of `label` all must hold), different filters must all hold. */
export function eventFilter(filters: Filters): (event: DockerEvent) => boolean {
  const tests: ((event: DockerEvent) => boolean)[] = [];
  const wants = (name: string, test: (event: DockerEvent, value: string) => boolean) => {
    const values = filters.get(name);
    if (values !== undefined && values.length > 0) tests.push((event) => values.some((value) => test(event, value)));
  };
  wants('type', (event, value) => event.Type === value);
  wants('scope', (event, value) => event.scope === value);
  // `exec_create` stands for all of `exec_create: COMMAND`.
  wants('event', ({ Action }, value) => Action === value || Action.startsWith(`${value}: `));
  wants('container', ({ Type, Actor }, value) => Type === 'container' && (begins(Actor.ID, value) || begins(Actor.Attributes['name'], bare(value))));
  wants('image', (event, value) => imageMatches(event, value));
  wants('node', (event, value) => hostOf(event) === value || (event.Type === 'node' && event.Actor.Attributes['name'] === value));
  wants('daemon', (event, value) => hostOf(event) === value || (event.Type === 'node' && event.Actor.Attributes['name'] === value));
  wants('service', ({ Type, Actor }, value) => Type === 'service' && (begins(Actor.ID, value) || Actor.Attributes['name'] === value));
  wants('volume', ({ Type, Actor }, value) => Type === 'volume' && Actor.ID === value);
  for (const name of ofOtherObjects) wants(name, () => false);
  const labels = filters.get('label');
  if (labels !== undefined && labels.length > 0) tests.push((event) => labelsMatch(event.Actor.Attributes, labels));
  return (event) => tests.every((test) => test(event));
}

/** Kinds of aggregates that Docker has words for. */
export const toldKinds = ['container', 'exec', 'image', 'host', 'service', 'volume'];

/** What of the filters narrows the reading of the history. */
export function historyFilterOf(filters: Filters): HistoryFilter {
  const types = filters.get('type') ?? [];
  const kindsOf: Readonly<Record<string, readonly string[]>> = { container: ['container', 'exec'], image: ['image'], node: ['host'], service: ['service'], volume: ['volume'] };
  const ofTypes = types.length > 0 ? types.flatMap((type) => kindsOf[type] ?? []) : toldKinds;
  return { kinds: (filters.get('container') ?? []).length > 0 ? ofTypes.filter((kind) => kind === 'container' || kind === 'exec') : ofTypes };
}

function imageMatches({ Type, Actor }: DockerEvent, value: string): boolean {
  const name = Type === 'image' ? Actor.Attributes['name'] : Type === 'container' ? Actor.Attributes['image'] : undefined;
  if (Type === 'image' && (Actor.ID === value || Actor.ID.startsWith(`sha256:${value}`))) return true;
  if (name === undefined) return false;
  const wanted = familiarName(value);
  return [name, familiarName(name), withoutTag(familiarName(name))].includes(wanted) || (Type === 'image' && [Actor.ID, withoutTag(Actor.ID)].includes(wanted));
}

const hostOf = (event: DockerEvent) => (event.Type === 'node' ? event.Actor.ID : event.Actor.Attributes['node.name']);
const bare = (name: string) => (name.startsWith('/') ? name.slice(1) : name);
const begins = (text: string | undefined, prefix: string) => text !== undefined && prefix !== '' && text.startsWith(prefix);
