// Docker's versioned paths: every endpoint stands at `/x` and at `/v1.NN/x`. Takes the prefix off before routing and keeps which
// version was asked for; a version that is not served is told by `versionProblem`.

/** The newest version of Docker's API that is implemented whole, and the oldest that is served. */
export const apiVersion = '1.43';
export const minApiVersion = '1.24';

const minors = { newest: 43, oldest: 24 };
const prefix = /^\/v(\d{1,3})\.(\d{1,4})(?=[/?]|$)/;

/** The path without its version; unchanged where there is none or it is not served. */
export function withoutVersion(url: string): string {
  const match = url.charCodeAt(1) === 118 /* v */ ? prefix.exec(url) : null;
  return match === null || !served(match) ? url : url.slice(match[0].length) || '/';
}

function served(match: RegExpExecArray): boolean {
  const minor = Number(match[2]);
  return match[1] === '1' && minor >= minors.oldest && minor <= minors.newest;
}

/** The minor version that a request's path asks for; the newest where it names none. */
export function minorVersion(url: string): number {
  const match = prefix.exec(url);
  return match === null ? minors.newest : Number(match[2]);
}

/** Docker's words to a client whose version is not served, or null. */
export function versionProblem(url: string): string | null {
  const match = prefix.exec(url);
  if (match === null || served(match)) return null;
  const asked = `${match[1]}.${match[2]}`;
  const old = match[1] === '0' || (match[1] === '1' && Number(match[2]) < minors.oldest);
  return old
    ? `client version ${asked} is too old. Minimum supported API version is ${minApiVersion}, please upgrade your client to a newer version`
    : `client version ${asked} is too new. Maximum supported API version is ${apiVersion}`;
}
