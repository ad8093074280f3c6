// The environment of a container's processes: Docker's defaults beneath what the image and the person say. Pure.

export const defaultPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** `NAME=value` lines, each name once, the last one winning; `NAME` alone takes a default away. */
export function buildEnvironment(env: readonly string[], defaults: { readonly home: string; readonly hostname: string; readonly tty: boolean }): string[] {
  const values = new Map<string, string>([['PATH', defaultPath], ['HOSTNAME', defaults.hostname], ...(defaults.tty ? [['TERM', 'xterm'] as const] : []), ['HOME', defaults.home]]);
  for (const line of env) {
    const at = line.indexOf('=');
    if (at < 0) values.delete(line);
    else values.set(line.slice(0, at), line.slice(at + 1));
  }
  return [...values].map(([name, value]) => `${name}=${value}`);
}
