// The table of aggregates: one decide and evolve each, by kind. Everything that works on any aggregate (verify, projector) goes through it.
import { evolveJoinToken, evolveMember, type JoinToken, type JoinTokenEvent, type Member, type MemberEvent } from './access/join.ts';
import { evolvePolicy, type Policy, type PolicyEvent } from './access/policy.ts';
import { evolveRefusals, type RefusalEvent, type Refusals } from './access/refusal.ts';
import { evolveSecret, type Secret, type SecretEvent } from './access/secret.ts';
import { evolveToken, type Token, type TokenEvent } from './access/token.ts';
import { evolveContainer } from './container/evolve.ts';
import type { Container, ContainerEvent } from './container/state.ts';
import { evolveExec, type Exec, type ExecEvent } from './exec.ts';
import { evolveHost, type Host, type HostEvent } from './host.ts';
import { evolveImage, type Image, type ImageEvent } from './image.ts';
import { evolveKernel, type Kernel, type KernelEvent } from './kernel.ts';
import { evolvePlacement, type Placement, type PlacementEvent } from './placement/placement.ts';
import { evolveService } from './service/evolve.ts';
import type { Service, ServiceEvent } from './service/state.ts';
import { evolveVolume, type Volume, type VolumeEvent } from './volume.ts';

/** State and event types of each aggregate kind. */
export interface Aggregates {
  readonly placement: { readonly state: Placement; readonly event: PlacementEvent };
  readonly container: { readonly state: Container; readonly event: ContainerEvent };
  readonly host: { readonly state: Host; readonly event: HostEvent };
  readonly image: { readonly state: Image; readonly event: ImageEvent };
  readonly exec: { readonly state: Exec; readonly event: ExecEvent };
  readonly kernel: { readonly state: Kernel; readonly event: KernelEvent };
  readonly token: { readonly state: Token; readonly event: TokenEvent };
  readonly policy: { readonly state: Policy; readonly event: PolicyEvent };
  readonly refusal: { readonly state: Refusals; readonly event: RefusalEvent };
  readonly secret: { readonly state: Secret; readonly event: SecretEvent };
  readonly join: { readonly state: JoinToken; readonly event: JoinTokenEvent };
  readonly member: { readonly state: Member; readonly event: MemberEvent };
  readonly service: { readonly state: Service; readonly event: ServiceEvent };
  readonly volume: { readonly state: Volume; readonly event: VolumeEvent };
}

export type AggregateKind = keyof Aggregates;
export type StateOf<K extends AggregateKind> = Aggregates[K]['state'];
export type EventOf<K extends AggregateKind> = Aggregates[K]['event'];
export type AnyEvent = { [K in AggregateKind]: EventOf<K> }[AggregateKind];

export const evolvers: { readonly [K in AggregateKind]: (state: StateOf<K> | null, event: EventOf<K>) => StateOf<K> | null } = {
  placement: evolvePlacement,
  container: evolveContainer,
  host: evolveHost,
  image: evolveImage,
  exec: evolveExec,
  kernel: evolveKernel,
  token: evolveToken,
  policy: evolvePolicy,
  refusal: evolveRefusals,
  secret: evolveSecret,
  join: evolveJoinToken,
  member: evolveMember,
  service: evolveService,
  volume: evolveVolume,
};

/** Folds the events of one message onto a state. */
export function fold<K extends AggregateKind>(kind: K, state: StateOf<K> | null, events: readonly EventOf<K>[]): StateOf<K> | null {
  return events.reduce<StateOf<K> | null>((folded, event) => evolvers[kind](folded, event), state);
}
