// What pouch-monitor is given: its configuration as text, and its environment. It must not start anything.
import { Failure } from './failure.ts';

/** `key value` lines; a value has no line end. Throws `bad-spec` where one has. */
export function configText(lines: readonly (readonly [key: string, value: string | number])[]): string {
  return lines.map(([key, value]) => {
    const text = String(value);
    if (/[\n\0]/.test(text)) throw new Failure('bad-spec', `${key}: ${JSON.stringify(text)} has a line end`);
    return `${key} ${text}\n`;
  }).join('');
}

/** All that it is given of ours. */
export const monitorEnvironment = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' };
