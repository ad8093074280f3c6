// Which hosts are asked for a registry's images, in which order, and how. Pure.
import type { Reference } from '../image/reference.ts';

/** How a caller identifies itself, as in Docker's X-Registry-Auth. */
export type Credentials = { username?: string; password?: string; /** a refresh token for the registry's token service */ identityToken?: string; /** a bearer token that is sent as it is */ registryToken?: string };

/** The host's own settings for registries. */
export type RegistryConfig = {
  /** For a registry (e.g. `docker.io`), base URLs that are asked before it, in order: `http://mirror.example:5000`. */
  mirrors?: Readonly<Record<string, readonly string[]>>;
  /** Registries (`host` or `host:port`) that are reached by plain http. Loopback hosts are tried by https and then http without being named. */
  plainHttp?: readonly string[];
  /** Credentials by host (`host` or `host:port`), for mirrors and for registries that the request brings none for. */
  credentials?: Readonly<Record<string, Credentials>>;
};

/** One place to ask. */
export type Endpoint = {
  /** Base URL without a trailing slash and without `/v2`. */
  url: string;
  isMirror: boolean;
  credentials: Credentials | undefined;
};

const DOCKER_HUB = 'docker.io';
const DOCKER_HUB_HOST = 'registry-1.docker.io'; // the name docker.io itself serves no registry

/** Mirrors first, then the registry itself. `auth` belongs to the registry and never goes to a mirror. */
export function endpointsFor(reference: Reference, config: RegistryConfig, auth: Credentials | undefined): Endpoint[] {
  const { domain } = reference;
  const endpoints: Endpoint[] = (config.mirrors?.[domain] ?? []).map((mirror) => {
    const url = mirror.replace(/\/+$/, '').replace(/\/v2$/, '');
    return { url, isMirror: true, credentials: config.credentials?.[new URL(url).host] };
  });
  const host = domain === DOCKER_HUB ? DOCKER_HUB_HOST : domain;
  const credentials = auth ?? config.credentials?.[domain];
  const schemes = config.plainHttp?.includes(domain) ? ['http'] : isLoopback(host) ? ['https', 'http'] : ['https'];
  for (const scheme of schemes) endpoints.push({ url: `${scheme}://${host}`, isMirror: false, credentials });
  return endpoints;
}

function isLoopback(host: string): boolean {
  const name = host.replace(/:\d+$/, '');
  return name === 'localhost' || name === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(name);
}
