// The host's settings for registries, checked: mirrors, plain http and credentials. It asks no registry.
import type { Credentials, RegistryConfig } from '@pouch/containerd';
import { ConfigError } from '@pouch/process';

const hostForm = /^(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\])(?::\d{1,5})?$/;
const credentialMembers = ['username', 'password', 'identityToken', 'registryToken'] as const;

/**
 * `{"mirrors": {"docker.io": ["http://mirror.example:5000"]}, "plainHttp": ["registry.example:5000"], "credentials": {"registry.example": {"username": "…", "password": "…"}}}`.
 * Throws ConfigError that names the member that is wrong.
 */
export function parseRegistries(value: Readonly<Record<string, unknown>>): RegistryConfig {
  const known = ['mirrors', 'plainHttp', 'credentials'];
  const strange = Object.keys(value).find((name) => !known.includes(name));
  if (strange !== undefined) refuse(strange, `there is no such member; known are ${known.join(', ')}`);
  return { mirrors: mirrors(value['mirrors'] ?? {}), plainHttp: hosts(value['plainHttp'] ?? []), credentials: credentials(value['credentials'] ?? {}) };
}

function refuse(member: string, problem: string): never {
  throw new ConfigError(`POUCH_REGISTRIES: ${member}: ${problem}`);
}

function mirrors(value: unknown): Record<string, string[]> {
  return Object.fromEntries(Object.entries(object('mirrors', value)).map(([host, urls]) => {
    const at = `mirrors[${JSON.stringify(host)}]`;
    if (!hostForm.test(host)) refuse(at, 'it is not a host');
    if (!Array.isArray(urls)) return refuse(at, 'it must be a list of URLs');
    return [host, urls.map((url) => mirror(at, url))];
  }));
}

function mirror(at: string, url: unknown): string {
  const parsed = typeof url === 'string' ? URL.parse(url) : null;
  if (parsed === null || !/^https?:$/.test(parsed.protocol) || parsed.username !== '') return refuse(at, 'a mirror is an http or https URL without a user; credentials stand under credentials');
  return url as string;
}

function hosts(value: unknown): string[] {
  if (!Array.isArray(value) || !value.every((host) => typeof host === 'string' && hostForm.test(host))) return refuse('plainHttp', 'it must be a list of hosts, with or without a port');
  return value as string[];
}

function credentials(value: unknown): Record<string, Credentials> {
  return Object.fromEntries(Object.entries(object('credentials', value)).map(([host, given]) => {
    const at = `credentials[${JSON.stringify(host)}]`;
    const members = Object.entries(object(at, given));
    for (const [name, text] of members) {
      if (!(credentialMembers as readonly string[]).includes(name)) refuse(at, `there is no member ${name}; known are ${credentialMembers.join(', ')}`);
      if (typeof text !== 'string') refuse(`${at}.${name}`, 'it must be a text');
    }
    return [host, Object.fromEntries(members) as Credentials];
  }));
}

function object(at: string, value: unknown): object {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value;
  return refuse(at, 'it must be an object');
}
