// The runtimes that the same tests are run over, and all that differs between them. A container of runc shares the host's kernel, one of runv
// has its own: what a test says of one it says of the other, but for what stands here.
import { guestMissing } from '../../fixtures/guest-boot.ts';

export type RuntimeUnderTest = {
  readonly name: 'runc' | 'runv';
  /** Why its containers cannot run here, or false. */
  readonly skip: string | false;
  /** Its processes have the host's kernel below them. */
  readonly sharesKernel: boolean;
  /** Tests of a file at once: a machine without KVM takes a whole core for half a second as it starts. */
  readonly atOnce: number;
  /** Little memory for a container, as `-m` takes it: a kernel of its own needs some for itself. */
  readonly leastMemory: string;
};

const missing = await guestMissing();

export const runtimes: readonly RuntimeUnderTest[] = [
  { name: 'runc', skip: false, sharesKernel: true, atOnce: 3, leastMemory: '16m' },
  { name: 'runv', skip: missing, sharesKernel: false, atOnce: 2, leastMemory: '96m' },
];

/** Whether a cluster for these tests needs a guest kernel. */
export const machines: boolean = missing === false;
