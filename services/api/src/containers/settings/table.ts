// The form of the settings table: one row for each member of Docker's JSON that takes effect, read and shown in one place.
import type { DockerCreateBody, DockerHostConfig } from '@pouch/contracts';
import type { ContainerSpec } from '@pouch/domain';
import type { Draft, Surroundings } from './draft.ts';

/** Says something about the container that its maker should know, e.g. that a setting is without effect in its network mode. */
export type Warn = (warning: string) => void;

export interface Reading {
  readonly field: string;
  readonly surroundings: Surroundings;
  readonly warn: Warn;
}

/** One of Docker's settings: how it changes the draft when it is given, and what inspect shows for a spec. */
export interface Setting {
  readonly field: string;
  readonly member: string;
  readonly inHostConfig: boolean;
  readonly read: (draft: Draft, value: unknown, reading: Reading) => void;
  readonly show: (spec: ContainerSpec) => unknown;
}

type Read<T> = (draft: Draft, value: NonNullable<T>, reading: Reading) => void;

/** A row for a member of the body itself. The schema has checked the value's form before `read` sees it. */
export function config<K extends Exclude<keyof DockerCreateBody, 'HostConfig' | 'NetworkingConfig'>>(member: K, read: Read<DockerCreateBody[K]>, show: (spec: ContainerSpec) => unknown): Setting {
  return { field: member, member, inHostConfig: false, read: read as Setting['read'], show };
}

/** A row for a member of `HostConfig`. */
export function host<K extends keyof DockerHostConfig>(member: K, read: Read<DockerHostConfig[K]>, show: (spec: ContainerSpec) => unknown): Setting {
  return { field: `HostConfig.${member}`, member, inHostConfig: true, read: read as Setting['read'], show };
}

/** Docker's command lines come as one word or as a list. */
export const words = (value: string | readonly string[]): readonly string[] => (typeof value === 'string' ? [value] : value);
