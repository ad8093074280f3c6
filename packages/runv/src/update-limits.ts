// What of a machine's resources can change while it runs. Pure: it names what cannot.
import { Failure } from './failure.ts';

/** Members that take effect: on the host's control group, or in the guest. */
const changeable: Readonly<Record<string, readonly string[]>> = { memory: ['limit'], cpu: ['shares', 'quota', 'period', 'cpus', 'mems'], pids: ['limit'], blockIO: ['weight'] };
/** Why others cannot, where there is more to say than that. */
const reasons: Readonly<Record<string, string>> = {
  'memory.swap': 'its guest has no swap', 'memory.reservation': 'its memory is its own from the start', 'memory.kernel': 'its kernel is its own', 'devices': 'its devices are its kernel’s',
};

/** Callers send every member that there is, and mean nothing by what is empty, 0, or "as it is" (-1). */
const isNothing = (value: unknown): boolean => value === undefined || value === null || value === 0 || value === -1 || value === '' || value === false || (typeof value === 'object' && Object.values(value as object).every(isNothing));

/** `resources` as it was given (linux.resources of the OCI runtime spec). Throws `bad-spec` or `unsupported` with the member's name. */
export function refuseUpdate(resources: unknown): void {
  if (typeof resources !== 'object' || resources === null || Array.isArray(resources)) throw new Failure('bad-spec', 'the resources are no object');
  const refuse = (name: string): never => { throw new Failure('unsupported', `${name}: a running virtual machine cannot change this${reasons[name] === undefined ? '' : `: ${reasons[name]}`}`); };
  const limit = (resources as { memory?: { limit?: unknown } }).memory?.limit;
  for (const [group, members] of Object.entries(resources)) {
    if (isNothing(members)) continue;
    const known = changeable[group];
    if (known === undefined) refuse(group);
    for (const [member, value] of Object.entries(members as object)) {
      if (isNothing(value) || known?.includes(member) === true) continue;
      if (group === 'memory' && member === 'swap' && value === limit) continue; // no swap beyond the memory: so it is
      if (group === 'memory' && member === 'checkBeforeUpdate') continue; // a way of doing it
      refuse(`${group}.${member}`);
    }
  }
  for (const [name, value] of Object.entries({ 'memory.limit': limit, ...Object.fromEntries(['shares', 'quota', 'period'].map((member) => [`cpu.${member}`, (resources as { cpu?: Record<string, unknown> }).cpu?.[member]])) })) {
    if (value !== undefined && value !== null && !Number.isSafeInteger(value)) throw new Failure('bad-spec', `${name}: ${JSON.stringify(value)} is no whole number`);
  }
}
