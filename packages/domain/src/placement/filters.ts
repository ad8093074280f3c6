// What can keep a container from a host: filters, each of which explains itself in one sentence that a person can act on. Read-only.
import { labelsOfHost, type Host } from '../host.ts';
import type { HostId } from '../ids.ts';
import type { ContainerSpec } from '../container/spec.ts';
import { explainKernel, isMachine, kernelOf, type CataloguedKernel } from '../machine.ts';
import { compilePattern, type Expression } from './expression.ts';
import type { Verdict } from './placement.ts';
import { clashingPort, explainFit, type Amounts, type PortBook } from './room.ts';
import { noRules } from './rules.ts';
import { boundVolumes } from '../volume.ts';

/** A host as the scheduler sees it at the moment of choosing. */
export interface Candidate {
  readonly host: Host;
  readonly reserved: Reserved;
  readonly contents: HostContents;
}

/** What the containers on a host have been promised. */
export interface Reserved extends Amounts {
  readonly containers: number;
  readonly ports: PortBook;
  /** Containers by `groupOf`. */
  readonly groups: ReadonlyMap<string, number>;
}

/** What a host has, for affinities and joined networks. Asked for only by containers that have some. */
export interface HostContents {
  readonly containers: () => Iterable<Occupant>;
  readonly images: () => Iterable<HeldImage>;
}

export interface Occupant {
  readonly id: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
}

export interface HeldImage {
  readonly id: string;
  /** Canonical, `docker.io/library/redis:7`. */
  readonly name: string;
}

export interface Filter {
  readonly name: string;
  /** Whether only the host itself is looked at: what is promised and held on it changes nothing then. */
  readonly ofHost: boolean;
  /** Null: may run here; else one sentence why not. */
  readonly explain: (candidate: Candidate) => string | null;
}

/** The host that has a volume's data, by the volume's name; null: none has yet. */
export type VolumePlaces = (name: string) => HostId | null;

/** Makes the filters of one container, in order of cheapness: patterns are compiled once, not for each host. */
export function filtersOf(spec: ContainerSpec, catalogued: CataloguedKernel, volumes: VolumePlaces = () => null): readonly Filter[] {
  const rules = spec.placement ?? noRules;
  const hard = rules.constraints.filter(({ soft }) => !soft).map((one) => [one, constraintTest(one)] as const);
  const near = rules.affinities.filter(({ soft }) => !soft).map((one) => [one, affinityTest(one)] as const);
  return [
    { name: 'health', ofHost: true, explain: ({ host }) => (host.state === 'up' ? null : `the host is ${host.state}: its agent is not heard of`) },
    { name: 'cordon', ofHost: true, explain: ({ host }) => (host.cordoned ? `the host is ${host.drain === undefined ? 'cordoned' : 'being drained'} and takes no new containers: pouch cluster hosts uncordon ${host.id} makes it take them` : null) },
    { name: 'platform', ofHost: true, explain: ({ host }) => explainPlatform(spec, host) },
    { name: 'runtime', ofHost: true, explain: ({ host }) => explainRuntime(spec, host) },
    { name: 'acceleration', ofHost: true, explain: ({ host }) => explainAcceleration(spec, host) },
    { name: 'kernel', ofHost: true, explain: ({ host }) => explainKernel(spec, host, catalogued) },
    ...joins(spec),
    ...sharesMounts(spec),
    ...attached(spec, volumes),
    ...hard.map(([{ text, key }, test]): Filter => ({ name: 'constraint', ofHost: true, explain: ({ host }) => (test(host) ? null : `${text} is asked for, and ${constraintValueText(host, key)}`) })),
    { name: 'capacity', ofHost: false, explain: ({ host, reserved }) => explainFit(spec, host.facts.capacity, reserved) },
    { name: 'ports', ofHost: false, explain: ({ reserved }) => explainPorts(spec, reserved) },
    ...near.map(([{ text, key, negated }, test]): Filter => ({ name: 'affinity', ofHost: false, explain: ({ contents }) => (test(contents) ? null : `${text} is asked for, and it has ${negated ? 'such' : 'no such'} ${affinityWord(key)}`) })),
  ];
}

/** The first filter that objects is the one that is told. Null: the host can take the container. */
export function objectionOf(candidate: Candidate, filters: readonly Filter[]): Verdict | null {
  for (const { name, explain } of filters) {
    const reason = explain(candidate);
    if (reason !== null) return { hostId: candidate.host.id, filter: name, reason, score: null };
  }
  return null;
}

/** Which containers are counted together where they are spread over a label. */
export function groupOf({ placement, image }: Pick<ContainerSpec, 'placement' | 'image'>): string {
  return placement?.group ?? image.name ?? image.id;
}

/** Whether a container belongs where another container or a volume is. */
export function isTied({ network, mounts, volumesFrom = [] }: Pick<ContainerSpec, 'network' | 'mounts' | 'volumesFrom'>): boolean {
  return network.mode === 'container' || volumesFrom.length > 0 || boundVolumes(mounts).length > 0;
}

/** All that filters and rank look at of a container that is not tied, as a text: containers alike in this are chosen for alike. */
export function shapeOf(spec: ContainerSpec): string {
  const { runtime, platform, placement, resources, ports, network } = spec;
  return JSON.stringify([runtime, platform, kernelOf(spec), placement, resources, ports, network, groupOf(spec)]);
}

/** Preferences of a container: constraints and affinities that are soft. */
export function preferencesOf({ placement = noRules }: Pick<ContainerSpec, 'placement'>): readonly ((candidate: Candidate) => boolean)[] {
  return [
    ...placement.constraints.filter(({ soft }) => soft).map(constraintTest).map((test) => ({ host }: Candidate) => test(host)),
    ...placement.affinities.filter(({ soft }) => soft).map(affinityTest).map((test) => ({ contents }: Candidate) => test(contents)),
  ];
}

function explainPlatform({ platform }: ContainerSpec, { facts }: Host): string | null {
  if (platform === undefined) return null; // asked for by an earlier version
  const has = facts.platform;
  if (platform.os === has.os && platform.architecture === has.architecture) return null;
  return `the image is for ${platform.os}/${platform.architecture}, the host is ${has.os}/${has.architecture}`;
}

function explainRuntime(spec: ContainerSpec, { facts }: Host): string | null {
  const names = facts.runtimes.map((runtime) => runtime.name);
  return names.includes(spec.runtime) ? null : `it has no runtime ${JSON.stringify(spec.runtime)}; it has ${names.join(', ')}`;
}

function explainAcceleration(spec: ContainerSpec, { facts }: Host): string | null {
  const wanted = spec.placement?.acceleration ?? null;
  if (wanted === null || !isMachine(spec)) return null;
  const has = facts.machines?.acceleration ?? null;
  if (has === wanted) return null;
  return has === null ? `it does not say yet how it runs virtual machines, and ${wanted} is asked for` : `it runs virtual machines with ${has}, and ${wanted} is asked for`;
}

/** A network namespace is shared on one host only. */
function joins({ network }: ContainerSpec): readonly Filter[] {
  if (network.mode !== 'container') return [];
  const { containerId } = network;
  return [{ name: 'network', ofHost: false, explain: ({ contents }) => (some(contents.containers(), ({ id }) => id === containerId) ? null : `the network of container ${containerId.slice(0, 12)} is to be joined, and that container is not on this host`) }];
}

/** What another container has mounted is on its host. */
function sharesMounts({ volumesFrom = [] }: ContainerSpec): readonly Filter[] {
  return volumesFrom.map(({ containerId }): Filter => ({
    name: 'volumes', ofHost: false,
    explain: ({ contents }) => (some(contents.containers(), ({ id }) => id === containerId) ? null : `the mounts of container ${containerId.slice(0, 12)} are asked for, and that container is not on this host`),
  }));
}

/** A volume is a directory of one host. */
function attached({ mounts }: ContainerSpec, volumes: VolumePlaces): readonly Filter[] {
  return boundVolumes(mounts).flatMap((name): readonly Filter[] => {
    const place = volumes(name);
    return place === null ? [] : [{ name: 'volumes', ofHost: false, explain: ({ host }) => (host.id === place ? null : `volume ${name} is on host ${place}, and its data cannot be had elsewhere`) }];
  });
}

function explainPorts(spec: ContainerSpec, { ports }: Reserved): string | null {
  const taken = clashingPort(spec, ports, true);
  if (taken === null) return null;
  return `host port ${taken.hostIp === '' ? '' : `${taken.hostIp.includes(':') ? `[${taken.hostIp}]` : taken.hostIp}:`}${taken.hostPort}/${taken.protocol} is taken by another container: stop that one, or publish another port`;
}

/** What a key of a constraint stands for on a host; null: it has no such label. */
function constraintValues(host: Host, key: string): readonly string[] | null {
  const { facts } = host;
  switch (key) {
    case 'node':
      return [host.id, facts.hostname];
    case 'node.id':
      return [host.id];
    case 'node.hostname':
      return [facts.hostname];
    case 'node.platform.os':
      return [facts.platform.os];
    case 'node.platform.arch':
      return [facts.platform.architecture];
    case 'operatingsystem':
      return [facts.platform.osName];
    case 'kernelversion':
      return [facts.platform.kernelVersion];
    case 'acceleration':
      return facts.machines?.acceleration === undefined || facts.machines.acceleration === null ? null : [facts.machines.acceleration];
  }
  const labels = labelsOfHost(host);
  const name = Object.hasOwn(labels, key) ? key : key.replace(/^node\.labels?\./, '');
  return Object.hasOwn(labels, name) ? [labels[name] ?? ''] : null;
}

/** A label that is not there equals nothing, so that `!=` holds for it. */
function constraintTest({ key, negated, pattern }: Expression): (host: Host) => boolean {
  const matches = compilePattern(pattern);
  return (host) => (constraintValues(host, key) ?? []).some(matches) !== negated;
}

function constraintValueText(host: Host, key: string): string {
  const values = constraintValues(host, key);
  if (values !== null) return `its ${key} is ${[...new Set(values)].map((value) => JSON.stringify(value)).join(', ')}`;
  return `it has no label ${JSON.stringify(key)}: pouch cluster hosts label ${host.id} gives it one`;
}

/** `container` by id, beginning of one, or name; `image` by id or any way to write its name; any other key is a label of containers. */
function affinityTest({ key, negated, pattern }: Expression): (contents: HostContents) => boolean {
  const matches = compilePattern(pattern);
  const prefix = pattern.kind === 'glob' && /^[0-9a-f]{12,63}$/.test(pattern.text) ? pattern.text : null;
  switch (key) {
    case 'container':
      return ({ containers }) => some(containers(), ({ id, name }) => matches(name) || matches(id) || (prefix !== null && id.startsWith(prefix))) !== negated;
    case 'image':
      return ({ images }) => some(images(), (image) => imageNames(image).some(matches) || (prefix !== null && image.id.startsWith(`sha256:${prefix}`))) !== negated;
    default:
      return ({ containers }) => some(containers(), ({ labels }) => Object.hasOwn(labels, key) && matches(labels[key] ?? '')) !== negated;
  }
}

const affinityWord = (key: string): string => (key === 'container' || key === 'image' ? key : `container with the label ${JSON.stringify(key)}`);

/** The id, and the name as it is stored and as people write it, with its tag and without. */
function imageNames({ id, name }: HeldImage): readonly string[] {
  const familiar = name.replace(/^docker\.io\/(?:library\/)?/, '');
  const plain = (text: string): string => (text.lastIndexOf(':') > text.lastIndexOf('/') ? text.slice(0, text.lastIndexOf(':')) : text);
  return [id, name, familiar, plain(name), plain(familiar)];
}

function some<T>(items: Iterable<T>, test: (item: T) => boolean): boolean {
  for (const item of items) if (test(item)) return true;
  return false;
}
