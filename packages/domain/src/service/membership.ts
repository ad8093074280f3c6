// Which service a container belongs to: all that a container's settings know of services. Types only.

/** Which service a container is a replica of; only the scheduler gives it. */
export interface ServiceMembership {
  readonly uid: string;
  readonly name: string;
  readonly slot: number;
  readonly generation: number;
}
